import { act } from "preact/test-utils";
import { expect, test } from "vitest";
import { parallelFigure, strokeOf } from "../lib/parallel";
import { mounted } from "../lib/testing/mounted";
import { curvesFigure } from "./figures";
import widget from "./index";
import type { Comparison, Curves, Line, Table } from "./types";

const line = (id: string, values: Partial<Line> = {}): Line => ({
  id,
  status: "succeeded",
  words: "finished",
  live: false,
  share: 1,
  pinned: false,
  archived: false,
  tags: [],
  note: "",
  cells: ["lora", ""],
  ...values,
});
const table: Table = {
  columns: [
    ["method", "Method"],
    ["loss", "Loss"],
  ],
  lines: [line("one"), line("two", { status: "running", words: "running", live: true, share: 0.5, tags: ["kept"] })],
  found: 60,
  first: 25,
  count: 25,
  all: 70,
  hidden: 3,
  reading: null,
  problem: "",
};
const asked = {
  query: "",
  sort: "loss",
  descending: true,
  first: 25,
  archived: false,
  columns: ["method", "loss"],
};
const page = mounted(widget, {
  asked,
  table,
  known: [{ title: "Options", columns: [{ key: "lora_r", title: "Lora r" }] }],
  chosen: [],
  comparison: {},
  curves: {},
  opened: {},
  trash: { count: 0, undo: [], ids: [] },
  linked: true,
  error: {},
  code: { python: "snb.runs.search()" },
});
const { show, sent, button } = page;
const boxes = () => [...page.el.querySelectorAll<HTMLInputElement>("tbody input")];
const commands = () => sent().map(({ id: _, ...command }) => command);

test("it asks for the runs once it is shown, and tells an empty store from a search without a find", () => {
  show({ table: { ...table, lines: [], found: 0, all: 0 } });
  expect(commands()[0]).toEqual({ kind: "look" });
  expect(page.el.textContent).toContain("No run yet");
  act(() => page.model.set("table", { ...table, lines: [], found: 0 }));
  expect(page.el.textContent).toContain("There are 70 runs, of which 3 that are archived would be found");
});

test("a heading sorts by its column, once more the other way round", () => {
  show();
  const heads = [...page.el.querySelectorAll("th[aria-sort]")];
  expect(heads.map((head) => [head.textContent, head.getAttribute("aria-sort")])).toEqual([["Loss ↓", "descending"]]);
  act(() => page.el.querySelectorAll<HTMLButtonElement>(".runs-heading")[4]?.click());
  act(() => page.el.querySelectorAll<HTMLButtonElement>(".runs-heading")[0]?.click());
  expect(commands().slice(1)).toEqual([
    { kind: "ask", sort: "loss", descending: false },
    { kind: "ask", sort: "id", descending: true },
  ]);
});

test("quick clicks on several runs add up before the kernel has answered", () => {
  show();
  for (const box of [0, 1]) {
    act(() => boxes()[box]?.click());
  }
  expect(commands().slice(1)).toEqual([
    { kind: "choose", runs: ["one"] },
    { kind: "choose", runs: ["one", "two"] },
  ]);
  expect(boxes().map((box) => box.checked)).toEqual([true, true]);
});

test("pages go from where the table is", () => {
  show();
  act(() => button("Back")?.click());
  act(() => button("On")?.click());
  expect(commands().slice(1)).toEqual([
    { kind: "ask", first: 0 },
    { kind: "ask", first: 50 },
  ]);
  expect(page.el.textContent).toContain("26 to 27 of 60");
});

test("what goes for good is asked twice", () => {
  show({ trash: { count: 2, undo: ["gone"], ids: ["gone", "older"] } });
  expect(page.el.textContent).toContain("Deleted gone.");
  act(() => button("Empty trash")?.click());
  expect(commands()).toHaveLength(1);
  act(() => button("Delete all 2 for good")?.click());
  expect(commands()[1]).toEqual({ kind: "empty_trash" });
});

test("twelve curves are told apart by colour and dash, and one alone needs no legend", () => {
  const looks = Array.from({ length: 12 }, (_, at) => JSON.stringify(strokeOf(at, "dark")));
  expect(new Set(looks).size).toBe(12);
  const curves: Curves = {
    metric: "loss",
    title: "Loss",
    axis: "time",
    smoothing: 0,
    lines: [{ id: "a", label: "a", x: [1, 2], y: [3, 4] }],
  };
  expect(curvesFigure(curves, "light").layout.showlegend).toBe(false);
});

test("parallel coordinates stand from the lowest to the highest of each axis", () => {
  const comparison: Comparison = {
    ids: ["a", "b", "c"],
    labels: ["a", "b", "c"],
    metrics: [],
    parallel: [
      { title: "Rate", values: [1, 3, 2], ticks: null },
      { title: "Method", values: [0, 1, 0], ticks: ["lora", "dora"] },
      { title: "Same", values: [5, 5, 5], ticks: null },
    ],
  };
  const { data, layout } = parallelFigure(comparison, "light");
  expect(data.map((each) => (each as { y: number[] }).y)).toEqual([
    [0, 0, 0.5],
    [1, 1, 0.5],
    [0.5, 0, 0.5],
  ]);
  expect((data[1] as { text: string[] }).text).toEqual(["Rate: 3", "Method: dora", "Same: 5"]);
  expect((layout.annotations as { text: string }[]).map(({ text }) => text)).toEqual(["1", "3", "lora", "dora", "5"]);
});
