import { act } from "preact/test-utils";
import { afterEach, beforeEach, expect, test } from "vitest";
import { FakeModel } from "../lib/testing/fake-model";
import widget from "./index";
import type { Side, Turn } from "./stream";

const { initialize, render } = widget as unknown as {
  initialize: (options: { model: FakeModel }) => () => void;
  render: (options: { model: FakeModel; el: HTMLElement }) => () => void;
};

const side = (values: Partial<Side>): Side => ({
  status: "streaming",
  text: "",
  badge: "",
  note: "",
  tokens: 0,
  seconds: null,
  error: null,
  ...values,
});
const turn: Turn = {
  id: 1,
  prompt: "hi",
  seed: 7,
  sides: { tuned: side({ text: "<b>He" }), base: side({ status: "queued" }) },
};

let model: FakeModel;
let el: HTMLElement;
let stops: (() => void)[];

beforeEach(() => {
  model = new FakeModel({
    panel_id: crypto.randomUUID(),
    turns: [turn],
    delta: {},
    settings: {
      system: null,
      alone: false,
      temperature: 0.7,
      top_p: 0.95,
      max_new_tokens: 64,
      seed: null,
      stop: [],
      compare: true,
    },
    model_state: { stage: "ready", name: "tiny", answering: "step 3 of run r", can_compare: true },
    base_check: { stage: "ready", ok: true, detail: "all 20 tensors equal the file", hash: "abc" },
    asked: { system: "Sort it.", known: true, system_words: "all 384 rows", tools: [], earlier: 0, notes: [] },
    tries: { stage: "none" },
    busy: true,
    code: {},
    error: {},
    ack: "",
  });
  el = document.createElement("div");
  document.body.append(el);
  stops = [];
  act(() => {
    stops = [initialize({ model }), render({ model, el })];
  });
});

afterEach(() => {
  for (const stop of stops) act(stop);
  el.remove();
});

const texts = () => [...el.querySelectorAll(".chat-answer .chat-text")].map((one) => one.textContent);

test("pieces grow the answer of their side, and what a model writes is never markup", () => {
  act(() =>
    model.receive({ delta: { turn: 1, side: "tuned", at: 5, text: "llo</b>", status: "streaming", tokens: 2 } }),
  );
  expect(texts()).toEqual(["<b>Hello</b>", ""]);
  expect(el.querySelector(".chat-text b")).toBeNull();
});

test("reasoning grows apart from the answer and is folded", () => {
  const piece = { turn: 1, side: "tuned", field: "reasoning", at: 0, text: "Hm.", status: "streaming", tokens: 1 };
  act(() => model.receive({ delta: piece }));
  const folded = el.querySelector<HTMLDetailsElement>(".chat-reasoning");
  expect([folded?.open, folded?.querySelector("p")?.textContent]).toEqual([false, "Hm."]);
  expect(el.querySelector(".chat-answer > .chat-text")?.textContent).toBe("<b>He");
});

test.each([
  ["enable_thinking", [true, false], "no", false],
  ["reasoning_effort", ["low", "high"], "high", "high"],
])("%s is a choice where the template knows it", (name, values, shown, sent) => {
  const choices = () => [...el.querySelectorAll("select")].filter((one) => one.textContent?.includes("as trained"));
  expect(choices()).toEqual([]);
  const state = model.get("model_state") as object;
  act(() => model.receive({ model_state: { ...state, template_options: { [name]: values } } }));
  const select = choices()[0] as HTMLSelectElement;
  expect(choices()).toHaveLength(1);
  act(() => {
    select.value = [...select.options].find((option) => option.text === shown)?.value ?? "";
    select.dispatchEvent(new Event("change", { bubbles: true }));
  });
  expect(model.commands.at(-1)).toMatchObject({ kind: "settings", values: { [name]: sent } });
});

test("the end brings the whole conversation", () => {
  const done = {
    ...turn,
    sides: { tuned: side({ text: "Hello", status: "done" }), base: side({ text: "Hey", status: "done" }) },
  };
  act(() => model.receive({ turns: [done] }));
  expect(texts()).toEqual(["Hello", "Hey"]);
});

test("the base's proof is in words", () => {
  expect(el.textContent).toContain("✓ Base untouched");
  expect(el.textContent).toContain("all 20 tensors equal the file");
});

