import { act } from "preact/test-utils";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { FakeModel } from "../lib/testing/fake-model";
import widget from "./index";
import type { Status } from "./types";

const { initialize, render } = widget as unknown as {
  initialize: (options: { model: FakeModel }) => () => void;
  render: (options: { model: FakeModel; el: HTMLElement }) => () => void;
};

const status: Status = {
  status: "running",
  phase: { name: "training" },
  step: 2,
  total: 60,
  epoch: 0.1,
  attempt: 1,
  elapsed: 4,
  eta: null,
  stopping: false,
  last: { loss: 2.5, learning_rate: 2e-4 },
  best: null,
};

let model: FakeModel;
let el: HTMLElement;
let stops: (() => void)[];

function button(name: string): HTMLButtonElement | undefined {
  return [...el.querySelectorAll("button")].find((b) => (b.getAttribute("aria-label") ?? b.textContent) === name);
}

function click(name: string): void {
  const found = button(name);
  if (found === undefined) {
    throw new Error(`there is no button ${name}`);
  }
  act(() => found.click());
}

beforeEach(() => {
  model = new FakeModel({
    about: { id: "run-1", method: "lora", model: "tiny", path: "/runs/run-1" },
    status,
    snapshot: { full: true, series: {} },
    delta: {},
    charts: [],
    record: {},
    pictured: "",
    samples: [],
    answers: { steps: [], step: 0, following: true, groups: [] },
    checkpoints: [],
    warnings: [],
    failure: {},
    code: { python: "import shadownb as snb", magic: "%shadow plot run-1", next: "model.chat()" },
  });
  el = document.createElement("div");
  document.body.append(el);
  stops = [];
  act(() => {
    stops.push(initialize({ model }), render({ model, el }));
  });
});

afterEach(() => {
  act(() => {
    for (const stop of stops.reverse()) {
      stop();
    }
  });
  el.remove();
  expect(model.listening).toBe(0);
});

test("stopping asks first: keep training sends nothing, Escape neither, stop and save sends stop", () => {
  click("Stop");
  expect(document.activeElement?.textContent).toBe("Stop and save");
  click("Keep training");
  click("Stop");
  act(() => {
    button("Discard")?.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape", bubbles: true }));
  });
  expect(button("Discard")).toBeUndefined();
  expect(document.activeElement).toBe(button("Stop"));
  expect(model.commands).toEqual([]);
  click("Stop");
  click("Stop and save");
  expect(model.commands.map((command) => command.kind)).toEqual(["stop"]);
  expect(button("Stopping")?.disabled).toBe(true);
});

test("what can be done depends on the status", () => {
  const names = (change: Partial<Status>, checkpoints: object[] = []) => {
    act(() => model.receive({ status: { ...status, ...change }, checkpoints }));
    return ["Pause", "Resume", "Stop", "Stopping", "Resume from step 4"].filter((name) => button(name));
  };
  expect(names({})).toEqual(["Pause", "Stop"]);
  expect(names({ status: "paused" })).toEqual(["Resume", "Stop"]);
  expect(names({ stopping: true })).toEqual(["Stopping"]);
  expect(names({ status: "succeeded" })).toEqual([]);
  expect(names({ status: "interrupted" })).toEqual([]);
  expect(names({ status: "interrupted" }, [{ step: 4, path: "c" }])).toEqual(["Resume from step 4"]);
});

test("missing numbers are dashes, a chart without its library says so, and the table has the points", () => {
  const tiles = [...el.querySelectorAll(".run-tile-value")].map((tile) => tile.textContent);
  expect(tiles).toEqual(["2.500", "2.0e-4", "--", "--", "--"]);
  expect(el.textContent).toContain("The curve starts with the first training step.");
  act(() => model.receive({ delta: { sequence: 1, points: { loss: [0, 0, [1, 2], [3, 2.5]] } } }));
  expect(el.querySelector(".snb-chart")?.textContent).toBe("Loading chart");
  act(() => {
    const fold = el.querySelector("details") as HTMLDetailsElement;
    fold.open = true;
    fold.dispatchEvent(new Event("toggle"));
  });
  const cells = [...el.querySelectorAll(".snb-table tbody tr")].map((row) => row.textContent);
  expect(cells[0]).toContain("2.500");
  expect(cells.length).toBe(2);
});

