import { act } from "preact/test-utils";
import { afterEach, expect, test, vi } from "vitest";
import { type Life, watchLife } from "./life";
import { definePanel } from "./panel";
import { asModel, FakeModel } from "./testing/fake-model";

type Slot = () => void;

/** A signal and a kernel as JupyterLab's session has them. */
function session(kernel: { id: string; status?: string; connectionStatus?: string } | null) {
  const slots = new Set<Slot>();
  const signal = { connect: (slot: Slot) => slots.add(slot), disconnect: (slot: Slot) => slots.delete(slot) };
  const context = {
    session: { kernel },
    statusChanged: signal,
    kernelChanged: signal,
    connectionStatusChanged: signal,
  };
  const change = () => {
    for (const slot of slots) slot();
  };
  return { context, change, slots };
}

function watched(manager: object | undefined): { seen: Life[]; model: FakeModel; undo: () => void } {
  const model = Object.assign(new FakeModel({}), { widget_manager: manager });
  const seen: Life[] = [];
  const undo = watchLife(asModel(model), (life) => seen.at(-1) !== life && seen.push(life));
  return { seen, model, undo };
}

test("the front end's own model tells, also of a panel from a saved notebook", async () => {
  const own = { comm_live: true };
  const { seen, model } = watched({ get_model: async () => own });
  await vi.waitFor(() => expect(seen).toEqual(["live"]));
  own.comm_live = false;
  model.fire("comm_live_update");
  expect(seen).toEqual(["live", "gone"]);
  const saved = watched({ get_model: async () => ({ comm_live: false }) });
  await vi.waitFor(() => expect(saved.seen.at(-1)).toBe("gone"));
});

test.each<[string, (kernel: { id: string; status?: string; connectionStatus?: string }) => object | null, Life]>([
  ["restarted", (kernel) => ({ ...kernel, status: "restarting" }), "gone"],
  ["crashed", (kernel) => ({ ...kernel, status: "autorestarting" }), "gone"],
  ["shut down", () => null, "gone"],
  ["another one", (kernel) => ({ ...kernel, id: "b" }), "gone"],
  ["busy", (kernel) => ({ ...kernel, status: "busy" }), "live"],
  ["connection lost", (kernel) => ({ ...kernel, connectionStatus: "disconnected" }), "lost"],
])("kernel %s", (_, becomes, life) => {
  const kernel = { id: "a", status: "idle", connectionStatus: "connected" };
  const { context, change, slots } = session(kernel);
  const { seen, undo } = watched({ context: { sessionContext: context } });
  context.session.kernel = becomes(kernel) as typeof kernel;
  change();
  expect(seen.at(-1)).toBe(life);
  context.session.kernel = kernel;
  change();
  expect(seen.at(-1)).toBe(life === "gone" ? "gone" : "live"); // what was in memory does not come back
  undo();
  expect(slots.size).toBe(0);
});

test("front ends without any of this leave a panel alive", () => {
  expect(watched(undefined).seen).toEqual(["live"]);
  const { seen, model } = watched(undefined);
  model.fire("comm:close");
  expect(seen).toEqual(["live", "gone"]);
});

let stop = () => {};
afterEach(() => act(() => stop()));

test("a panel without its kernel says so, is switched off, and shows the cell that goes on", async () => {
  const widget = definePanel(() => <button type="button">Start</button>, { label: "Sample" }) as unknown as {
    render: (options: { model: FakeModel; el: HTMLElement }) => () => void;
  };
  const model = new FakeModel({ revival: "import shadownb as snb\nsnb.TrainPanel()" });
  const el = document.createElement("div");
  document.body.append(el);
  await act(async () => {
    stop = widget.render({ model, el });
  });
  const group = () => el.querySelector<HTMLFieldSetElement>("fieldset.snb-life");
  expect([el.querySelector('[role="alert"]'), group()?.disabled]).toEqual([null, false]);
  await act(async () => model.fire("comm:close"));
  expect(group()?.disabled).toBe(true);
  expect(group()?.querySelector("button")?.matches(":disabled, fieldset:disabled *")).toBe(true);
  expect(el.querySelector('[role="alert"]')?.textContent).toContain("snb.TrainPanel()");
});
