import { act } from "preact/test-utils";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { FakeModel } from "../lib/testing/fake-model";
import widget from "./index";

const { render } = widget as unknown as { render: (options: { model: FakeModel; el: HTMLElement }) => () => void };

const field = (name: string, title: string, more: object = {}) => ({
  name,
  title,
  kind: "float",
  default: null,
  help: "Help.",
  group: "schedule",
  group_title: "Schedule",
  advanced: false,
  unit: "",
  optional: true,
  choices: [],
  minimum: null,
  exclusive_minimum: null,
  maximum: null,
  ...more,
});

const form = { values: {}, problems: {}, unsupported: {}, resolved: { learning_rate: "0.0005" }, changed_advanced: 0 };

const method = (name: string, title: string, more: object = {}) => ({
  name,
  title,
  group: "Adapters",
  hint: "Small.",
  data: "chats",
  rate: "0.0005",
  rate_source: "ten times full tuning",
  share: null,
  blocked: null,
  ...more,
});

const state = {
  choices: { data: [{ id: "var:rows", title: "rows", group: "Notebook variables" }], models: [] },
  data_state: { stage: "ready", choice: "var:rows", format: "chat", rows: 3, valid: 3, bad: [], preview: [] },
  eval_state: { kind: "auto" },
  model_state: { stage: "ready", choice: "given", name: "tiny", dtype: "float32", device: "cpu" },
  start: { choice: "base", choices: [{ id: "base", title: "The base", note: "nothing was trained on it yet" }] },
  method: "lora",
  methods: [
    method("lora", "LoRA", { share: { count: 886000, share: 0.0066 } }),
    method("qlora", "QLoRA", { blocked: "needs 4 bits" }),
  ],
  memory: { lora: { expected_gb: 1.9, fits: true } },
  hardware: { devices: [], recommended: "cpu" },
  fields: [field("learning_rate", "Learning rate"), field("seed", "Seed", { advanced: true })],
  form,
  inspection: { stage: "none" },
  plan: [],
  estimate: { stage: "none" },
  code: {},
  certificate: { stage: "none" },
  run_state: { stage: "none" },
  error: {},
  ack: "",
};

let model: FakeModel;
let el: HTMLElement;
let stop: () => void;

beforeEach(() => {
  vi.useFakeTimers();
  model = new FakeModel(structuredClone(state));
  el = document.createElement("div");
  document.body.append(el);
  act(() => {
    stop = render({ model, el });
  });
});

afterEach(() => {
  act(() => stop());
  el.remove();
  vi.useRealTimers();
});

const option = (name: string) => el.querySelector<HTMLInputElement>(`[data-option="${name}"]`) as HTMLInputElement;
const startButton = () => el.querySelector<HTMLButtonElement>(".train-go > .snb-button") as HTMLButtonElement;
const kinds = () => model.commands.map((command) => command.kind);

function type(name: string, text: string): void {
  const input = option(name);
  act(() => {
    input.value = text;
    input.dispatchEvent(new Event("input", { bubbles: true }));
  });
}

test("functions of the notebook are named by a press, and taken back by another", () => {
  const rewards = field("reward_fns", "Reward functions", { kind: "list", default: [], functions: "scorer" });
  const functions = {
    scorer: [
      { name: "words", group: "Notebook" },
      { name: "exact", group: "Built in" },
    ],
  };
  act(() => model.receive({ fields: [rewards], choices: { functions } }));
  const chip = (name: string) =>
    [...el.querySelectorAll<HTMLButtonElement>(".train-function")].find((b) => b.textContent?.startsWith(name));
  act(() => chip("words")?.click());
  expect(model.commands.at(-1)).toMatchObject({ kind: "set", values: { reward_fns: "words" } });
  expect(chip("words")?.getAttribute("aria-pressed")).toBe("true");
  act(() => chip("exact")?.click());
  expect(model.commands.at(-1)).toMatchObject({ kind: "set", values: { reward_fns: "words\nexact" } });
  act(() => chip("words")?.click());
  expect(model.commands.at(-1)).toMatchObject({ kind: "set", values: { reward_fns: "exact" } });
});

test("an option that names one thing has what was pressed last", () => {
  const teacher = field("teacher", "Teacher", { kind: "str", default: "", functions: "teacher" });
  const functions = {
    teacher: [
      { name: "big", group: "Notebook" },
      { name: "smollm2-135m", group: "Built in" },
    ],
  };
  act(() => model.receive({ fields: [teacher], choices: { functions } }));
  const chip = (name: string) =>
    [...el.querySelectorAll<HTMLButtonElement>(".train-function")].find((b) => b.textContent?.startsWith(name));
  act(() => chip("big")?.click());
  expect(model.commands.at(-1)).toMatchObject({ kind: "set", values: { teacher: "big" } });
  act(() => chip("smollm2-135m")?.click());
  expect(model.commands.at(-1)).toMatchObject({ kind: "set", values: { teacher: "smollm2-135m" } });
  act(() => chip("smollm2-135m")?.click());
  expect(model.commands.at(-1)).toMatchObject({ kind: "set", values: { teacher: "" } });
});

