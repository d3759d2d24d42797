import { act } from "preact/test-utils";
import { expect, test } from "vitest";
import { mounted } from "../lib/testing/mounted";
import widget from "./index";

const STATE = {
  choices: {
    sources: [{ id: "capture:tickets", title: "tickets", group: "Captures" }],
    judges: [{ id: "var:model/base", title: "model, base", group: "Loaded models" }],
  },
  chosen: { source: "", judge: "", rubric: "", options: { limit: "50", orders: "" }, problems: {} },
  usual: "Judge how well each answer does what the task asks for.",
  work: { stage: "none" },
  summary: {},
  page: {},
  item: {},
  measured: {},
  click: {},
  handed: {},
  code: {},
};
const CHOSEN = { ...STATE.chosen, source: "capture:tickets", judge: "var:model/base" };
const JUDGED = {
  chosen: CHOSEN,
  work: { stage: "ended" },
  summary: {
    groups: 3,
    attempts: 6,
    unscored: 1,
    mean: 0.5,
    rated: 2,
    requests: 7,
    reused: 0,
    cost: 0.01,
    lines: ["orders ranked 1 of 3 groups differently; their means are taken"],
    pairs: 2,
  },
  page: {
    filter: "disagreements",
    filters: [
      { id: "disagreements", title: "Disagreements", count: 1 },
      { id: "all", title: "All groups", count: 3 },
    ],
    page: 0,
    pages: 1,
    count: 1,
    rows: [
      {
        group: 2,
        task: "Where is it?",
        scores: [0.9, null],
        kind: "people",
        what: "The judge gives 0.90, people 0.00.",
      },
    ],
  },
  measured: { enough: false, given: 2, least: 8, why: "few", width: 0.1 },
  click: { given: 2, left: 4, undo: true, kept: true, number: 5, task: "Where is it?", answer: "<b>here</b>" },
};
const page = mounted(widget, STATE);
const last = () => {
  const { id: _, ...command } = page.sent().at(-1) ?? {};
  return command;
};
const named = (name: string) => page.el.querySelector(`[aria-label="${name}"]`) as HTMLElement;
const press = (key: string, where: Element, repeat = false) =>
  act(() => {
    where.dispatchEvent(new KeyboardEvent("keydown", { key, repeat, bubbles: true, cancelable: true }));
  });

test("empty: what to do is said, and nothing begins before both are chosen", () => {
  page.show();
  expect(page.el.textContent).toContain("Nothing was judged yet");
  expect(page.button("Judge")?.disabled).toBe(true);
  act(() => page.model.receive({ chosen: CHOSEN }));
  expect(page.button("Judge")?.disabled).toBe(false);
  act(() => page.button("Judge")?.click());
  expect(last()).toEqual({ kind: "start" });
});

test("working: progress in prompts, and a stop", () => {
  page.show({ chosen: CHOSEN, work: { stage: "running", done: 6, total: 24 } });
  expect(page.el.querySelector('[role="progressbar"]')?.getAttribute("aria-valuenow")).toBe("25");
  expect(page.button("Judge")?.disabled).toBe(true);
  act(() => page.button("Stop")?.click());
  expect(last()).toEqual({ kind: "stop" });
  act(() =>
    page.model.receive({ work: { stage: "failed", error: { code: "x", what: "It is down.", fix: "Start it." } } }),
  );
  expect(page.el.querySelector('[role="alert"]')?.textContent).toContain("Start it.");
});

test("disagreements are said in words, and a group opens", () => {
  page.show(JUDGED);
  expect(named("Result").textContent).toContain("1 without a score");
  const row = page.el.querySelector("tbody tr");
  expect(row?.textContent).toContain("against people");
  expect(row?.textContent).toContain("0.90, --");
  act(() => page.button("Where is it?")?.click());
  expect(last()).toEqual({ kind: "open", group: 2 });
});

test("a rubric is sent once it is left", () => {
  page.show({ chosen: CHOSEN });
  const area = page.el.querySelector("textarea") as HTMLTextAreaElement;
  expect(area.placeholder).toContain("Judge how well");
  act(() => {
    area.value = "Short ones.";
    area.dispatchEvent(new Event("input", { bubbles: true }));
  });
  act(() => {
    area.dispatchEvent(new FocusEvent("blur"));
  });
  expect(last()).toEqual({ kind: "choose", rubric: "Short ones." });
});

test("verdicts by keys, blind, never while somebody types", () => {
  page.show(JUDGED);
  const card = named("Your verdict");
  expect(card.textContent).toContain("2 verdicts given, 4 left");
  expect(card.querySelector("b + p")?.textContent).toBe("Where is it?");
  expect(card.querySelectorAll("p b")).toHaveLength(0);
  for (const [key, sent] of [
    ["g", { kind: "rate", number: 5, value: 1 }],
    ["u", { kind: "undo" }],
    ["s", { kind: "skip", number: 5 }],
  ] as const) {
    press(key, card);
    expect(last()).toEqual(sent);
    act(() => page.model.receive({ ack: page.sent().at(-1)?.id }));
  }
  const before = page.sent().length;
  press("g", page.el.querySelector("textarea") as Element);
  press("x", card);
  expect(page.sent()).toHaveLength(before);
});

test("no key is lost between the next attempt on screen and the kernel's acknowledgement, and none answers twice", () => {
  page.show(JUDGED);
  const card = named("Your verdict");
  const before = page.sent().length;
  press("g", card);
  press("b", card);
  press("s", card);
  expect(page.sent()).toHaveLength(before + 1);
  act(() => page.model.receive({ click: { ...JUDGED.click, given: 3, left: 3, number: 1 } }));
  press("b", card, true);
  expect(page.sent()).toHaveLength(before + 1);
  press("b", card);
  expect(last()).toEqual({ kind: "rate", number: 1, value: 0 });
  act(() => page.model.receive({ error: { what: "The store is read only." }, ack: page.sent().at(-1)?.id }));
  press("b", card);
  expect(page.sent()).toHaveLength(before + 3);
});

test("a judge no better than chance is called that, and a width is asked for", () => {
  page.show({
    ...JUDGED,
    measured: {
      enough: true,
      given: 12,
      width: 0.1,
      sentences: ["12 of 60 items were judged by people, who agree with the judge on 50%."],
      chance: true,
      narrower: "About 40 more clicks would narrow it to 0.1.",
    },
  });
  const region = named("How good the judge is");
  expect(region.textContent).toContain("no better than chance");
  expect(region.textContent).toContain("About 40 more clicks");
  const input = [...region.querySelectorAll("input")].at(-1) as HTMLInputElement;
  act(() => {
    input.value = "0.05";
    input.dispatchEvent(new Event("input", { bubbles: true }));
  });
  press("Enter", input);
  expect(last()).toEqual({ kind: "width", width: 0.05 });
});

test("what was judged is trained on, here or by a line of code", () => {
  page.show(JUDGED);
  act(() => page.button("2 pairs, dpo")?.click());
  expect(last()).toEqual({ kind: "use", what: "preferences" });
  act(() => page.model.receive({ ack: page.sent().at(-1)?.id }));
  act(() => page.button("The best of each, sft")?.click());
  expect(last()).toEqual({ kind: "use", what: "best", threshold: 0.8 });
  act(() => page.model.receive({ handed: { what: "best", method: "lora", rows: 3, taken: false } }));
  expect(page.el.textContent).toContain("judged.best(threshold)");
  act(() => page.model.receive({ handed: { what: "best", method: "lora", rows: 3, taken: true } }));
  expect(page.el.textContent).toContain("chosen in the Train tab");
});