test("the arrow keys move along the metrics, with one tab stop", () => {
  const tiles = () => [...el.querySelectorAll<HTMLElement>(".run-tile")];
  expect(tiles().map((tile) => tile.tabIndex)).toEqual([0, -1, -1, -1, -1]);
  act(() => {
    tiles()[0]?.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight", bubbles: true }));
  });
  expect(tiles().map((tile) => tile.getAttribute("aria-selected"))).toEqual([
    "false",
    "true",
    "false",
    "false",
    "false",
  ]);
  expect(document.activeElement).toBe(tiles()[1]);
});

test("failure, refused command and warnings are shown and announced", () => {
  const failure = { code: "out-of-memory", what: "Out of memory.", fix: "Halve the batch.", details: "Traceback" };
  act(() =>
    model.receive({
      status: { ...status, status: "failed" },
      failure,
      error: { code: "run", what: "Run run-1 is failed." },
      warnings: [{ code: "truncated", what: "3 rows were cut." }],
    }),
  );
  const alerts = [...el.querySelectorAll('[role="alert"]')].map((alert) => alert.textContent);
  expect(alerts.join()).toContain("Halve the batch.");
  expect(alerts.join()).toContain("Run run-1 is failed.");
  const spoken = [...el.querySelectorAll('[role="status"]')].map((line) => line.textContent);
  expect(spoken).toContain("Failed");
  expect(spoken).toContain("Warning: 3 rows were cut.");
  click("Dismiss");
  expect(model.commands.at(-1)?.kind).toBe("dismiss");
});

const tiles = () => [...el.querySelectorAll<HTMLElement>(".run-tile")].map((tile) => tile.textContent);

test("what a method records beside the loss gets tiles, a chart and columns; a plain run has none", () => {
  expect(tiles().length).toBe(5);
  const rewards = { rewards_margin: [1, 1.5], rewards_chosen: [0.5, 1], rewards_rejected: [-0.5, -0.5] };
  const points = Object.fromEntries(Object.entries(rewards).map(([name, values]) => [name, [0, 0, [1, 2], values]]));
  act(() =>
    model.receive({
      charts: [
        {
          id: "rewards",
          title: "Reward margin",
          curves: Object.keys(rewards).map((name) => [name, name.slice(8)]),
          share: false,
        },
        {
          id: "rewards_accuracy",
          title: "Preference accuracy",
          curves: [["rewards_accuracy", "accuracy"]],
          share: true,
        },
      ],
      status: { ...status, last: { loss: 0.6, rewards_margin: 1.5, rewards_accuracy: 0.75 } },
      delta: { sequence: 1, points: { ...points, eval_rewards_margin: [0, 0, [2], [1.25]] } },
    }),
  );
  expect(tiles().slice(0, 3)).toEqual(["Loss0.6000", "Reward margin1.50", "Preference accuracy75%"]);
  act(() => el.querySelectorAll<HTMLElement>(".run-tile")[1]?.click());
  expect(el.querySelector('[role="tabpanel"] h3')?.textContent).toBe("Reward margin");
  // A logarithm of a negative reward does not exist.
  expect(el.querySelector(".snb-segmented")).toBeNull();
  act(() => {
    const fold = el.querySelector("details") as HTMLDetailsElement;
    fold.open = true;
    fold.dispatchEvent(new Event("toggle"));
  });
  expect([...el.querySelectorAll(".snb-table thead th")].map((cell) => cell.textContent)).toEqual([
    "Step",
    "Reward margin",
    "Chosen",
    "Rejected",
    "Smoothed",
    "Evaluation",
  ]);
  const newest = [...el.querySelectorAll(".snb-table tbody tr:first-child > *")].map((cell) => cell.textContent);
  expect(newest.slice(0, 4)).toEqual(["2", "1.50", "1", "-0.500"]);
  expect(newest.at(-1)).toBe("1.25");
});

test("the record shows the estimate beside what was measured", () => {
  act(() =>
    [...el.querySelectorAll<HTMLElement>(".snb-tab")].find((tab) => tab.textContent?.includes("record"))?.click(),
  );
  expect(el.textContent).toContain("Shown once the run has prepared");
  act(() =>
    model.receive({
      record: {
        estimate: { lines: [["weights", 0.5]], low_gb: 0.9, expected_gb: 1, high_gb: 1.1, seconds: 65 },
        trainable: 123456,
        decisions: { packing: ["pieces", "row by row"], gradient_checkpointing: [false, "it fits"] },
        actual_setup: { optimizer: "torch.AdamW", fused_kernels: [], trained_dtypes: ["float32"] },
      },
      status: { ...status, status: "succeeded", step: 60, elapsed: 70, last: { peak_memory_gb: 1.25 } },
    }),
  );
  const rows = [...el.querySelectorAll(".run-record tbody tr")].map((row) =>
    [...row.children].map((cell) => cell.textContent),
  );
  expect(rows).toEqual([
    ["weights", "500 MB", ""],
    ["peak memory", "1.00 GB", "1.25 GB (+25%)"],
    ["training time", "1:05", "1:10"],
  ]);
  expect(el.querySelector(".run-decisions")?.textContent).toContain("123,456");
  const told = el.querySelector(".run-decisions")?.textContent;
  expect(told).toContain("pieces row by row");
  expect(told).toContain("gradient checkpointingno it fits");
  expect(told).toContain("optimizer: torch.AdamW; fused kernels: none; trained dtypes: float32");
});

