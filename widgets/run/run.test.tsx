import { act } from "preact/test-utils";
import { afterEach, beforeEach, expect, test } from "vitest";
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
    samples: [],
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

test("a page that missed the snapshot asks for it", () => {
  const late = new FakeModel({ ...model.state, panel_id: "late", snapshot: { full: false, series: {} } });
  initialize({ model: late })();
  expect(late.commands.map((command) => command.kind)).toEqual(["resync"]);
});
