import { act } from "preact/test-utils";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { FakeModel } from "../lib/testing/fake-model";
import widget from "./index";

const { render } = widget as unknown as {
  render: (options: { model: FakeModel; el: HTMLElement; host?: unknown }) => () => void;
};

let model: FakeModel;
let el: HTMLElement;
let stop: () => void;
const drawn: string[] = [];
const host = {
  getWidget: (reference: string) =>
    Promise.resolve({
      render: ({ el: place }: { el: HTMLElement }) => {
        drawn.push(reference);
        place.textContent = reference;
        return Promise.resolve();
      },
    }),
};

async function show(options: object): Promise<void> {
  await act(async () => {
    stop = render({ model, el, ...options });
  });
}

beforeEach(() => {
  drawn.length = 0;
  model = new FakeModel({
    tab: "train",
    capture: "anywidget:p",
    trajectories: "anywidget:j",
    rewards: "anywidget:w",
    train: "anywidget:t",
    run_panel: null,
    facts: "anywidget:f",
    export: "anywidget:x",
    serve: "anywidget:s",
    chat: "anywidget:c",
    runtime: null,
  });
  el = document.createElement("div");
  document.body.append(el);
});

afterEach(() => {
  act(() => stop());
  el.remove();
  vi.restoreAllMocks();
});

const tabs = () => [...el.querySelectorAll<HTMLButtonElement>('[role="tab"]')];
const selected = () => tabs().find((tab) => tab.getAttribute("aria-selected") === "true");
const openPanel = () => el.querySelector<HTMLElement>('[role="tabpanel"]:not([hidden])');

async function press(key: string): Promise<void> {
  await act(async () => {
    selected()?.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
  });
}

test("tabs follow the ARIA pattern: one tab stop, arrows turn around the ends, each names its panel", async () => {
  await show({ host });
  expect(tabs().map((tab) => tab.tabIndex)).toEqual([-1, -1, -1, -1, -1, 0, -1, -1, -1, -1, -1, -1, -1, -1]);
  for (const [key, name] of [
    ["ArrowRight", "Sweep"],
    ["ArrowRight", "Runs"],
    ["End", "Chat"],
    ["ArrowRight", "Capture"],
    ["ArrowLeft", "Chat"],
    ["Home", "Capture"],
    ["ArrowRight", "Trajectories"],
  ] as const) {
    await press(key);
    expect(selected()?.textContent).toBe(name);
    expect(document.activeElement).toBe(selected());
    expect(selected()?.getAttribute("aria-controls")).toBe(openPanel()?.id);
    expect(openPanel()?.getAttribute("aria-labelledby")).toBe(selected()?.id);
  }
});

test("a panel is drawn when first opened, and kept", async () => {
  await show({ host });
  expect(drawn).toEqual(["anywidget:t"]);
  for (const key of ["End", "Home", "End"]) await press(key);
  expect(drawn).toEqual(["anywidget:t", "anywidget:c", "anywidget:p"]);
});

test("Run has a hint until there is a run, and draws the newest one", async () => {
  await show({ host });
  await press("ArrowRight");
  await press("ArrowRight");
  await press("ArrowRight");
  expect(openPanel()?.textContent).toContain("No run yet");
  for (const reference of ["anywidget:r1", "anywidget:r2"]) {
    await act(async () => model.receive({ run_panel: reference }));
    expect(openPanel()?.textContent).toBe(reference);
  }
});

test("a host without child widgets says how to see the panel", async () => {
  await show({ host: {} });
  expect(el.querySelector('[role="alert"]')?.textContent).toContain("studio.train");
});

test("runs that go on elsewhere are offered", async () => {
  await show({ host });
  expect(el.querySelector(".studio-offers")).toBeNull();
  await act(async () => model.receive({ going_on: [{ id: "r1", text: "lora on tiny goes on in a worker process" }] }));
  const button = [...el.querySelectorAll<HTMLButtonElement>(".studio-offers button")][0];
  await act(async () => button?.click());
  expect(model.commands.at(-1)).toMatchObject({ kind: "show_run", run: "r1" });
});

test("a panel that a package brings has a tab like the others, and one that failed says why", async () => {
  model = new FakeModel({
    tab: "hello",
    train: "anywidget:t",
    added: [
      { id: "hello", title: "Hello", panel: "anywidget:h", failure: "" },
      { id: "broken", title: "Broken", panel: null, failure: "ZeroDivisionError: division by zero" },
    ],
  });
  await show({ host });
  expect(tabs().map((tab) => tab.textContent)).toEqual([
    "Capture",
    "Trajectories",
    "Judge",
    "Rewards",
    "Data",
    "Train",
    "Sweep",
    "Runs",
    "Run",
    "Evaluate",
    "Facts",
    "Export",
    "Serve",
    "Chat",
    "Hello",
    "Broken",
  ]);
  expect(drawn).toEqual(["anywidget:h"]);
  expect(openPanel()?.textContent).toBe("anywidget:h");
  await press("End");
  expect(model.get("tab")).toBe("broken");
  expect(openPanel()?.querySelector('[role="alert"]')?.textContent).toContain("division by zero");
});

test("the first steps name the next one, go there, and can be hidden", async () => {
  const step = (id: string, tab: string, done: boolean) => ({ id, title: id, about: `About ${id}.`, tab, done });
  model = new FakeModel({
    tab: "train",
    train: "anywidget:t",
    chat: "anywidget:c",
    walk: { shown: true, steps: [step("Data", "train", true), step("Chat", "chat", false)] },
  });
  await show({ host });
  const walk = () => el.querySelector<HTMLElement>('[aria-label="First steps"]');
  expect(walk()?.querySelector('[aria-current="step"]')?.textContent).toBe("Chat");
  expect(walk()?.textContent).toContain("Data (done)");
  await act(async () => walk()?.querySelector("button")?.click());
  expect(model.get("tab")).toBe("chat");
  await act(async () => [...(walk()?.querySelectorAll("button") ?? [])].at(-1)?.click());
  expect(model.commands.at(-1)).toMatchObject({ kind: "show_walk", shown: false });
  await act(async () => model.receive({ walk: { shown: false, steps: [] } }));
  expect(walk()).toBeNull();
});
