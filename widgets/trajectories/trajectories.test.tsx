import { act } from "preact/test-utils";
import { afterEach, beforeEach, expect, test } from "vitest";
import { FakeModel } from "../lib/testing/fake-model";
import widget from "./index";
import type { Conversation, Message, Row } from "./types";

const { render } = widget as unknown as {
  render: (options: { model: FakeModel; el: HTMLElement }) => () => void;
};

const row = (id: number, values: Partial<Row> = {}): Row => ({
  id,
  kind: "episode",
  session: null,
  messages: 4,
  answers: 2,
  tool_calls: 1,
  tools: ["look"],
  tokens_in: 20,
  tokens_out: 4,
  cost: 0.02,
  score: null,
  started_at: 1000,
  seconds: 1,
  whole: 1,
  title: `task ${id}`,
  last: "done",
  ...values,
});
const message = (at: number, role: string, values: Partial<Message> = {}): Message => ({
  at,
  role,
  text: `text ${at}`,
  length: 6,
  recorded: false,
  trained: false,
  ...values,
});
const conversation: Conversation = {
  id: 3,
  facts: { ...row(3), whole: 1 },
  models: ["gpt"],
  rented: ["gpt"],
  metrics: {},
  failed: [],
  notes: [{ name: "score", value: 1, note: "Found it at once.", at: 5 }],
  tools: [{ name: "look", schema: "{}" }],
  total: 5,
  begin: 0,
  messages: [
    message(0, "system"),
    message(1, "user", { text: "<img src=x onerror=alert(1)>", length: 9000 }),
    message(2, "assistant", {
      recorded: true,
      trained: true,
      text: "",
      length: 0,
      calls: [{ name: "look", arguments: '{"at": 1}', length: 9 }],
    }),
    message(3, "tool", { name: "look" }),
    message(4, "assistant", { recorded: true, trained: false }),
  ],
  related: [
    { id: 8, kind: "retry", relation: "path", at: 4, messages: 5, title: "t", last: "again", whole: 1 },
    { id: 9, kind: "subagent", relation: "child", at: 3, messages: 2, title: "search Rome", last: "", whole: 1 },
    { id: 2, kind: "episode", relation: "parent", at: 0, messages: 9, title: "the lead", last: "", whole: 1 },
  ],
  answer: "text 4",
  correction: "",
  attempts: [
    { id: 3, last: "text 4", score: null, rank: null },
    { id: 5, last: "another", score: 1, rank: null },
    { id: 6, last: "a third", score: null, rank: 2 },
  ],
};

let model: FakeModel;
let el: HTMLElement;
let stop: () => void;

function show(state: Record<string, unknown> = {}): void {
  model = new FakeModel({
    source: { stage: "ready", id: "c1", read: 90, calls: 90 },
    choices: { captures: [{ id: "c1", title: "c1: host" }], models: [] },
    query: { search: "", kind: "", model: "", tool: "", min_messages: 0, sort: "newest", offset: 20 },
    facets: { episodes: 45, kinds: { episode: 40, retry: 5 }, models: ["gpt"], tools: ["look"], scored: false },
    page: { rows: [row(3), row(4, { whole: 0, kind: "retry" })], total: 45, size: 20 },
    conversation: {},
    inspection: { stage: "none" },
    tokens_of: "",
    clicks: { rated: 0, corrected: 0, ranked: 0, undo: false },
    handed: {},
    code: {},
    ...state,
  });
  act(() => {
    stop = render({ model, el });
  });
}

beforeEach(() => {
  el = document.createElement("div");
  document.body.append(el);
});

afterEach(() => {
  act(() => stop());
  el.remove();
});

const button = (name: string) =>
  [...el.querySelectorAll("button")].find((found) => found.textContent === name) as HTMLButtonElement;
const press = (name: string) => act(() => button(name).click());
const last = () => {
  const { id: _, ...command } = model.commands.at(-1) ?? { id: "", kind: "" };
  return command;
};
const items = () => [...el.querySelectorAll(".trajectories-messages > li")];

