import { act } from "preact/test-utils";
import { expect, test } from "vitest";
import { mounted } from "../lib/testing/mounted";
import widget from "./index";

const action = (id: string, title: string) => ({ id, title, about: `About ${id}.`, code: `code of ${id}` });
const page = mounted(widget, {
  panel_id: "finish",
  about: { id: "run-1", method: "lora", model: "tiny", start: "the base", path: "/runs/run-1" },
  status: { status: "succeeded", phase: {}, step: 4, total: 4, last: {}, best: null, attempt: 1 },
  delta: {},
  snapshot: { full: true, series: {} },
  charts: [],
  record: {},
  samples: [{ step: 4, items: [{ prompt: "Say 1.", completion: "one", expected: "one", before: "two" }] }],
  answers: { steps: [], step: 0, following: true, groups: [] },
  checkpoints: [
    { step: 2, path: "/runs/run-1/checkpoints/step-000002", eval_loss: 0.5, result: false, gone: false },
    { step: 4, path: "/runs/run-1/checkpoints/step-000004", eval_loss: 0.4, result: true, gone: false, final: true },
  ],
  losses: { stage: "none" },
  finishes: [action("chat", "Chat"), action("serve", "Serve"), action("resume", "Resume")],
  finishes_linked: true,
  runs: [],
  warnings: [],
  failure: {},
  pictured: "",
  code: {},
});
const { show } = page;
const last = () => page.sent().at(-1);
const press = (text: string) => act(() => page.button(text)?.click());
const acked = () => act(() => page.model.set("ack", String(last()?.id)));

test("in Studio a button asks for its panel, and the code of each can be copied", () => {
  show();
  press("Serve");
  expect(last()).toMatchObject({ kind: "finish", action: "serve", run: "run-1" });
  expect(page.button("Resume")).toBeUndefined(); // it has a button in the header, with its step
  expect(page.el.textContent).toContain("code of chat");
});

test("alone a button shows the cell and sends nothing", () => {
  show({ finishes_linked: false });
  expect(page.el.textContent).not.toContain("code of serve");
  press("Serve");
  expect(page.sent()).toEqual([]);
  expect(page.el.textContent).toContain("code of serve");
  expect(page.button("Serve")?.getAttribute("aria-expanded")).toBe("true");
  press("Serve");
  expect(page.el.textContent).not.toContain("code of serve");
});

test("samples stand beside what the row expects and what was answered before", () => {
  show();
  const heads = [...page.el.querySelectorAll("th[scope=col]")].map((each) => each.textContent);
  expect(heads).toEqual(["Prompt", "Expected", "Before training (the base)", "Step 4"]);
  expect(page.el.textContent).toContain("✓ as expected");
});

test("checkpoints are measured, asked beside each other, branched from and promoted", () => {
  show();
  act(() =>
    [...page.el.querySelectorAll<HTMLElement>('[role="tab"]')]
      .find((tab) => tab.textContent?.startsWith("Checkpoints"))
      ?.click(),
  );
  press("Compare by held-out loss");
  expect(last()).toMatchObject({ kind: "measure" });
  acked();
  act(() => page.model.set("losses", { stage: "ready", rows: 8, losses: { base: 2.5, "2": 0.75, "4": 0.5 } }));
  expect(page.el.textContent).toContain("On 8 held-out rows the base has a loss of 2.5");
  expect((page.button("Compare by chat") as HTMLButtonElement).disabled).toBe(true);
  act(() => page.el.querySelector<HTMLInputElement>('[aria-label="Chat with step 2"]')?.click());
  press("Compare by chat");
  expect(last()).toMatchObject({ kind: "finish", action: "chat", steps: [2] });
  acked();
  act(() => page.el.querySelector<HTMLElement>('[aria-label="Branch from step 2"]')?.click());
  expect(last()).toMatchObject({ kind: "finish", action: "branch", steps: [2] });
  acked();
  expect(page.el.querySelector('[aria-label="Make step 4 the result"]')).toBeNull();
  act(() => page.el.querySelector<HTMLElement>('[aria-label="Make step 2 the result"]')?.click());
  expect(last()).toMatchObject({ kind: "promote", step: 2 });
});
