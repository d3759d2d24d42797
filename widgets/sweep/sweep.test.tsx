import { act } from "preact/test-utils";
import { expect, test } from "vitest";
import { mounted } from "../lib/testing/mounted";
import widget from "./index";
import type { Sweep, Trial } from "./types";

const trial = (number: number, values: Partial<Trial> = {}): Trial => ({
  trial: number,
  state: "succeeded",
  words: "Done",
  run: `run-${number}`,
  cells: ["4"],
  value: "0.5",
  step: "6",
  time: "1.0 s",
  error: "",
  best: false,
  ...values,
});
const sweep: Sweep = {
  name: "rates",
  status: "running",
  metric: "eval_loss",
  metric_title: "Eval loss",
  better: "less",
  counts: [
    ["Done", 1],
    ["Diverged", 1],
  ],
  done: 2,
  trials: 8,
  note: "",
  error: {},
  space: [["Lora r", "2, 4"]],
  facts: [["Sampler", "grid: all 2 combinations are tried"]],
  heads: ["Lora r"],
  rows: [
    trial(1, { best: true }),
    trial(2, { state: "diverged", words: "Diverged", value: "", error: "It diverged." }),
  ],
  ids: ["run-1"],
  labels: ["trial 1"],
  parallel: [],
  importance: [["Lora r", 0.75]],
  importance_why: "",
  best: { trial: 1, run: "run-1" },
};
const page = mounted(widget, {
  sweeps: [],
  sweep: {},
  offered: [
    { name: "learning_rate", title: "Learning rate", help: "", choices: "" },
    { name: "method", title: "Method", help: "", choices: "lora, dora" },
  ],
  base: { words: "lora of tiny on rows (40 rows)", missing: "", method: "lora", options: [] },
  linked: true,
  error: {},
  code: {},
});
const { show, sent, button } = page;
const commands = () => sent().map(({ id: _, ...command }) => command);

test("an empty store says how to begin, and the form starts what was typed", () => {
  show();
  expect(commands()[0]).toEqual({ kind: "look" });
  expect(page.el.textContent).toContain("No sweep yet");
  act(() => button("Try another option, too")?.click());
  act(() => button("Start the sweep")?.closest("form")?.requestSubmit());
  expect(commands().at(-1)).toEqual({
    kind: "start",
    space: [
      ["learning_rate", "1e-5..1e-3 log"],
      ["method", "lora, dora"],
    ],
    budget: "8",
    metric: "eval_loss",
    sampler: "auto",
    pruner: "auto",
    name: "",
  });
});

test("without data the button names what is missing", () => {
  show({ base: { words: "", missing: "Choose data and a model first." } });
  expect(button("Choose data and a model first.")?.disabled).toBe(true);
});

test("trials are shown with what failed, the best is marked and can be trained", () => {
  show({ sweep, sweeps: [{ name: "rates", status: "running", done: 2, trials: 8 }] });
  expect(page.el.textContent).toContain("2 of 8 trials: 1 done, 1 diverged. Eval loss: less is better.");
  expect(page.el.querySelector("tr.is-best")?.textContent).toContain("best");
  expect(page.el.textContent).toContain("It diverged.");
  expect(page.el.textContent).toContain("75 %");
  act(() => button("Train the best")?.click());
  act(() => button("Stop")?.click());
  expect(commands().slice(1)).toEqual([{ kind: "train_best" }, { kind: "stop" }]);
});
