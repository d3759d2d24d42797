import { act } from "preact/test-utils";
import { expect, test } from "vitest";
import { mounted } from "../lib/testing/mounted";
import widget from "./index";
import type { ServerRow } from "./types";

const stats = {
  requests: 4,
  failed: 1,
  requests_per_s: 0.5,
  tokens_per_s: 12.25,
  latency_s: { p50: 0.25, p95: 1 },
  first_piece_s: null,
  active: 2,
  waiting: 1,
};
const server = (id: string, values: Partial<ServerRow> = {}): ServerRow => ({
  id,
  url: "http://127.0.0.1:8000/v1",
  engine: "transformers",
  reason: "asked for",
  models: ["tiny", "tiny-base"],
  health: "",
  stats,
  proxied: "",
  advice: "",
  clients: [
    { id: "openai", code: 'client = OpenAI(api_key="{token}")' },
    { id: "curl", code: "curl {token}" },
  ],
  ...values,
});

const page = mounted(widget, {
  models: [{ id: "var:model", title: "model (tiny)" }],
  engines: ["auto", "llama.cpp"],
  servers: [],
  state: { stage: "ready" },
  played: {},
  code: {},
});
const { show } = page;
const button = (text: string) => {
  const found = page.button(text);
  if (found === undefined) throw new Error(`no button ${text}`);
  return found;
};
/** The last command of a kind. */
const sent = (kind: string) => page.sent().findLast((each) => each.kind === kind);
const input = (label: string) => {
  const found = [...page.el.querySelectorAll<HTMLInputElement | HTMLSelectElement>("input, select")].find(
    (each) => page.el.querySelector(`label[for="${each.id}"]`)?.textContent === label,
  );
  if (found === undefined) throw new Error(`no field ${label}`);
  return found;
};
const put = (label: string, value: string) => {
  const field = input(label);
  field.value = value;
  act(() => {
    field.dispatchEvent(new Event(field.tagName === "SELECT" ? "change" : "input", { bubbles: true }));
  });
};

test("a loaded model is served with what is chosen, and another source by its address", () => {
  show();
  put("Engine", "llama.cpp");
  put("Port", "80x");
  expect(button("Start").disabled).toBe(true);
  put("Port", "8000");
  put("Name", "mine");
  act(() => button("Start").click());
  expect(sent("start")).toMatchObject({ source: "var:model", engine: "llama.cpp", name: "mine", port: 8000 });
  act(() => page.model.set("ack", String(sent("start")?.id)));
  put("Model", "");
  expect(button("Start").disabled).toBe(true);
  put("Folder, run, file or address", "run-1");
  expect(button("Start").disabled).toBe(false);
});

test("a server shows its figures and never its token until it is copied", () => {
  show({
    servers: [server("a", { health: "it is being started again", advice: "ssh -L", proxied: "/proxy/8000/v1" })],
  });
  const text = page.el.textContent ?? "";
  for (const part of [
    "0.50/s",
    "12.3/s",
    "0.25 s",
    "--",
    "2 answered, 1 waiting",
    "1 of 4",
    "started again",
    "ssh -L",
    "/proxy/8000/v1",
  ])
    expect(text).toContain(part);
  expect(page.el.innerHTML).not.toContain("{token}");
  act(() => button("Copy, with the token").click());
  expect(sent("token")).toMatchObject({ server: "a" });
});

test("a server is stopped by its id", () => {
  show({ servers: [server("a")] });
  act(() => button("Stop").click());
  expect(sent("stop")).toMatchObject({ server: "a" });
});

test("the playground asks the models that are ticked and shows each answer as text", () => {
  show({ servers: [server("a"), server("b", { models: ["other"], engine: "llama.cpp" })] });
  expect(button("Ask them").disabled).toBe(true);
  put("Question", "hi?");
  const boxes = [...page.el.querySelectorAll<HTMLInputElement>('input[type="checkbox"]')];
  act(() => boxes[1]?.click());
  act(() => button("Ask them").click());
  expect(sent("play")).toMatchObject({
    question: "hi?",
    places: [
      ["a", "tiny"],
      ["b", "other"],
    ],
  });
  const answer = {
    server: "a",
    model: "tiny",
    engine: "transformers",
    text: "<b>yes</b>",
    error: "",
    tokens: 3,
    seconds: 1,
  };
  act(() =>
    page.model.set("played", {
      question: "hi?",
      answers: [answer, { ...answer, server: "b", model: "other", text: "", error: "HTTP 502" }],
    }),
  );
  expect(page.el.textContent).toContain("<b>yes</b>");
  expect(page.el.querySelector('[role="alert"]')?.textContent).toBe("HTTP 502");
});