test("the list says kind and trouble in words, and turns by pages", () => {
  show();
  expect(el.textContent).toContain("21 to 40 of 45");
  expect(el.querySelectorAll("tbody tr")[1]?.textContent).toContain("broke off");
  press("Next");
  expect(last()).toEqual({ kind: "query", values: { offset: 40 } });
  press("First");
  expect(last()).toEqual({ kind: "query", values: { offset: 0 } });
  press("task 4");
  expect(last()).toEqual({ kind: "open", episode: 4 });
});

test("a search that looks at a part of the calls says so", () => {
  show({ page: { rows: [row(1)], total: 1, size: 20, searched: 0 } });
  expect(el.querySelector('[role="note"]')).toBeNull();
  act(() => model.receive({ page: { rows: [row(1)], total: 1, size: 20, searched: 10000 } }));
  expect(el.querySelector('[role="note"]')?.textContent).toContain("only the newest 10,000");
});

test("scores are a column and an order only where there are some", () => {
  show();
  expect(el.textContent).not.toMatch(/score/i);
  act(() => model.receive({ facets: { ...(model.get("facets") as object), scored: true } }));
  expect(el.querySelector("thead")?.textContent).toContain("Score");
  expect(el.textContent).toContain("best score first");
});

test("a conversation: text is text, tools are folded, what is trained is said in words", () => {
  show({ conversation });
  expect(el.querySelector("img")).toBeNull();
  const [system, , calls, result] = items().filter((item) => !item.classList.contains("trajectories-parting"));
  for (const item of [system, calls, result]) {
    expect(item?.querySelector("details")?.open).toBe(false);
  }
  expect(calls?.querySelector("summary")?.textContent).toContain("calls look");
  expect(calls?.textContent).toContain("recorded");
  expect(items().at(-1)?.textContent).toContain("recorded, not trained");
  press("Show all 9,000 characters");
  expect(last()).toEqual({ kind: "whole", at: 1, part: "text" });
});

test("other paths and agents stand where they part, and open", () => {
  show({ conversation });
  const partings = [...el.querySelectorAll(".trajectories-parting")];
  expect(partings.map((parting) => parting.previousElementSibling?.textContent?.slice(0, 9))).toEqual([
    "assistant",
    "toollookt",
  ]);
  expect(partings.map((parting) => parting.textContent)).toEqual([
    "Started here:subagent: search Rome",
    "Also from here:retry: again",
  ]);
  press("retry: again");
  expect(last()).toEqual({ kind: "open", episode: 8 });
  press("episode: the lead");
  expect(last()).toEqual({ kind: "open", episode: 2 });
});

test("trained tokens are underlined, in windows", () => {
  const tokens = [
    [1, "<s>", false, true],
    [2, "yes", true, false],
  ];
  show({
    conversation,
    choices: { captures: [], models: [{ id: "var:m", title: "m" }] },
    tokens_of: "var:m",
    inspection: { stage: "ready", tokens, begin: 2, total: 6, summary: "6 tokens, 1 trained", template: "t" },
  });
  expect(el.querySelector("ins")?.textContent).toBe("yes");
  expect(el.textContent).toContain("6 tokens, 1 trained; trained ones are underlined");
  expect(el.textContent).toContain("Answers of gpt: the provider's terms");
  press("Tokens after");
  expect(last()).toEqual({ kind: "inspect", begin: 4 });
  press("Tokens before");
  expect(last()).toEqual({ kind: "inspect", begin: 0 });
});

test("no capture, reading, and a failure each say what is next", () => {
  show({ source: { stage: "none" }, page: {}, facets: {} });
  expect(el.textContent).toContain("No capture is chosen");
  act(() => model.receive({ source: { stage: "reading", id: "c1", read: 50, calls: 200 } }));
  expect(el.querySelector('[role="progressbar"]')?.getAttribute("aria-valuenow")).toBe("25");
  act(() =>
    model.receive({ source: { stage: "failed", error: { code: "data", what: "It broke.", fix: "Mend it." } } }),
  );
  expect(el.querySelector('[role="alert"]')?.textContent).toContain("Mend it.");
});

