import { act } from "preact/test-utils";
import { expect, test } from "vitest";
import { definePanel } from "../lib/panel";
import { mounted } from "../lib/testing/mounted";
import { PresetPart } from "./preset";
import { ShelfPart } from "./shelf";

const Parts = () => (
  <>
    <PresetPart />
    <ShelfPart />
  </>
);
const entry = (name: string, more: object = {}) => ({
  name,
  title: name.toUpperCase(),
  hub_id: `org/${name}`,
  parameters: 1e8,
  download_gb: 0.2,
  licence: "Apache-2.0",
  gated: false,
  context: 8192,
  tools: "",
  thinking: "",
  there: "to download",
  disk_gb: null,
  fits: "whole",
  reason: "It is small.",
  unchecked: [],
  ...more,
});
const page = mounted(definePanel(Parts, { label: "Parts" }), {
  panel_id: "parts",
  fields: [{ name: "lora_r", title: "LoRA rank" }],
  method: "lora",
  form: { values: { lora_r: "8" } },
  presets: [{ name: "classify", title: "Classify", rows: "A text in, one label out." }],
  preset: {},
  shelf: {},
});
const last = () => page.sent().at(-1);
const acked = () => act(() => page.model.set("ack", String(last()?.id)));

test("a task is chosen, says why each value is what it is, and which was changed since", () => {
  page.show();
  const select = page.el.querySelector("select") as HTMLSelectElement;
  select.value = "classify";
  act(() => {
    select.dispatchEvent(new Event("change", { bubbles: true }));
  });
  expect(last()).toMatchObject({ kind: "preset", name: "classify" });
  const preset = {
    name: "classify",
    title: "Classify",
    rows: "A text in, one label out.",
    reasons: [
      ["method", "lora", "A label needs few weights."],
      ["lora_r", "8", "Half the usual rank."],
    ],
    scorer: ["exact", "Right or wrong."],
  };
  act(() => page.model.set("preset", preset));
  expect(page.el.textContent).toContain("LoRA rank");
  expect(page.el.textContent).toContain("Half the usual rank.");
  act(() => page.model.set("form", { values: { lora_r: "64" } }));
  expect(page.el.textContent).not.toContain("Half the usual rank.");
  expect(page.el.textContent).toContain("changed from 8");
});

test("models are looked at when the fold opens; deleting one is asked once more; a busy one cannot be unloaded", () => {
  page.show();
  const fold = page.el.querySelector(
    ".train-wide details:last-of-type, [aria-label^='What fits'] details",
  ) as HTMLDetailsElement;
  act(() => {
    fold.open = true;
    fold.dispatchEvent(new Event("toggle"));
  });
  expect(last()).toMatchObject({ kind: "look_at_models" });
  acked();
  act(() =>
    page.model.set("shelf", {
      entries: [
        entry("small", { there: "here", disk_gb: 0.2 }),
        entry("big", { fits: "none", gated: true, reason: "Take a smaller one." }),
      ],
      others: [{ hub_id: "me/mine", disk_gb: 1, whole: false }],
      held: [
        { choice: "var:a", title: "a (tiny)", gb: 0.1, pinned: false, busy: true },
        { choice: "var:b", title: "b (tiny)", gb: 0.1, pinned: false, busy: false },
      ],
      free_gb: 50,
    }),
  );
  for (const words of [
    "Fits",
    "Too large",
    "Take a smaller one.",
    "asked for on the hub",
    "not whole",
    "a run trains it",
  ])
    expect(page.el.textContent).toContain(words);
  const named = (label: string) => page.el.querySelector<HTMLButtonElement>(`[aria-label="${label}"]`);
  act(() => named("Choose BIG")?.click());
  expect(last()).toMatchObject({ kind: "choose_model", choice: "alias:big" });
  acked();
  act(() => named("Delete org/small")?.click());
  expect(last()).toMatchObject({ kind: "choose_model" });
  act(() => named("Delete org/small for good")?.click());
  expect(last()).toMatchObject({ kind: "forget_model", hub_id: "org/small" });
  acked();
  expect(named("Unload a (tiny)")?.disabled).toBe(true);
  act(() => named("Unload b (tiny)")?.click());
  expect(last()).toMatchObject({ kind: "unload_model", choice: "var:b" });
});

test("a model is fetched and stopped, a token goes by a message and through no trait, a pinned model is not unloaded", () => {
  page.show();
  const shelf = {
    entries: [entry("small"), entry("part", { there: "partly here", disk_gb: 0.1, unchecked: ["size"] })],
    others: [],
    held: [{ choice: "var:b", title: "b (tiny)", gb: 0.1, pinned: true, busy: false }],
    free_gb: 50,
    account: { signed_in: false, source: "" },
    offline: "",
  };
  act(() => page.model.set("shelf", shelf));
  const named = (label: string) => page.el.querySelector<HTMLButtonElement>(`[aria-label="${label}"]`);
  expect(page.el.textContent).toContain("not checked: size");
  expect(named("Fetch PART")?.textContent).toBe("Fetch the rest");
  act(() => named("Fetch SMALL")?.click());
  expect(last()).toMatchObject({ kind: "fetch_model", name: "small" });
  acked();
  act(() => page.model.set("fetching", [{ hub_id: "org/small", words: "fetching 20 MB of 200 MB", share: 0.1 }]));
  expect(named("Fetch SMALL")?.disabled).toBe(true);
  expect(page.el.querySelector('[role="progressbar"]')?.getAttribute("aria-valuenow")).toBe("10");
  act(() => named("Stop fetching org/small")?.click());
  expect(last()).toMatchObject({ kind: "stop_fetching", hub_id: "org/small" });
  acked();
  expect(named("Unload b (tiny)")?.disabled).toBe(true);
  act(() => named("Pin b (tiny)")?.click());
  expect(last()).toMatchObject({ kind: "pin_model", choice: "var:b", pinned: false });
  acked();
  const field = page.el.querySelector<HTMLInputElement>('input[type="password"]') as HTMLInputElement;
  field.value = "hf_secret";
  act(() => {
    field.dispatchEvent(new Event("input", { bubbles: true }));
  });
  act(() => {
    field.form?.dispatchEvent(new Event("submit", { bubbles: true, cancelable: true }));
  });
  expect(page.model.messages).toEqual([{ kind: "sign_in", token: "hf_secret" }]);
  expect(JSON.stringify(page.model.state)).not.toContain("hf_secret");
  expect(field.value).toBe("");
  act(() => page.model.set("shelf", { ...shelf, offline: "HF_HUB_OFFLINE is set, so nothing can be fetched." }));
  expect(named("Fetch PART")?.disabled).toBe(true);
  expect(page.el.textContent).toContain("HF_HUB_OFFLINE is set");
});
