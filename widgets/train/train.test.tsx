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

const state = {
  choices: { data: [{ id: "var:rows", title: "rows", group: "Notebook variables" }], models: [] },
  data_state: { stage: "ready", choice: "var:rows", format: "chat", rows: 3, valid: 3, bad: [], preview: [] },
  eval_state: { kind: "auto" },
  model_state: { stage: "ready", choice: "given", name: "tiny", dtype: "float32", device: "cpu" },
  method: "lora",
  methods: [
    { name: "lora", title: "LoRA", group: "Adapters", hint: "Small.", data: "chats", share: "", blocked: null },
    {
      name: "qlora",
      title: "QLoRA",
      group: "Adapters",
      hint: "4 bits.",
      data: "chats",
      share: "",
      blocked: "needs 4 bits",
    },
  ],
  hardware: { devices: [], recommended: "cpu" },
  fields: [field("learning_rate", "Learning rate"), field("seed", "Seed", { advanced: true })],
  form,
  inspection: { stage: "none" },
  plan: [],
  estimate: { stage: "none" },
  code: {},
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

test("a method registered later appears", () => {
  act(() => model.receive({ methods: [...state.methods, { ...state.methods[0], name: "wide", title: "Wide LoRA" }] }));
  expect(el.querySelector('input[value="wide"]')).not.toBeNull();
});

test("changed advanced options are counted where they are folded away", () => {
  act(() => model.receive({ form: { ...form, values: { seed: "1" }, changed_advanced: 1 } }));
  expect([...el.querySelectorAll("summary")].map((one) => one.textContent)).toContain("Advanced options (1 changed)");
});
