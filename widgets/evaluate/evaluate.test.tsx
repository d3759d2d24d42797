import { act } from "preact/test-utils";
import { expect, test } from "vitest";
import { mounted } from "../lib/testing/mounted";
import widget from "./index";
import { chance, gap, range, score } from "./scores";
import type { Browse, Cell, Difference, Item, Summary } from "./types";

const cell = (value: number | null, values: Partial<Cell> = {}): Cell => ({
  value,
  low: value === null ? null : value - 0.1,
  high: value === null ? null : value + 0.1,
  graded: 20,
  clusters: 20,
  answered: 20,
  unanswered: 0,
  ungraded: 0,
  outcomes: { passed: 10 },
  notes: {},
  rules: {},
  by_extraction: 0,
  ...values,
});
const difference: Difference = {
  value: -0.2,
  low: -0.35,
  high: -0.05,
  items: 20,
  wins: 1,
  losses: 5,
  ties: 14,
  p: 0.031,
  p_alone: 0.0156,
  needed: 44,
  direction: "worse",
};
const summary: Summary = {
  name: "night",
  sides: ["base", "tuned"],
  origins: { tuned: { run: "r1", step: 4 } },
  to: "base",
  samples: 1,
  suites: [
    {
      name: "sql",
      items: 20,
      share: true,
      cells: { base: cell(0.7), tuned: cell(0.5, { unanswered: 2, ungraded: 1 }) },
      differences: { tuned: difference },
    },
  ],
  refused: {},
};
const browse: Browse = {
  suite: "sql",
  side: "tuned",
  to: "base",
  filter: "worse",
  page: 0,
  pages: 1,
  count: 1,
  filters: [
    { id: "all", title: "All items", count: 20 },
    { id: "worse", title: "Got worse", count: 1 },
  ],
  items: [
    {
      id: "7-ab",
      asked: "How many?",
      cells: [
        { score: 1, words: "passed" },
        { score: 0, words: "other result" },
      ],
    },
  ],
};
const sample = { extracted: "", reason: "", error: "", notes: [], rules: {}, answered: true, graded: true };
const item: Item = {
  id: "7-ab",
  suite: "sql",
  messages: [{ role: "user", text: "How many?" }],
  expected: "SELECT 1",
  answers: [
    { side: "base", samples: [{ ...sample, text: "SELECT 1", score: 1, outcome: "passed" }] },
    { side: "tuned", samples: [{ ...sample, text: "<img src=x onerror=alert(1)>", score: 0, outcome: "failed" }] },
  ],
  diff: [
    ["same", "SELECT "],
    ["removed", "1"],
    ["added", "2"],
  ],
  between: ["base", "tuned"],
};

const page = mounted(widget, {
  choices: {
    models: [{ id: "var:model/base", title: "model, base", group: "Loaded models" }],
    suites: [{ id: "name:sql", title: "sql", about: "190 questions", group: "Suites" }],
    data: [],
    scorers: [],
    kept: [],
  },
  chosen: { models: [], suites: [], options: { limit: "50" }, problems: {} },
  work: { stage: "none" },
  shown: "",
  progress: {},
  summary: {},
  findings: {},
  narrowing: {},
  browse: {},
  item: {},
  board: {},
  saved: "",
  code: {},
});
const { show, sent, button } = page;
const result = { shown: "night", summary, progress: { status: "complete", suites: [], missing: 0 } };

test("nothing is evaluated before models and suites are chosen", () => {
  show();
  expect(button("Evaluate")?.disabled).toBe(true);
  expect(page.el.textContent).toContain("Choose models and suites.");
  const box = page.el.querySelector<HTMLInputElement>("input[type=checkbox]");
  act(() => box?.click());
  expect(sent().at(-1)).toMatchObject({ kind: "choose_model", choice: "var:model/base", on: true });
});

test("progress has the time that is left, and says what was refused", () => {
  const suites = [
    { suite: "sql", done: 10, graded: 8, failed: 2, total: 40, refused: "", state: "working", eta: 65 },
    { suite: "mbpp", done: 0, graded: 0, failed: 0, total: 0, refused: "no sandbox here", state: "refused", eta: null },
  ];
  show({ ...result, progress: { status: "working", suites, missing: 30 }, work: { stage: "running" } });
  const list = page.el.querySelector('[aria-label="Progress by suite"]');
  expect(list?.textContent).toContain("10 of 40 answers, 2 without an answer, about 1:05 left");
  expect(list?.textContent).toContain("no sandbox here");
  act(() => button("Stop")?.click());
  expect(sent().at(-1)).toMatchObject({ kind: "stop" });
});

test("what got worse is a click from its items", () => {
  show({ ...result, findings: { changed: ["sql: tuned is 20 points below base."], missing: [] } });
  const matrix = page.el.querySelector('[aria-label="Models by suites"]');
  expect(matrix?.textContent).toContain("-20.0 points (-35.0 to -5.0)");
  expect(matrix?.textContent).toContain("worse, p 0.031");
  expect(matrix?.textContent).toContain("1 better, 5 worse, 14 the same");
  expect(matrix?.textContent).toContain("2 without an answer");
  expect(matrix?.textContent).toContain("r1, step 4");
  act(() => button("What got worse on sql")?.click());
  expect(sent().at(-1)).toMatchObject({ kind: "browse", suite: "sql", side: "tuned", to: "base", filter: "worse" });
});

test("an unfinished evaluation is gone on with by a click, one without answers asked again", () => {
  show({ ...result, progress: { status: "incomplete", suites: [], missing: 3 } });
  act(() => button("Go on")?.click());
  expect(sent().at(-1)).toMatchObject({ kind: "go_on" });
});

test("an item shows answers side by side, as text, and what differs", () => {
  show({ ...result, browse, item });
  act(() =>
    [...page.el.querySelectorAll<HTMLElement>('[role="tab"]')].find((tab) => tab.textContent === "Items")?.click(),
  );
  expect(page.el.querySelector("option[value=worse]")?.textContent).toBe("Got worse (1)");
  expect(page.el.querySelector('[aria-label="Answer of tuned"]')?.textContent).toContain(
    "<img src=x onerror=alert(1)>",
  );
  expect(page.el.querySelector("img[src]")).toBeNull();
  expect(page.el.querySelector("del")?.textContent).toBe("1");
  expect(page.el.querySelector("ins")?.textContent).toBe("2");
});

test("numbers have their unit, and what is not known is said", () => {
  expect(score(0.625, true)).toBe("62.5 %");
  expect(score(-2.061, false)).toBe("-2.06");
  expect(score(null, true)).toBe("--");
  expect(range({ value: 1, low: null, high: null }, true)).toBe("no interval");
  expect(gap({ ...difference, value: 0.5, low: -0.25, high: null }, false)).toBe("+0.500 (-0.250 to --)");
  expect(chance(0.00001)).toBe("p < 0.0001");
});
