import { describe, expect, it } from "vitest";
import { type StartInput, startState } from "./start";

const ready: StartInput = {
  data: "ready",
  model: "ready",
  blocked: null,
  problems: [],
  pending: false,
  fits: true,
  run: "none",
  from: "base",
};

const wrongRate = { title: "Learning rate", message: "must be above 0", name: "learning_rate" };

describe("startState", () => {
  it.each<[string, Partial<StartInput>, string]>([
    ["nothing chosen", { data: "none", model: "none" }, "Choose data"],
    ["data that can't be read", { data: "failed", model: "none" }, "Choose other data"],
    ["no model", { model: "none" }, "Choose a model"],
    ["a model that can't be loaded", { model: "failed" }, "Choose another model"],
    ["a model that is not loaded yet", { model: "chosen" }, "Load the model"],
    ["data under way", { data: "loading" }, "Checking data"],
    ["a model under way", { model: "loading" }, "Loading model"],
    ["a method that can't be used", { blocked: "needs 4 bits" }, "Choose a method that fits"],
    ["a wrong value", { problems: [wrongRate] }, "Learning rate must be above 0"],
    ["a contradiction", { problems: [{ title: "", message: "a and b differ", name: "" }] }, "a and b differ"],
    ["an unconfirmed edit", { pending: true }, "Checking options"],
    ["all there", {}, "Start training"],
    ["all there, too big", { fits: false }, "Start, though it may not fit"],
    ["all there, not estimated yet", { fits: null }, "Start training"],
    ["just pressed", { run: "starting" }, "Starting"],
    ["training", { run: "active", data: "none" }, "Training…"],
    ["trained before", { run: "ended" }, "Train again from the base"],
    ["trained before, from a tuned model", { run: "ended", from: "first" }, "Train again from the same start"],
    ["a tuned model", { from: "trained" }, "Train the tuned model on"],
  ])("%s", (_, change, label) => {
    expect(startState({ ...ready, ...change }).label).toBe(label);
  });

  it("is ready only when nothing is missing or under way", () => {
    const missing: Partial<StartInput>[] = [
      { data: "none" },
      { data: "loading" },
      { model: "chosen" },
      { model: "loading" },
      { blocked: "no" },
      { problems: [wrongRate] },
      { pending: true },
      { run: "starting" },
      { run: "active" },
    ];
    for (const change of missing) {
      expect(startState({ ...ready, ...change }).ready).toBe(false);
    }
    expect(startState(ready).ready).toBe(true);
    expect(startState({ ...ready, fits: false }).ready).toBe(true);
  });

  it("leads to what is missing, and waits for what is under way", () => {
    expect(startState({ ...ready, data: "none" }).goTo).toEqual({ section: "data" });
    expect(startState({ ...ready, model: "chosen" }).goTo).toEqual({ load: true });
    expect(startState({ ...ready, problems: [wrongRate] }).goTo).toEqual({ field: "learning_rate" });
    expect(startState({ ...ready, model: "loading" })).toMatchObject({ busy: true, goTo: null });
  });
});
