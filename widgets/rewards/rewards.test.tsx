import { act } from "preact/test-utils";
import { expect, test } from "vitest";
import { mounted } from "../lib/testing/mounted";
import widget from "./index";
import type { Found, Scored } from "./types";

const scored = (text: string, value: number | null, values: Partial<Scored> = {}): Scored => ({
  text,
  prompt: "What is it?",
  expected: "red",
  value,
  reason: "",
  ...values,
});
const found: Found = {
  scorer: "contains",
  good: [scored("red", 1), scored("it is red", 0.25, { reason: "wordy" })],
  bad: [scored("blue", 0), scored("green", 0.75), scored("none", null)],
  fooled: [
    {
      hack: "every option at once",
      means: "naming everything",
      tried: 4,
      fooled: 3,
      close: false,
      best: scored("<img src=x onerror=alert(1)> red, blue", 1),
    },
    { hack: "empty", means: "saying nothing", tried: 2, fooled: 1, close: true, best: scored("", 0.95) },
  ],
  hacks: { "every option at once": 1, empty: 0.5, "long padding": 0.1, "every number": null },
  median_good: 1,
  separation: 0.8,
  findings: ["It rewards naming everything."],
  histogram: { edges: [0, 0.5, 1], good: [0, 2], bad: [2, 1], hacks: [0, 0] },
  seconds: 0.002,
};

const page = mounted(widget, {
  choices: {
    scorers: [
      { id: "var:mine", title: "mine", group: "Notebook variables" },
      { id: "name:exact", title: "exact", group: "Registered" },
    ],
    good: [{ id: "var:rows", title: "rows", group: "Notebook variables" }],
    bad: [],
  },
  chosen: { scorer: "", good: "", bad: "other" },
  state: { stage: "none" },
  found: {},
  code: {},
});
const { show, sent, button } = page;

test("nothing runs before a scorer and right answers are chosen", () => {
  show();
  expect(button("Run the lab")?.disabled).toBe(true);
  const [scorer] = page.el.querySelectorAll("select");
  if (scorer === undefined) throw new Error("no choice");
  scorer.value = "name:exact";
  act(() => {
    scorer.dispatchEvent(new Event("change", { bubbles: true }));
  });
  expect(sent().at(-1)).toMatchObject({ kind: "choose", scorer: "name:exact" });
  expect([...page.el.querySelectorAll("optgroup")].map(({ label }) => label)).toContain("Registered");
});

test("a lab that goes on can be stopped", () => {
  show({ chosen: { scorer: "name:exact", good: "var:rows", bad: "other" }, state: { stage: "running", done: 0.4 } });
  expect(page.el.querySelector('[role="progressbar"]')?.getAttribute("aria-valuenow")).toBe("40");
  act(() => button("Stop")?.click());
  expect(sent().at(-1)).toMatchObject({ kind: "stop" });
});

test("what fools a scorer is shown with its text, as text", () => {
  show({ state: { stage: "ready" }, found });
  expect(page.el.textContent).toContain("1 finding");
  expect(page.el.textContent).toContain("<img src=x onerror=alert(1)> red, blue");
  expect(page.el.querySelector("img[src]")).toBeNull();
  expect(page.el.textContent).toContain("(empty)");
  expect(page.el.textContent).toContain("0.950, nearly");
  expect(page.el.textContent).toContain("Harmless: long padding (0.10).");
});

test("answers come with the suspicious end first", () => {
  show({ state: { stage: "ready" }, found });
  const open = (text: string) =>
    act(() =>
      [...page.el.querySelectorAll<HTMLElement>('[role="tab"]')]
        .find((tab) => tab.textContent?.startsWith(text))
        ?.click(),
    );
  const first = () => page.el.querySelector("tbody tr")?.textContent;
  open("Right");
  expect(first()).toContain("it is red");
  open("Wrong");
  expect(first()).toContain("green");
  expect(page.el.querySelector("tbody tr:last-child")?.textContent).toContain("--");
});

test("the picture says in words where the scores lie", () => {
  show({ state: { stage: "ready" }, found });
  const labels = [...page.el.querySelectorAll('svg[role="img"]')].map((each) => each.getAttribute("aria-label"));
  expect(labels[0]).toBe("Right answers: 2 from 0.50 to 1");
  expect(labels[1]).toBe("Wrong answers: 2 from 0 to 0.50, 1 from 0.50 to 1");
  expect(labels[2]).toBe("Hacks: no scores");
});

test("a sound scorer is told so", () => {
  show({ state: { stage: "ready" }, found: { ...found, fooled: [], findings: [] } });
  expect(page.el.textContent).toContain("Nothing found: none of 3 kinds of hacks");
});