test("an episode is judged, with a note or without", () => {
  show({ conversation });
  expect(el.textContent).toContain("score 1 Found it at once.");
  press("Bad b");
  expect(last()).toEqual({ kind: "score", value: 0, note: "", episode: 3 });
  press("Bad b");
  expect(model.commands).toHaveLength(1);
});

const article = () => el.querySelector('[aria-label="Open episode"]') as HTMLElement;
const key = (name: string, where: Element = article()) => {
  act(() => {
    where.dispatchEvent(new KeyboardEvent("keydown", { key: name, bubbles: true, cancelable: true }));
  });
  act(() => model.receive({ ack: model.commands.at(-1)?.id }));
};

test("an open episode is judged by keys, never while somebody types", () => {
  show({ conversation, clicks: { rated: 1, corrected: 0, ranked: 0, undo: true } });
  for (const [name, sent] of [
    ["g", { kind: "score", value: 1, note: "", episode: 3 }],
    ["b", { kind: "score", value: 0, note: "", episode: 3 }],
    ["u", { kind: "undo" }],
    ["j", { kind: "step", by: 1 }],
    ["k", { kind: "step", by: -1 }],
  ] as const) {
    key(name);
    expect(last()).toEqual(sent);
  }
  const sent = model.commands.length;
  key("e");
  const editor = el.querySelector("textarea") as HTMLTextAreaElement;
  expect(document.activeElement).toBe(editor);
  key("g", editor);
  key("1", editor);
  expect(model.commands).toHaveLength(sent);
});

test("keys that are pressed before the kernel has answered are kept, in their order, for the episode on screen", () => {
  show({ conversation });
  for (const name of [..."gjjb"]) {
    act(() => {
      article().dispatchEvent(new KeyboardEvent("keydown", { key: name, bubbles: true, cancelable: true }));
    });
  }
  expect(model.commands.map(({ id: _, ...command }) => command)).toEqual([
    { kind: "score", value: 1, note: "", episode: 3 },
    { kind: "step", by: 1 },
    { kind: "step", by: 1 },
    { kind: "score", value: 0, note: "", episode: 3 },
  ]);
});

test("a better answer is begun with the one that was given", () => {
  show({ conversation });
  const editor = el.querySelector("textarea") as HTMLTextAreaElement;
  expect(editor.value).toBe("text 4");
  expect(button("Keep the answer").disabled).toBe(true);
  act(() => {
    editor.value = "much better";
    editor.dispatchEvent(new Event("input", { bubbles: true }));
  });
  press("Keep the answer");
  expect(last()).toEqual({ kind: "correct", answer: "much better", episode: 3 });
});

test("attempts are ranked by number keys, with ties, and nothing is sent before the order is kept", () => {
  show({ conversation });
  const before = model.commands.length;
  for (const name of ["3", "1", "3", "="]) key(name);
  expect(el.querySelector("output")?.textContent).toBe("3 > 1");
  key("2");
  expect(el.querySelector("output")?.textContent).toBe("3 > 1 = 2");
  expect(model.commands).toHaveLength(before);
  key("Backspace");
  key("2");
  expect(el.querySelector("output")?.textContent).toBe("3 > 1 > 2");
  key("Enter");
  expect(last()).toEqual({ kind: "rank", best_first: [[6], [3], [5]] });
});

test("clicks are counted and trained on", () => {
  show({ clicks: { rated: 4, corrected: 1, ranked: 0, undo: true } });
  expect(el.textContent).toContain("4 rated, 1 corrected, 0 ranked");
  press("Pairs, dpo");
  expect(last()).toEqual({ kind: "use", what: "pairs" });
  act(() => model.receive({ handed: { what: "pairs", method: "dpo", rows: 2, taken: false } }));
  expect(el.textContent).toContain('model.train(store.to_preferences(), method="dpo")');
});
