import { act } from "preact/test-utils";
import { expect, test } from "vitest";
import { mounted } from "../lib/testing/mounted";
import widget from "./index";
import type { DeviceQueue } from "./types";

const waiting = (id: string, held = false) => ({ id, held, method: "lora", model: "tiny" });
const queue: DeviceQueue[] = [
  { device: "cpu", paused: false, training: "zero", waiting: [waiting("one"), waiting("two", true)] },
];
const page = mounted(widget, {
  asked: { query: "", sort: "created_at", descending: true, first: 0, archived: false, columns: [] },
  table: { columns: [], lines: [], found: 0, first: 0, count: 25, all: 0, hidden: 0, reading: null, problem: "" },
  known: [],
  chosen: [],
  comparison: {},
  curves: {},
  opened: {},
  trash: { count: 0, undo: [], ids: [] },
  linked: false,
  error: {},
  code: {},
  queue,
});
const { show, sent } = page;
const commands = () => sent().map(({ id: _, ...command }) => command);
const named = (label: string) =>
  page.el.querySelector<HTMLButtonElement>(`button[aria-label="${label}"]`) as HTMLButtonElement;

test("a run that waits is moved, held, let go on and taken out by buttons that name it", () => {
  show();
  expect(page.el.textContent).toContain("2 runs wait behind zero.");
  expect(named("Up: one").disabled).toBe(true);
  expect(named("Down: two").disabled).toBe(true);
  act(() => named("Up: two").click());
  act(() => named("Hold: one").click());
  act(() => named("Go on: two").click());
  act(() => named("Take out: one").click());
  expect(commands().slice(1)).toEqual([
    { kind: "queue", action: "move", run: "two", place: 0 },
    { kind: "queue", action: "hold", run: "one", place: 0 },
    { kind: "queue", action: "release", run: "two", place: 0 },
    { kind: "queue", action: "cancel", run: "one", place: 0 },
  ]);
});

test("the focus stays with the run that was moved", () => {
  show();
  named("Up: two").focus();
  act(() => named("Up: two").click());
  act(() => page.model.set("queue", [{ ...queue[0], waiting: [waiting("two", true), waiting("one")] }]));
  expect(document.activeElement?.getAttribute("aria-label")).toBe("Down: two"); // it is the first: up and first are off
});

test("a paused queue says so and can be let go", () => {
  show({ queue: [{ device: "cuda:0", paused: true, training: "", waiting: [] }] });
  expect(page.el.textContent).toContain("Paused: no run waits, and none begins.");
  act(() => [...page.el.querySelectorAll("button")].find((each) => each.textContent === "Let runs begin")?.click());
  expect(commands().at(-1)).toEqual({ kind: "queue", action: "resume", device: "cuda:0" });
});
