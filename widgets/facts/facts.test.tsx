import { act } from "preact/test-utils";
import { expect, test } from "vitest";
import { mounted } from "../lib/testing/mounted";
import widget from "./index";
import type { Answered, FactRow } from "./types";

const row = (question: string, values: Partial<FactRow> = {}): FactRow => ({
  question,
  answer: "A7",
  source: "",
  found: true,
  score: 2.5,
  recalled: null,
  ...values,
});
const answered: Answered = {
  question: "Gate code?",
  why: "It asks for the gate.",
  abstains: false,
  threshold: -1,
  candidates: [
    { question: "What is the code?", answer: "A7", score: 1.25, words: 0.5, meaning: 0.8, asked: 0.9, taken: true },
  ],
  told: "A7",
  alone: "<b>I don't know</b>",
  sources: ["manual"],
};

const page = mounted(widget, {
  name: "tiny",
  facts: [],
  count: 0,
  state: { stage: "ready" },
  told: [],
  undoable: false,
  answer: {},
  code: {},
});
const { show, sent, button } = page;
const field = (label: string, within = "form") =>
  [...page.el.querySelectorAll<HTMLInputElement>(`${within} input`)].find(
    (each) => page.el.querySelector(`label[for="${each.id}"]`)?.textContent === label,
  );

function type(label: string, text: string, within?: string): void {
  const input = field(label, within);
  if (input === undefined) throw new Error(`no field ${label}`);
  input.value = text;
  act(() => {
    input.dispatchEvent(new Event("input", { bubbles: true }));
  });
}

function stage(name: "working" | "ready" | "failed"): void {
  act(() => {
    const error = { code: "data", kind: "DataError", what: "No word.", why: "", fix: "Name one." };
    page.model.set("state", name === "failed" ? { stage: name, error } : { stage: name, doing: "learning" });
  });
}

test("without a model it says what to do", () => {
  show({ name: "" });
  expect(page.el.textContent).toContain("No model yet");
  act(() => button("Look again")?.click());
  expect(sent().at(-1)).toMatchObject({ kind: "look" });
});

test("a fact is added once it has a question and an answer", () => {
  show();
  expect(page.el.textContent).toContain("knows nothing by heart yet");
  expect(button("Learn it")?.disabled).toBe(true);
  type("Question", "What is the code of the gate?");
  type("Answer", "A7");
  act(() => button("Learn it")?.click());
  expect(sent().at(-1)).toMatchObject({ kind: "add", question: "What is the code of the gate?", answer: "A7" });
  stage("working");
  expect(field("Question")?.value).toBe("What is the code of the gate?");
  stage("ready");
  expect(field("Question")?.value).toBe("");
});

test("what was typed stays where it could not be learned", () => {
  show();
  type("Question", "What is it?");
  type("Answer", "A7");
  act(() => button("Learn it")?.click());
  stage("working");
  stage("failed");
  expect([field("Question")?.value, field("Answer")?.value]).toEqual(["What is it?", "A7"]);
  stage("working"); // something else is done
  stage("ready");
  expect(field("Question")?.value).toBe("What is it?");
});

test("another answer is given to the very fact", () => {
  show({ facts: [row("What is it?"), row("What is the code?", { source: "manual" })], count: 2 });
  act(() => page.el.querySelector<HTMLElement>('[aria-label="Edit: What is the code?"]')?.click());
  expect(field("Question")?.readOnly).toBe(true);
  type("Answer", "B8");
  act(() => button("Learn the new answer")?.click());
  expect(sent().at(-1)).toMatchObject({ kind: "update", which: "What is the code?", answer: "B8", source: "manual" });
  stage("working");
  expect(button("Learn the new answer")).toBeDefined();
  stage("ready");
  expect(button("Learn it")).toBeDefined();
});

test("the table says what is found and what is recalled", () => {
  const recalled = { verbatim: false, paraphrased: 1, of: 3, said: "<i>B8</i>" };
  show({ facts: [row("What is it?", { found: false }), row("What is the code?", { recalled })], count: 300 });
  expect(page.el.textContent).toContain("not found");
  expect(page.el.textContent).toContain("1 of 3 in other words");
  expect(page.el.textContent).toContain("It says: <i>B8</i>");
  expect(page.el.textContent).toContain("The first 2 are shown");
  act(() => page.el.querySelector<HTMLElement>('[aria-label="Remove: What is it?"]')?.click());
  expect(sent().at(-1)).toMatchObject({ kind: "remove", which: "What is it?" });
});

test("a question shows where it goes, and both answers as text", () => {
  show({ facts: [row("What is the code?")], count: 1, answer: answered });
  expect(page.el.textContent).toContain("from memory");
  expect(page.el.textContent).toContain("<b>I don't know</b>");
  expect(page.el.querySelector(".facts-side b")).toBeNull();
  expect(page.el.textContent).toContain("Source: manual");
  type("Question", "Gate?", ".facts-ask");
  act(() => button("Ask")?.click());
  expect(sent().at(-1)).toMatchObject({ kind: "ask", question: "Gate?" });
});

test("nothing can be changed while something is learned", () => {
  show({ facts: [row("What is the code?")], count: 1, state: { stage: "working", doing: "learning" }, undoable: true });
  expect(page.el.querySelector('[role="progressbar"]')?.getAttribute("aria-label")).toBe("Learning");
  for (const text of ["Undo the last edit", "Ask for every fact", "Remove", "Edit"]) {
    expect(button(text)?.disabled, text).toBe(true);
  }
});

test("what failed is a card", () => {
  const error = {
    code: "method",
    kind: "MethodError",
    what: "It carries lora.",
    why: "One.",
    fix: "Load a fresh one.",
  };
  show({ state: { stage: "failed", error } });
  expect(page.el.querySelector('[role="alert"]')?.textContent).toContain("It carries lora.");
});
