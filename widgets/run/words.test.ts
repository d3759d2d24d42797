import { expect, test } from "vitest";
import type { Status } from "./types";
import { chipOf, lastSeen, progressFacts, shareOf } from "./words";

const base: Status = {
  status: "running",
  phase: { name: "training", done: 24, total: 60, unit: "steps" },
  step: 24,
  total: 60,
  epoch: 0.8,
  attempt: 1,
  elapsed: 72,
  eta: 108,
  stopping: false,
  last: {},
  best: null,
};

test.each<[string, Partial<Status>, string]>([
  ["training", {}, "Training"],
  ["named phase", { phase: { name: "preparing data" } }, "Preparing data"],
  ["stopping wins", { stopping: true }, "Stopping"],
  ["paused", { status: "paused" }, "Paused"],
  ["failed", { status: "failed" }, "Failed"],
])("chip: %s", (_, change, text) => {
  expect(chipOf({ ...base, ...change }).text).toBe(text);
});

test("every status has a symbol of its own beside its colour", () => {
  const all = ["queued", "running", "paused", "succeeded", "stopped", "failed", "interrupted", "discarded"] as const;
  expect(new Set(all.map((status) => chipOf({ ...base, status }).symbol)).size).toBe(all.length);
});

test.each<[string, Partial<Status>, number | null]>([
  ["steps", {}, 0.4],
  ["a phase before the plan", { total: null, step: 0, phase: { name: "preparing data", done: 100, total: 400 } }, 0.25],
  ["unknown", { total: null, step: 0, phase: { name: "loading model" } }, null],
  ["finished", { status: "succeeded" }, 1],
])("share: %s", (_, change, share) => {
  expect(shareOf({ ...base, ...change })).toBe(share);
});

test("facts say what is known, and that the time left is being estimated", () => {
  expect(progressFacts(base)).toEqual(["Step 24 of 60", "40%", "epoch 0.80", "1:12 elapsed", "about 1:48 left"]);
  expect(progressFacts({ ...base, eta: null })).toContain("estimating time left");
  expect(progressFacts({ ...base, status: "paused", eta: null }).join()).not.toContain("left");
  const evaluating = { name: "evaluating", done: 3, total: 40, unit: "rows" };
  expect(progressFacts({ ...base, phase: evaluating })).toContain("Evaluating 3 of 40 rows");
});

test("without a kernel a run is as it was last seen, and no time is left of it", () => {
  expect(lastSeen(base).text).toBe("Last seen: training");
  expect(progressFacts(base, false).join()).not.toMatch(/left|estimating/);
  expect(lastSeen({ ...base, status: "succeeded" }).text).toBe("Finished");
});
