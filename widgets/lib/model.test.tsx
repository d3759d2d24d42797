import { act } from "preact/test-utils";
import { expect, test } from "vitest";
import { ErrorCard } from "./error-card";
import { sendCommand, useCommand, useError, useTrait } from "./model";
import { definePanel } from "./panel";
import { asModel, FakeModel } from "./testing/fake-model";

type Render = (options: { model: unknown; el: HTMLElement }) => () => void;

function show(widget: ReturnType<typeof definePanel>, model: FakeModel): [HTMLElement, () => void] {
  const el = document.createElement("div");
  document.body.append(el);
  const { render } = widget as { render: Render };
  let stop = () => {};
  act(() => {
    stop = render({ model, el });
  });
  return [el, stop];
}

function Counter() {
  const [value, setValue] = useTrait<number>("value");
  const [send, waiting] = useCommand();
  const error = useError();
  return (
    <div>
      <button type="button" onClick={() => setValue(value + 1)}>
        {value}
      </button>
      <button type="button" class="go" onClick={() => send("go", { far: true })}>
        {waiting ?? "idle"}
      </button>
      {error && <ErrorCard error={error} />}
    </div>
  );
}

test("traits go both ways, commands wait for their acknowledgement, errors show", () => {
  const model = new FakeModel({ value: 1 });
  const [el, stop] = show(definePanel(Counter, { label: "Counter" }), model);
  const [button, go] = el.querySelectorAll("button");
  act(() => model.receive({ value: 5 }));
  act(() => button?.click());
  expect([button?.textContent, model.get("value"), model.saved]).toEqual(["6", 6, 1]);
  act(() => go?.click());
  expect(go?.textContent).toBe("go");
  const command = model.commands[0];
  expect(command).toMatchObject({ kind: "go", far: true });
  act(() => model.receive({ ack: command?.id, error: { code: "run", what: "No.", fix: "Wait." } }));
  expect(go?.textContent).toBe("idle");
  expect(el.querySelector('[role="alert"]')?.textContent).toContain("Wait.");
  act(stop);
  expect([el.childElementCount, model.listening]).toEqual([0, 0]);
});

function TwoSenders() {
  const [sendA, waitingA] = useCommand();
  const [sendB, waitingB] = useCommand();
  return (
    <p>
      <button type="button" onClick={() => sendA("a")}>
        {waitingA ?? "idle"}
      </button>
      <button type="button" onClick={() => sendB("b")}>
        {waitingB ?? "idle"}
      </button>
    </p>
  );
}

test("each part waits for its own command, and for good: a later answer to another part does not reopen it", () => {
  const model = new FakeModel({});
  const [el, stop] = show(definePanel(TwoSenders, { label: "Two" }), model);
  const buttons = [...el.querySelectorAll("button")];
  const texts = () => buttons.map((button) => button.textContent);
  act(() => buttons[0]?.click());
  act(() => buttons[1]?.click());
  expect(texts()).toEqual(["a", "b"]);
  const [first, second] = model.commands;
  act(() => model.receive({ ack: first?.id }));
  expect(texts()).toEqual(["idle", "b"]);
  act(() => model.receive({ ack: second?.id }));
  expect(texts()).toEqual(["idle", "idle"]);
  // The kernel handles commands in order: of two answers in one message only the later one is seen.
  act(() => buttons[0]?.click());
  act(() => buttons[1]?.click());
  act(() => model.receive({ ack: model.commands.at(-1)?.id }));
  expect(texts()).toEqual(["idle", "idle"]);
  act(stop);
  expect(model.listening).toBe(0);
});

test("the outbox is short, but nothing that the kernel has not handled falls out of it", () => {
  const model = new FakeModel({});
  const sendMany = (many: number) => Array.from({ length: many }, (_, at) => sendCommand(asModel(model), `c${at}`));
  const [first] = sendMany(40);
  expect(model.commands[0]?.id).toBe(first);
  expect(model.commands.slice(-2).map((command) => command.kind)).toEqual(["c38", "c39"]);
  expect(new Set(model.commands.map((command) => command.id)).size).toBe(40);
  model.receive({ ack: model.commands.at(-1)?.id });
  sendMany(1);
  expect(model.commands).toHaveLength(16);
  sendMany(1000);
  expect(model.commands).toHaveLength(256);
});

test("a view that throws becomes a card, not an empty cell", () => {
  const broken = definePanel(
    () => {
      throw new Error("no luck");
    },
    { label: "Broken" },
  );
  const [el] = show(broken, new FakeModel({}));
  expect(el.querySelector('[role="alert"]')?.textContent).toContain("no luck");
});

test("the root follows the theme and has a name", () => {
  document.body.setAttribute("data-jp-theme-light", "false");
  const [el] = show(
    definePanel(() => <p>hi</p>, { label: "Hello" }),
    new FakeModel({}),
  );
  const root = el.querySelector(".snb");
  expect(root?.getAttribute("data-theme")).toBe("dark");
  expect(root?.getAttribute("aria-label")).toBe("Hello");
  document.body.removeAttribute("data-jp-theme-light");
});

test("plain keys stay in the panel, so that no cell shortcut fires; shortcuts with Ctrl pass", () => {
  const [el, stop] = show(
    definePanel(() => <button type="button">go</button>, { label: "Keys" }),
    new FakeModel({}),
  );
  const seen: string[] = [];
  const listen = (event: KeyboardEvent) => seen.push(event.key);
  document.addEventListener("keydown", listen);
  const press = (key: string, ctrlKey = false) =>
    el.querySelector("button")?.dispatchEvent(new KeyboardEvent("keydown", { key, ctrlKey, bubbles: true }));
  press("d");
  press("ArrowDown");
  press("s", true);
  document.removeEventListener("keydown", listen);
  act(stop);
  expect(seen).toEqual(["s"]);
});
