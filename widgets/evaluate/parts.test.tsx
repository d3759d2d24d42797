import { act } from "preact/test-utils";
import { expect, test } from "vitest";
import { mounted } from "../lib/testing/mounted";
import widget from "./index";
import type { Cell, Grid, Summary } from "./types";

const cell = (value: number | null, outcomes: Record<string, number> = {}): Cell => ({
  value,
  low: value === null ? null : 0,
  high: value === null ? null : 1,
  graded: value === null ? 0 : 3,
  clusters: 3,
  answered: 3,
  unanswered: 0,
  ungraded: 0,
  outcomes,
  notes: {},
  rules: {},
  by_extraction: 0,
});
const summary: Summary = {
  name: "night",
  sides: ["base", "tuned"],
  origins: {},
  to: "base",
  samples: 1,
  suites: [
    {
      name: "polyglot",
      items: 6,
      share: true,
      cells: { base: cell(0.2), tuned: cell(0.6) },
      differences: {},
      parts: [
        { name: "js", cells: { base: cell(0.333), tuned: cell(0.667) } },
        { name: "go", cells: { base: cell(null, { "no toolchain": 3 }), tuned: cell(null, { "no toolchain": 3 }) } },
      ],
      has_grid: true,
    },
  ],
  refused: {},
};
const grid: Grid = {
  suite: "polyglot",
  side: "tuned",
  to: "base",
  parts: ["js", "go"],
  lines: [
    {
      problem: "0",
      squares: [
        { id: "js/0", score: 1, before: 1 },
        { id: "go/0", score: null, before: null },
      ],
    },
    {
      problem: "1",
      squares: [
        { id: "js/1", score: 1, before: 0 },
        { id: "go/1", score: 0, before: 0 },
      ],
    },
    { problem: "2", squares: [{ id: "js/2", score: 0, before: 0 }, null] },
  ],
};
const page = mounted(widget, {
  choices: {},
  chosen: { models: [], suites: [], options: {}, problems: {} },
  work: { stage: "none" },
  shown: "night",
  progress: { status: "complete", suites: [], missing: 0 },
  summary,
  findings: {},
  narrowing: {},
  browse: {},
  item: {},
  grid: {},
  board: {},
  saved: "",
  code: {},
});
const { show, sent, button } = page;

test("each part has its mean, and one that cannot be graded says why", () => {
  show();
  const rows = [...page.el.querySelectorAll(".evaluate-parts tbody tr")].map((row) => row.textContent);
  expect(rows[0]).toContain("js33.3 %0.0 to 100.0, 3 items66.7 %");
  expect(rows[1]).toBe("go3 no toolchain3 no toolchain");
  act(() => button("Problems by language")?.click());
  expect(sent().at(-1)).toMatchObject({ kind: "show_grid", suite: "polyglot", side: "tuned" });
});

test("problems by languages: what changed has a frame, and a square opens its item", () => {
  show({ grid });
  const squares = () => [...page.el.querySelectorAll<HTMLButtonElement>(".evaluate-square")];
  expect(squares().map((square) => square.getAttribute("aria-label"))).toEqual([
    "js/0: right",
    "go/0: no verdict",
    "js/1: right, was wrong",
    "go/1: wrong",
    "js/2: wrong",
  ]);
  expect(squares().filter((square) => square.classList.contains("is-changed"))).toHaveLength(1);
  const only = (label: string) => {
    const radio = [...page.el.querySelectorAll<HTMLLabelElement>("label")].find((each) => each.textContent === label);
    act(() => radio?.querySelector("input")?.click());
  };
  only("Changed");
  expect(squares().map((square) => square.title)).toEqual(["js/1: right, was wrong", "go/1: wrong"]);
  only("Differ by language");
  expect(squares()).toHaveLength(2);
  act(() => squares()[0]?.click());
  expect(sent().at(-1)).toMatchObject({ kind: "browse", suite: "polyglot", side: "tuned", item: "js/1" });
});

test("squares are one stop of the tab key, and arrows go over what is not there", () => {
  show({ grid });
  const squares = [...page.el.querySelectorAll<HTMLButtonElement>(".evaluate-square")];
  expect(squares.filter((square) => square.tabIndex === 0)).toHaveLength(1);
  const press = (key: string) =>
    act(() => {
      document.activeElement?.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
    });
  act(() => squares[0]?.focus());
  press("ArrowRight");
  press("ArrowDown");
  expect(document.activeElement?.getAttribute("aria-label")).toBe("go/1: wrong");
  press("ArrowDown"); // problem 2 is not in this language
  expect(document.activeElement?.getAttribute("aria-label")).toBe("go/1: wrong");
});
