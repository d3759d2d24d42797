import { act } from "preact/test-utils";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { FakeModel } from "../lib/testing/fake-model";
import { urlProblem, variableProblem } from "./checks";
import widget from "./index";
import type { CallRow } from "./types";

const { render } = widget as unknown as {
  render: (options: { model: FakeModel; el: HTMLElement }) => () => void;
};

const TOKEN = "snb-secret-token";
const form = {
  url: "https://api.openai.com/v1",
  model: "",
  api_key_env: "",
  name: "",
  redact: [],
  process: false,
};
const recording = {
  stage: "recording",
  id: "c1",
  target: "https://api.openai.com/v1",
  base_url: "http://127.0.0.1:4/v1",
  clients: [
    { id: "environment", title: "Environment", code: "export OPENAI_API_KEY={token}" },
    { id: "openai", title: "openai client", code: 'OpenAI(api_key="{token}")' },
  ],
};
const row: CallRow = {
  seq: 7,
  id: "call_7",
  at: 1000,
  model: "gpt",
  status: "error",
  words: "failed",
  http: 429,
  route: "upstream",
  stream: false,
  tokens_in: 1,
  tokens_out: null,
  cost: null,
  seconds: 0.5,
  title: "<b>hello</b>",
};

let model: FakeModel;
let el: HTMLElement;
let stop: () => void = () => {};