test("Escape stops an answer; Enter sends only when none is being written", () => {
  const area = el.querySelector<HTMLTextAreaElement>('textarea[aria-label="Message"]') as HTMLTextAreaElement;
  const press = (key: string) =>
    act(() => {
      area.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
    });
  act(() => {
    area.value = "again";
    area.dispatchEvent(new Event("input", { bubbles: true }));
  });
  press("Enter");
  press("Escape");
  expect(model.commands.map((command) => command.kind)).toEqual(["stop"]);
  act(() => model.receive({ busy: false }));
  press("Enter");
  expect(model.commands.at(-1)).toMatchObject({ kind: "send", prompt: "again" });
  expect(area.value).toBe("");
});

test("what is typed in one setting stays while another one is confirmed, and gives way to what the kernel made of it", () => {
  const field = (label: string) => {
    const id = [...el.querySelectorAll("label")].find((one) => one.textContent === label)?.htmlFor ?? "";
    return document.getElementById(id) as HTMLInputElement;
  };
  const type = (label: string, text: string) =>
    act(() => {
      field(label).value = text;
      field(label).dispatchEvent(new Event("input", { bubbles: true }));
    });
  const leave = (label: string) =>
    act(() => {
      field(label).dispatchEvent(new Event("change", { bubbles: true }));
    });
  const settings = model.get("settings") as object;
  type("System prompt", "Be brief.");
  leave("System prompt");
  type("Seed", "abc");
  act(() => model.receive({ settings: { ...settings, system: "Be brief." }, asked: { system: "Be brief." } }));
  act(() => model.receive({ ack: model.commands.at(-1)?.id }));
  expect([field("System prompt").value, field("Seed").value]).toEqual(["Be brief.", "abc"]);
  leave("Seed");
  expect(model.commands.at(-1)).toMatchObject({ kind: "settings", values: { seed: "abc" } });
  act(() => model.receive({ ack: model.commands.at(-1)?.id }));
  expect(field("Seed").value).toBe("");
});

test("the system prompt says where it comes from, and leads back to that of the rows", () => {
  const part = () => el.querySelector('[aria-label="Before each question"]') as HTMLElement;
  const area = () => part().querySelector("textarea") as HTMLTextAreaElement;
  expect(area().value).toBe("Sort it.");
  expect(part().textContent).toContain("As trained: all 384 rows.");
  const note = "Asked behind another system prompt than any row of the training.";
  act(() =>
    model.receive({
      asked: { system: "Be brief.", known: true, own_system: true, trained_system: "Sort it.", notes: [note] },
    }),
  );
  expect(part().textContent).toContain(note);
  const back = [...part().querySelectorAll("button")].find((one) => one.textContent === "As trained");
  act(() => back?.click());
  expect(model.commands.at(-1)).toMatchObject({ kind: "settings", values: { system: null } });
});

test("a row is asked by its number, and its answer stands beside with a mark on what is the same", () => {
  act(() =>
    model.receive({
      busy: false,
      tries: { stage: "ready", words: "held-out rows of x", at: 1, total: 3, text: "hi", expected: "Hello" },
    }),
  );
  const button = [...el.querySelectorAll("button")].find((one) => one.textContent === "Ask this row");
  act(() => button?.click());
  expect(model.commands.at(-1)).toMatchObject({ kind: "try_row", at: 1 });
  const sides = { tuned: side({ text: "Hello ", status: "done" }), base: side({ text: "Hey", status: "done" }) };
  act(() =>
    model.receive({ turns: [{ ...turn, row: "held-out row of x", expected: "Hello", meaning: "expected", sides }] }),
  );
  expect(texts()).toEqual(["Hello ", "Hey", "Hello"]);
  const marked = [...el.querySelectorAll(".chat-answer")].map((one) => one.textContent?.includes("✓ as expected"));
  expect(marked).toEqual([true, false, false]);
});

test("another run is picked once its list has been asked for", () => {
  const picker = el.querySelector<HTMLSelectElement>('select[aria-label="Run"]');
  expect(picker?.selectedOptions[0]?.textContent).toBe("No run's model");
  act(() => {
    picker?.dispatchEvent(new FocusEvent("focus"));
  });
  expect(model.commands.at(-1)).toMatchObject({ kind: "look_for_runs" });
  const runs = [{ id: "r2", title: "r2: lora, tiny, finished" }];
  act(() => model.receive({ runs, ack: model.commands.at(-1)?.id }));
  if (picker) picker.value = "r2";
  act(() => {
    picker?.dispatchEvent(new Event("change", { bubbles: true }));
  });
  expect(model.commands.at(-1)).toMatchObject({ kind: "show", run: "r2" });
});
