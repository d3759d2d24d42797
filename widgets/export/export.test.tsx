import { act } from "preact/test-utils";
import { expect, test } from "vitest";
import { mounted } from "../lib/testing/mounted";
import widget from "./index";
import { qualityFigure } from "./report";
import type { Format, Report } from "./types";

const format = (name: string, values: Partial<Format> = {}): Format => ({
  id: `gguf quant=${name}`,
  format: "gguf",
  name,
  engines: "llama.cpp",
  usual: true,
  size: 105e6,
  fetches: [],
  prepare: "",
  refused: null,
  ...values,
});
const refused = {
  code: "missing-dependency",
  what: "llama.cpp is not installed.",
  fix: "pip install 'shadownb[gguf]'",
};
const formats = [
  format("q4_k_m"),
  format("q8_0", { size: 145e6 }),
  format("iq3_s", { usual: false }),
  format("awq", { id: "awq", fetches: ["auto-round==1"], prepare: "shadownb export --prepare awq", size: null }),
  format("adapter", { id: "adapter", refused }),
];
const report: Report = {
  path: "/exports/triage",
  format: "gguf",
  size: 105e6,
  files: ["Modelfile"],
  heads: ["format", "MB", "KL"],
  rows: [
    ["q4_k_m", "105.0", "0.04"],
    ["q8_0", "145.0", ""],
  ],
  points: [
    { name: "q4_k_m", size: 105e6, kl: 0.04 },
    { name: "q8_0", size: 145e6, kl: 0 },
  ],
  chosen: "q4_k_m",
  reference: "tiny in float32",
  recommendation: "q4_k_m: the smallest that stays close.",
  notes: ["<b>a note</b>"],
};

const page = mounted(widget, {
  sources: [{ id: "var:model", title: "model (tiny)", group: "Loaded" }],
  source: "var:model",
  name: "tiny",
  formats,
  suggested: "tiny",
  merge_bytes: 540e6,
  free_bytes: 2e9,
  held_out: 4,
  data: [{ id: "var:rows", title: "rows (6 rows)", group: "Notebook variables" }],
  scorers: [{ id: "name:exact", title: "exact", group: "Registered" }],
  state: { stage: "ready" },
  report: {},
  code: {},
});
const { show } = page;
/** The last command of a kind. */
const sent = (kind: string) => page.sent().findLast((each) => each.kind === kind);
const named = (name: string) => {
  const found = [...page.el.querySelectorAll<HTMLInputElement | HTMLSelectElement>("input, select")].find(
    (each) =>
      each.getAttribute("aria-label") === name ||
      each.closest("label")?.textContent === name ||
      page.el.querySelector(`label[for="${each.id}"]`)?.textContent === name,
  );
  if (found === undefined) throw new Error(`no field ${name}`);
  return found;
};
const put = (name: string, value: string) => {
  const field = named(name);
  field.value = value;
  act(() => {
    field.dispatchEvent(new Event(field.tagName === "SELECT" ? "change" : "input", { bubbles: true }));
  });
};
const click = (name: string) => act(() => named(name).click());
const button = (text: string) => page.button(text) as HTMLButtonElement;

test("a format is exported and others are compared with it, into the folder that is named after it", () => {
  show();
  expect(page.el.textContent).toContain("645 MB of the disk");
  click("Compare q8_0");
  click("Export q8_0");
  click("Compare q4_k_m");
  put("Score answers with", "name:exact");
  expect((named("Folder") as HTMLInputElement).value).toBe("tiny-q8_0");
  expect((named("Compare q8_0") as HTMLInputElement).disabled).toBe(true);
  act(() => button("Export").click());
  expect(sent("start")).toMatchObject({
    format: "gguf quant=q8_0",
    folder: "tiny-q8_0",
    compare: ["gguf quant=q4_k_m"],
    data: "",
    scorer: "name:exact",
  });
});

test("what can't be written says why and what to do, and what is fetched first is named", () => {
  show({ free_bytes: 1e8 });
  expect(named("Export adapter").disabled).toBe(true);
  const text = page.el.textContent ?? "";
  for (const part of [refused.what, refused.fix, "Fetches auto-round==1", "shadownb export --prepare awq"])
    expect(text).toContain(part);
  expect(text).not.toContain("iq3_s");
  click("All formats of GGUF");
  expect(page.el.textContent).toContain("iq3_s");
  expect(page.el.querySelector('[role="alert"]')?.textContent).toContain("100 MB are free");
});

test("comparing needs rows", () => {
  show({ held_out: 0 });
  click("Compare q8_0");
  expect(button("Export").disabled).toBe(true);
  expect(page.el.textContent).toContain("Comparing needs rows");
  put("Measure on", "var:rows");
  act(() => button("Export").click());
  expect(sent("start")).toMatchObject({ format: "gguf quant=q4_k_m", compare: ["gguf quant=q8_0"], data: "var:rows" });
});

test("a run is chosen, another source is loaded by its name, and meanwhile nothing starts", () => {
  show({ sources: [{ id: "run:run-1", title: "run-1", group: "Results of runs" }], source: "", name: "", formats: [] });
  expect(page.el.textContent).toContain("No model is loaded");
  put("Folder, run or name", " run-2 ");
  act(() => button("Load").click());
  expect(sent("choose")).toMatchObject({ source: "run-2" });
  act(() => page.model.set("ack", String(sent("choose")?.id)));
  put("Model", "run:run-1");
  expect(sent("choose")).toMatchObject({ source: "run:run-1" });
});

test("progress names its steps, and a failure its next step", () => {
  show({
    state: {
      stage: "working",
      doing: "writing q8_0",
      steps: [
        { text: "merging", seconds: 1.25 },
        { text: "writing q8_0", seconds: null },
      ],
    },
  });
  expect(button("Export").disabled).toBe(true);
  expect([...page.el.querySelectorAll("ol li")].map((each) => each.textContent)).toEqual([
    "merging: 1.3 s",
    "writing q8_0",
  ]);
  act(() => page.model.set("state", { stage: "failed", error: refused }));
  expect(page.el.querySelector('[role="alert"]')?.textContent).toContain(refused.fix);
});

test("the report has the table, what to take and why, and the folder", () => {
  show({ report });
  const text = page.el.querySelector(".export-report")?.textContent ?? "";
  for (const part of [report.path, "Take q4_k_m", report.recommendation, "0.04", "--", "<b>a note</b>", "Modelfile"])
    expect(text).toContain(part);
  const { data } = qualityFigure(report, "light") as { data: { y: number[]; marker: { symbol: string[] } }[] };
  expect(data[0]?.y[1]).toBeGreaterThan(0);
  expect(data[0]?.marker.symbol).toEqual(["diamond", "circle"]);
});

test("an export that goes on can be stopped, and what came of that is said", () => {
  show({ state: { stage: "working", doing: "writing", steps: [], stopping: false } });
  act(() => button("Stop").click());
  expect(sent("stop")).toBeDefined();
  show({ state: { stage: "working", doing: "writing", steps: [], stopping: true } });
  expect(button("Stopping").disabled).toBe(true);
  show({ state: { stage: "ready", stopped: "Stopped: nothing has changed." } });
  expect(page.el.textContent).toContain("nothing has changed");
});
