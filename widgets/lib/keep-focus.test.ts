import { afterEach, beforeEach, expect, test } from "vitest";
import { keepFocus } from "./keep-focus";

const root = document.createElement("div");
let stop = () => {};
const named = (id: string) => root.querySelector(`#${id}`) as HTMLElement;
const settled = () => new Promise((resolve) => setTimeout(resolve));

beforeEach(() => {
  root.innerHTML = `
    <button id="first">First</button>
    <section><select id="model"></select><div id="row"><button id="load">Load</button></div></section>`;
  document.body.append(root);
  stop = keepFocus(root);
});

afterEach(() => {
  stop();
  root.remove();
});

test("where a focused button is taken away, the nearest control around it has the focus", async () => {
  named("load").focus();
  named("load").remove();
  await settled();
  expect(document.activeElement?.id).toBe("model");
  named("row").parentElement?.remove();
  await settled();
  expect(document.activeElement?.id).toBe("first");
});

test("a button that is switched off while the kernel answers has the focus again afterwards", async () => {
  const load = named("load") as HTMLButtonElement;
  load.focus();
  load.disabled = true;
  load.blur();
  await settled();
  load.disabled = false;
  await settled();
  expect(document.activeElement).toBe(load);
});

test("who leaves the controls is not brought back", async () => {
  named("load").focus();
  named("load").blur();
  await settled();
  named("load").remove();
  await settled();
  expect(document.activeElement).toBe(document.body);
});