test("what is typed goes to the kernel once it pauses, and the button waits for the answer", () => {
  for (const text of ["-", "-1"]) type("learning_rate", text);
  expect(kinds()).toEqual([]);
  expect(startButton().textContent).toBe("Checking options");
  act(() => {
    vi.runAllTimers();
  });
  expect(model.commands).toMatchObject([{ kind: "set", values: { learning_rate: "-1" } }]);
  act(() =>
    model.receive({
      form: { ...form, values: { learning_rate: "-1" }, problems: { learning_rate: "must be above 0" } },
    }),
  );
  expect(startButton().textContent).toBe("Learning rate must be above 0");
  const said = document.getElementById(option("learning_rate").getAttribute("aria-describedby") ?? "");
  expect([option("learning_rate").getAttribute("aria-invalid"), said?.textContent]).toEqual([
    "true",
    "Learning rate must be above 0.",
  ]);
});

test("a default is a placeholder, never a value", () => {
  expect([option("learning_rate").value, option("learning_rate").placeholder]).toEqual(["", "0.0005"]);
});

test("the button starts when all is there, and leads to what is missing when not", () => {
  act(() => startButton().click());
  expect(kinds()).toEqual(["start"]);
  act(() => model.receive({ data_state: { stage: "none" } }));
  expect(startButton().textContent).toBe("Choose data");
  act(() => startButton().click());
  expect(kinds()).toEqual(["start"]);
  expect(document.activeElement).toBe(el.querySelector('[data-part="data"] select'));
});

test("a method that can't be used is disabled and says why", () => {
  const radio = el.querySelector<HTMLInputElement>('input[value="qlora"]');
  const reason = document.getElementById(radio?.getAttribute("aria-describedby") ?? "");
  expect([radio?.disabled, reason?.textContent?.includes("needs 4 bits")]).toEqual([true, true]);
});

test("a method's card, its details and the comparison say what it needs and costs", () => {
  const radio = el.querySelector<HTMLInputElement>('input[value="lora"]');
  const told = document.getElementById(radio?.getAttribute("aria-describedby") ?? "")?.textContent;
  expect(told).toBe("Small.For chats; 0.66% of the weights (0.9 M), about 1.90 GB");
  const rows = () => [...el.querySelectorAll(".train-about dd")].map((row) => row.textContent?.trim());
  expect(rows()).toEqual(["chats", "5e-4 ten times full tuning", "0.66% of the weights (0.9 M)", "about 1.90 GB"]);
  const table = [...el.querySelectorAll(".train-comparison tbody tr")].map((row) => row.textContent);
  expect(table[0]).toContain("can be used");
  expect(table[1]).toContain("needs 4 bits");
  act(() => model.receive({ memory: { lora: { expected_gb: 40, fits: false } } }));
  expect(rows().at(-1)).toBe("about 40.00 GB, may not fit");
});

test("a switch shows the method's own default and sends only what differs from it", () => {
  const packing = field("packing", "Packing", { kind: "bool", default: false, optional: false });
  act(() => model.receive({ fields: [packing], form: { ...form, resolved: { packing: true } } }));
  const box = el.querySelector<HTMLInputElement>('[data-part="options"] [role="switch"]') as HTMLInputElement;
  expect(box.checked).toBe(true);
  act(() => box.click());
  act(() => {
    vi.advanceTimersByTime(500);
  });
  expect(model.commands.at(-1)).toMatchObject({ kind: "set", values: { packing: false } });
});

test("what several methods need is said once, what one needs stays on its card", () => {
  const blocked = (name: string, reason: string) => method(name, name.toUpperCase(), { blocked: reason });
  const fix = "Load a fresh model";
  const methods = [
    blocked("a", `a: carries x; ${fix}`),
    blocked("b", `b: carries x; ${fix}`),
    blocked("c", "c: no; Try d"),
    blocked("d", "d needs e; this is f"),
    blocked("g", "g needs h; this is f"),
  ];
  act(() => model.receive({ methods }));
  expect([...el.querySelectorAll(".train-fix")].map((note) => note.textContent)).toEqual([`To use A or B: ${fix}.`]);
  expect([...el.querySelectorAll(".train-blocked")].map((reason) => reason.textContent)).toEqual([
    "Not here: a: carries x.",
    "Not here: b: carries x.",
    "Not here: c: no; Try d.",
    "Not here: d needs e; this is f.",
    "Not here: g needs h; this is f.",
  ]);
});

test("a method registered later appears", () => {
  act(() => model.receive({ methods: [...state.methods, { ...state.methods[0], name: "wide", title: "Wide LoRA" }] }));
  expect(el.querySelector('input[value="wide"]')).not.toBeNull();
});