test("scored answers come first, sort by a column, say what changed since, and move between steps", () => {
  const answer = (completion: string, reward: number | null, more = {}) => ({
    completion,
    reward,
    rewards: { words: reward },
    reasons: {},
    advantage: 0,
    tokens: completion.length,
    finish_reason: "stop",
    ...more,
  });
  const group = {
    row: "rows/1",
    prompt: "Describe rain.",
    mean: 0.5,
    low: 0.2,
    high: 0.8,
    completions: [
      answer("low", 0.2),
      answer("high", 0.8, { reasons: { words: "five of six" } }),
      answer("none", null, { finish_reason: "length" }),
    ],
    before: { step: 3, mean: 0.25, completions: [answer("before", 0.25)] },
  };
  expect(el.textContent).not.toContain("Scored answers");
  act(() => model.receive({ answers: { steps: [3, 7], step: 7, following: true, groups: [group] } }));
  expect(el.querySelector('[role="tab"][aria-selected="true"][id*="answers"], [aria-selected="true"]')).not.toBeNull();
  const cells = () => [...el.querySelectorAll(".run-group > .snb-tablewrap tbody tr")].map((row) => row.textContent);
  expect(el.textContent).toContain("+0.2500 since step 3");
  expect(el.textContent).toContain("words: five of six");
  expect(cells()[2]).toContain("cut off");
  click("Reward");
  expect(cells().map((text) => text?.slice(0, 3))).toEqual(["hig", "low", "non"]);
  expect(el.querySelector('th[aria-sort="descending"]')?.textContent).toContain("Reward");
  click("Reward ↓");
  expect(cells().map((text) => text?.slice(0, 3))).toEqual(["low", "hig", "non"]);
  expect(button("Later")?.disabled).toBe(true);
  expect(button("Follow the newest")).toBeUndefined();
  click("Earlier");
  expect(model.commands.at(-1)).toMatchObject({ kind: "show_answers", step: 3 });
});

test("a run that ended without samples does not promise any", () => {
  expect(el.textContent).toContain("appear here at each evaluation");
  act(() => model.receive({ status: { ...status, status: "succeeded" } }));
  expect(el.textContent).not.toContain("appear here");
  expect(el.textContent).toContain("recorded no sampled answers");
});

test("an ended run says when the notebook keeps an older picture of it, and stops once that is replaced", () => {
  vi.useFakeTimers();
  const child = document.createElement("div");
  child.className = "jp-OutputArea-child";
  const picture = document.createElement("div");
  picture.className = "jp-OutputArea-child";
  const area = document.createElement("div");
  area.append(child, picture);
  document.body.append(area);
  const show = (caption: string) => {
    picture.innerHTML = `<pre>ShadowNB run run-1: ${caption}</pre>`;
  };
  show("running, step 2 of 60");
  const view = new FakeModel({
    ...model.state,
    panel_id: "kept",
    pictured: "ShadowNB run run-1: running, step 2 of 60",
  });
  let stop = () => {};
  act(() => {
    stop = render({ model: view, el: child });
  });
  const wait = () =>
    act(() => {
      vi.advanceTimersByTime(5000);
    });
  wait();
  expect(child.textContent).not.toContain("earlier moment");
  const ended = { status: { ...status, status: "succeeded" }, pictured: "ShadowNB run run-1: finished, step 60 of 60" };
  act(() => view.receive(ended));
  wait();
  expect(child.textContent).toContain("earlier moment");
  act(() => view.receive({ pictured: "ShadowNB run run-1: running, step 2 of 60" }));
  wait();
  expect(child.textContent).not.toContain("earlier moment");
  act(stop);
  area.remove();
  vi.useRealTimers();
});

test("a page that missed the snapshot asks for it", () => {
  const late = new FakeModel({ ...model.state, panel_id: "late", snapshot: { full: false, series: {} } });
  initialize({ model: late })();
  expect(late.commands.map((command) => command.kind)).toEqual(["resync"]);
});
