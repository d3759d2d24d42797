import { act } from "preact/test-utils";
import { expect, test } from "vitest";
import { mounted } from "../lib/testing/mounted";
import widget from "./index";
import type { HowRead, Page } from "./types";

const page: Page = {
  part: "data",
  begin: 0,
  total: 12,
  all: 12,
  place: "row",
  rows: [
    { index: 0, number: 2, parts: [{ role: "user", text: "Where is <b>it</b>?" }], bad: "" },
    { index: 1, number: 3, parts: [{ role: "prompt", text: "" }], bad: "it has no answer" },
  ],
  asked: {},
};
const reading: HowRead = {
  format: "raw",
  raw: true,
  columns: [
    { name: "Frage", target: "", key: false, unread: null },
    { name: "Antwort", target: "", key: false, unread: null },
  ],
  targets: ["prompt", "completion"],
  counts: [["it has no answer", 3]],
  bad: [{ place: "row", row: 3, reason: "it has no answer" }],
  bad_count: 3,
  suggestion: {
    columns: [
      ["Frage", "prompt", "its name says 'frage'"],
      ["Notiz", "ignore", "it holds text that would not be read"],
    ],
    valid: 9,
    rows: 12,
    preview: [[{ role: "user", text: "Wo?" }]],
  },
};
const one = [{ id: "data", title: "Rows", rows: 12, valid: 9 }];
const kinds = [".csv", ".jsonl"];
const upload = { id: "", name: "", done: 0, size: 0, largest: 64e6, kinds };
const shown = mounted(widget, {
  choices: [{ id: "var:rows", title: "rows (list of rows, 12 rows)", group: "Notebook variables" }],
  models: [],
  source: { stage: "none" },
  listing: {},
  upload,
  hub: { stage: "none" },
  reading: {},
  parts: [],
  page: {},
  row: {},
  steps: [],
  undone: 0,
  working: "",
  told: "",
  leaks: { stage: "none" },
  model: "",
  tokens: { stage: "none" },
  certificate: { stage: "none" },
  code: {},
  trainable: true,
  error: {},
});
const { show, button } = shown;
const last = () => {
  const { id: _, ...command } = shown.sent().at(-1) as Record<string, unknown>;
  return command;
};
const open = { source: { stage: "ready", name: "fragen" }, parts: one, page, reading };

test("an empty panel offers what the notebook has, folders, files of the computer, and the hub", () => {
  show();
  const select = shown.el.querySelector("select") as HTMLSelectElement;
  act(() => {
    select.value = "var:rows";
    select.dispatchEvent(new Event("change", { bubbles: true }));
  });
  expect(last()).toEqual({ kind: "open", choice: "var:rows" });
  act(() => (shown.el.querySelector('input[value="hub"]') as HTMLInputElement).click());
  expect(shown.el.textContent).toContain("Search the hub");
});

test("a suggestion is shown with reasons and on first rows, and read only when somebody says so", () => {
  show(open);
  const card = shown.el.querySelector('[aria-label="Suggested columns"]');
  expect(card?.textContent).toContain("Frageprompt");
  expect(card?.textContent).toContain("Notizleft out");
  expect(card?.textContent).toContain("9 of 12 rows can be used then");
  act(() => button("Read them so")?.click());
  expect(last()).toEqual({ kind: "map_as_suggested" });
  expect(shown.el.querySelector(".data-refused")?.textContent).toBe("3 it has no answer");
});

test("rows are text and never markup; they are chosen, taken out, and edited by position", () => {
  show(open);
  expect(shown.el.querySelector(".data-rows b")).toBeNull();
  expect(shown.el.querySelector(".data-rows")?.textContent).toContain("Where is <b>it</b>?");
  act(() => (shown.el.querySelector('[aria-label="Choose row 3"]') as HTMLInputElement).click());
  act(() => button("Take out 1 row")?.click());
  expect(last()).toEqual({ kind: "remove", rows: [1] });
  // The kernel tells of rows that moved up: what was chosen means others now.
  act(() => shown.model.receive({ page: { ...page, all: 11 } }));
  expect(button("Take out")?.disabled).toBe(true);
  const row = {
    part: "data",
    index: 1,
    number: 3,
    json: "{}",
    fields: [{ path: ["Frage"], label: "Frage", text: "a" }],
  };
  act(() => shown.model.receive({ row }));
  const area = shown.el.querySelector("textarea") as HTMLTextAreaElement;
  act(() => {
    area.value = "b";
    area.dispatchEvent(new Event("input", { bubbles: true }));
  });
  act(() => button("Change the row")?.click());
  expect(last()).toEqual({ kind: "save_row", texts: [[["Frage"], "b"]] });
});

test("leaks are counted and taken out, and every step goes back", () => {
  const two = [
    { id: "train", title: "To train on", rows: 9, valid: 9 },
    { id: "held_out", title: "Held out", rows: 3, valid: 3 },
  ];
  const leaks = { stage: "ready", summary: "Leak: ...", count: 2, rows: ["held-out row 0 is the same", "another"] };
  show({ ...open, parts: two, page: { ...page, part: "train" }, leaks, steps: [{ title: "Split", rows: "9, 3" }] });
  expect(shown.el.querySelector('[aria-label="Leakage"]')?.textContent).toContain("✗ 2");
  act(() => button("Take them out of the held-out rows")?.click());
  expect(last()).toEqual({ kind: "leave_leaks" });
  act(() => button("Undo")?.click());
  expect(last()).toEqual({ kind: "undo" });
  expect(shown.el.textContent).toContain("9 rows, evaluated on 3");
  act(() => button("Train on these")?.click());
  expect(last()).toEqual({ kind: "use" });
});

test("a file goes to the kernel in pieces, the next one once the last is there", async () => {
  show();
  act(() => (shown.el.querySelector('input[value="upload"]') as HTMLInputElement).click());
  const pieces: [Record<string, unknown>, number][] = [];
  Object.assign(shown.model, {
    send: (content: Record<string, unknown>, _: unknown, buffers: DataView[]) =>
      pieces.push([content, buffers[0]?.byteLength ?? 0]),
  });
  const input = shown.el.querySelector('input[type="file"]') as HTMLInputElement;
  const file = new File([new Uint8Array(1_500_000)], "rows.csv");
  Object.defineProperty(input, "files", { value: [file] });
  act(() => {
    input.dispatchEvent(new Event("change", { bubbles: true }));
  });
  await expect.poll(() => pieces.length).toBe(1);
  expect(pieces[0]?.[0]).toMatchObject({ kind: "upload", name: "rows.csv", size: 1_500_000, at: 0 });
  act(() =>
    shown.model.receive({ upload: { ...upload, id: pieces[0]?.[0].id, name: "rows.csv", done: 1e6, size: 1.5e6 } }),
  );
  await expect.poll(() => pieces.length).toBe(2);
  expect(pieces[1]).toEqual([expect.objectContaining({ at: 1e6 }), 500_000]);
  expect(shown.el.querySelector('[role="progressbar"]')?.getAttribute("aria-valuenow")).toBe("67");
});