test("changed advanced options are counted where they are folded away", () => {
  act(() => model.receive({ form: { ...form, values: { seed: "1" }, changed_advanced: 1 } }));
  expect([...el.querySelectorAll("summary")].map((one) => one.textContent)).toContain("Advanced options (1 changed)");
});

test("each sequence of a row says what it is", () => {
  act(() =>
    model.receive({
      inspection: {
        stage: "ready",
        row: 0,
        captions: ["chosen", "rejected"],
        sequences: [[[1, "yes", true]], [[2, "no", true]]],
        summary: "row 0; 2 tokens",
      },
    }),
  );
  const fold = [...el.querySelectorAll("details")].find((one) => one.textContent?.startsWith("Tokens the model"));
  const shown = [...(fold?.querySelectorAll("h3, .snb-tokens") ?? [])].map((part) => part.textContent);
  expect(shown).toEqual(["chosen", "yes", "rejected", "no"]);
});

test("the template's certificate says what fails and why, in words and not by colour alone", async () => {
  expect(el.querySelector(".snb-proofs")).toBeNull();
  const proof = (name: string, status: string, reason: string, example = "") => ({
    name,
    claim: "c",
    status,
    reason,
    example,
  });
  await act(async () => {
    model.receive({
      certificate: {
        stage: "ready",
        ok: false,
        template_source: "model",
        template_reason: "it carries tools",
        proofs: [
          proof("texts", "pass", "written whole", "shown"),
          proof("parallel", "fail", "left out: calls", "<|eot_id|>"),
          proof("parser", "n/a", "no tools"),
        ],
      },
    });
  });
  const card = el.querySelector(".snb-proofs")?.closest("details");
  expect(card?.querySelector("summary")?.textContent).toBe("Chat template: 1 of 2 proofs pass");
  expect([...el.querySelectorAll(".snb-proofs tr")].map((row) => row.textContent)).toEqual([
    "✓ passtextswritten whole",
    "✗ failparallelleft out: calls<|eot_id|>",
    "– n/aparserno tools",
  ]);
  expect(card?.textContent).toContain("on_template_drop");
});

test("what a run starts from is a choice that the button repeats, and a copy is one click", () => {
  const button = () => el.querySelector(".train-go .snb-button")?.textContent;
  act(() =>
    model.receive({
      run_state: { stage: "ended", id: "r", status: "succeeded" },
      start: {
        choice: "base",
        choices: [
          { id: "base", title: "The fresh base", note: "run r keeps its result" },
          { id: "trained", title: "Train on from step 3 of run r", note: "the model as it is now" },
        ],
        copy_gb: 0.5,
      },
    }),
  );
  expect(button()).toBe("Train again from the base");
  const part = [...el.querySelectorAll("fieldset")].find((one) => one.textContent?.startsWith("Start from"));
  const radios = part?.querySelectorAll<HTMLInputElement>("input[type=radio]") ?? [];
  act(() => radios[1]?.click());
  expect(model.commands.at(-1)).toMatchObject({ kind: "start_from", choice: "trained" });
  act(() => model.receive({ start: { ...(model.get("start") as object), choice: "trained" } }));
  expect(button()).toBe("Train the tuned model on");
  expect(part?.textContent).toContain("takes 500 MB more");
  act(() => [...(part?.querySelectorAll("button") ?? [])].at(-1)?.click());
  expect(model.commands.at(-1)).toMatchObject({ kind: "fresh_copy" });
});

test("columns say how they are read, open where rows are refused, and send what is chosen for them", () => {
  const column = (name: string, more: object = {}) => ({ name, target: "", key: false, unread: null, ...more });
  const unread = { rows: 2, kind: "text", example: "etwas", refuses: true };
  act(() =>
    model.receive({
      data_state: {
        ...state.data_state,
        stage: "failed",
        columns: [column("frage"), column("notiz", { unread }), column("messages[].audio", { key: true, unread })],
        targets: ["prompt", "completion"],
      },
    }),
  );
  const table = el.querySelector(".snb-columns") as HTMLTableElement;
  expect(table.closest("details")?.hasAttribute("open")).toBe(true);
  expect(table.textContent).toContain("2 rows refused: text (etwas)");
  const select = el.querySelector<HTMLSelectElement>('[aria-label="Read frage as"]') as HTMLSelectElement;
  expect([...select.options].map((one) => one.value)).toEqual(["", "prompt", "completion", "ignore"]);
  const key = el.querySelector<HTMLSelectElement>('[aria-label="Read messages[].audio as"]') as HTMLSelectElement;
  expect([...key.options].map((one) => one.value)).toEqual(["", "ignore"]);
  act(() => {
    select.value = "prompt";
    select.dispatchEvent(new Event("change", { bubbles: true }));
  });
  expect(model.commands).toMatchObject([{ kind: "map_column", column: "frage", target: "prompt" }]);
});