function show(state: Record<string, unknown> = {}): void {
  model = new FakeModel({
    form,
    choices: { models: [], captures: [], keys: { OPENAI_API_KEY: true } },
    recording: { stage: "none" },
    totals: {},
    page: {},
    call: {},
    costs: {},
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
  vi.restoreAllMocks();
});

const button = (name: string) =>
  [...el.querySelectorAll("button")].find(
    (found) => found.textContent === name || found.getAttribute("aria-label") === name,
  ) as HTMLButtonElement;
const press = (name: string) => act(() => button(name).click());
const kinds = () => model.commands.map((command) => command.kind);

function type(label: string, text: string): void {
  const id = [...el.querySelectorAll("label")].find((found) => found.textContent?.startsWith(label))?.htmlFor;
  const input = document.getElementById(id ?? "") as HTMLInputElement;
  act(() => {
    input.value = text;
    input.dispatchEvent(new Event("input", { bubbles: true }));
  });
  act(() => {
    input.dispatchEvent(new Event("change", { bubbles: true }));
  });
}

describe("what was typed", () => {
  it.each([
    ["", true],
    ["https://api.openai.com/v1", true],
    ["http://127.0.0.1:8000", true],
    ["api.openai.com", false],
    ["https://me:secret@host/v1", false],
    ["https://host/v1?key=secret", false],
    ["sk-proj-secret", false],
  ])("as URL: %s", (url, fine) => expect(urlProblem(url) === undefined).toBe(fine));

  it.each([
    ["", true],
    ["MY_KEY", true],
    ["sk-proj-0123", false],
    ["AIzaSyD0123", false],
  ])("as variable: %s", (name, fine) => expect(variableProblem(name) === undefined).toBe(fine));

  it("stays on the page where it is wrong, because it may be a key", () => {
    show();
    type("Variable with the key", "sk-proj-secret");
    type("Base URL", "https://me:secret@host/v1");
    expect(JSON.stringify(model.state)).not.toContain("secret");
    expect(el.textContent).toContain("Never put a key here");
    expect(button("Start recording").disabled).toBe(true);
    type("Variable with the key", "MY_KEY");
    type("Base URL", "https://host/v1");
    expect(model.commands.map((command) => command.values)).toEqual([
      { api_key_env: "MY_KEY" },
      { url: "https://host/v1" },
    ]);
    expect(button("Start recording").disabled).toBe(false);
  });
});

describe("the token", () => {
  const token = { kind: "token", capture: "c1", token: TOKEN };

  it("is masked until it is asked for, and masked again", () => {
    show({ recording });
    expect(el.textContent).toContain("••••");
    act(() => model.message(token));
    expect(el.innerHTML).not.toContain(TOKEN);
    press("Show token");
    expect(kinds()).toEqual(["token"]);
    act(() => model.message({ ...token, capture: "another" }));
    expect(el.innerHTML).not.toContain(TOKEN);
    act(() => model.message(token));
    expect(el.querySelector("pre")?.textContent).toBe(`export OPENAI_API_KEY=${TOKEN}`);
    expect(JSON.stringify(model.state)).not.toContain(TOKEN);
    press("Hide token");
    expect(el.innerHTML).not.toContain(TOKEN);
  });

  it("is forgotten when another recording is shown", () => {
    show({ recording });
    press("Show token");
    act(() => model.message(token));
    act(() => model.receive({ recording: { ...recording, id: "c2" } }));
    expect(el.innerHTML).not.toContain(TOKEN);
  });

  it("is copied without being shown", async () => {
    const copied = vi.fn().mockResolvedValue(undefined);
    vi.stubGlobal("navigator", { clipboard: { writeText: copied } });
    show({ recording });
    press("Copy Environment, with the token");
    await act(async () => model.message(token));
    expect(copied).toHaveBeenCalledWith(`export OPENAI_API_KEY=${TOKEN}`);
    expect(el.innerHTML).not.toContain(TOKEN);
    vi.unstubAllGlobals();
  });
});

describe("calls", () => {
  const page = { rows: [row], older: true, newer: false, total: 41, search: "", status: "" };

  it("are plain text, opened by name, and turned by pages", () => {
    show({ recording, page });
    expect(el.querySelector("b")).toBeNull();
    press("<b>hello</b>");
    press("Older");
    expect(model.commands.map(({ kind, call, to }) => [kind, call ?? to])).toEqual([
      ["open", "call_7"],
      ["turn", "older"],
    ]);
    expect(button("Newer").disabled).toBe(true);
    expect(el.textContent).toContain("failed 429");
  });

  it("that failed have their error as a card", () => {
    const error = { code: "call-error", what: "The upstream answered 429.", why: "Slow down.", fix: "Wait." };
    const call = {
      ...row,
      dialect: "chat",
      messages: 1,
      usage: {},
      asked: "a",
      answer: "",
      tools: [],
      error,
      code: "x",
    };
    show({ recording, page, call: { ...call, first_byte: null, session: null, finish_reason: null } });
    expect(el.querySelector('[role="alert"]')?.textContent).toContain("Slow down.");
    press("Close");
    expect(kinds()).toEqual(["shut"]);
  });

  it("that could not be recorded are said", () => {
    const totals = { calls: 1, cost: null, statuses: { ok: 1 }, models: [], failed: 3, last_error: "disk is full" };
    show({ recording, totals });
    expect(el.querySelector('[role="alert"]')?.textContent).toContain("disk is full");
  });
});

it("leaves no listener behind", () => {
  show({ recording, page: { rows: [row] } });
  act(() => stop());
  expect(model.listening).toBe(0);
  act(() => {
    stop = render({ model, el });
  });
});

describe("what is said of calls", () => {
  const detail = {
    ...row,
    session: null,
    dialect: "chat",
    finish_reason: "stop",
    first_byte: null,
    retry_of: null,
    usage: {},
    messages: 1,
    asked: "a",
    answer: "b",
    tools: [],
    error: null,
    code: "",
    tags: { feature: "triage" },
    judged: [{ name: "score", value: 0.5, note: "Too short.", at: 1 }],
  };
  const page = { rows: [{ ...row, scores: { score: 0.5 } }], total: 1, tags: ["feature=triage"], tag: "" };

  it("shows scores, notes and tags, and sends new ones", () => {
    show({ recording: { stage: "stopped", id: "c1" }, page, call: detail });
    expect([...el.querySelectorAll("th")].map((head) => head.textContent)).toContain("Score");
    expect(el.querySelector('[aria-label="Scores and notes"]')?.textContent).toContain("score 0.5: Too short.");
    expect(el.textContent).toContain("feature=triage");
    press("Good");
    expect(model.commands.at(-1)).toMatchObject({ kind: "score", call: "call_7", value: 1, note: "" });
  });

  it("has no column of scores where nothing is scored, and none of tags where there are none", () => {
    show({ recording: { stage: "stopped", id: "c1" }, page: { rows: [{ ...row, scores: {} }], total: 1 } });
    expect([...el.querySelectorAll("th")].map((head) => head.textContent)).not.toContain("Score");
    expect(el.querySelector('[aria-label="Tag"]')).toBeNull();
  });

  it("filters by a tag, beside what is searched for", () => {
    show({ recording: { stage: "stopped", id: "c1" }, page: { ...page, search: "parcel", status: "ok" } });
    const select = el.querySelector('[aria-label="Tag"]') as HTMLSelectElement;
    act(() => {
      select.value = "feature=triage";
      select.dispatchEvent(new Event("change", { bubbles: true }));
    });
    expect(model.commands.at(-1)).toMatchObject({
      kind: "filter",
      search: "parcel",
      status: "ok",
      tag: "feature=triage",
    });
  });

  it("adds costs up by call site when that is asked for", () => {
    const sums = { calls: 3, tokens_in: 10, tokens_out: 5, cost: 0.5, estimated: null, unpriced: 0 };
    const costs = {
      by: "tag:feature",
      rows: [
        { site: "triage", ...sums },
        { site: "", ...sums },
      ],
      more: 2,
      newest: 20000,
    };
    const totals = {
      calls: 1,
      prompt_tokens: 1,
      completion_tokens: 1,
      cost: null,
      unpriced: 1,
      statuses: {},
      models: [],
      more_models: 0,
      active: 0,
      refused: 0,
      failed: 0,
    };
    show({ recording: { stage: "stopped", id: "c1" }, page, totals, costs });
    const table = el.querySelector('table[aria-label="Costs by call site"]');
    expect(table?.textContent).toContain("triage");
    expect(table?.textContent).toContain("(none)");
    expect(el.textContent).toContain("of the newest 20,000 calls");
    press("Add up");
    expect(model.commands.at(-1)).toMatchObject({ kind: "costs", by: "tag:feature" });
  });
});
