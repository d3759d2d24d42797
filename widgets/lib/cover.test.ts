import { afterEach, expect, test, vi } from "vitest";
import { coverSnapshot } from "./cover";

const png = (description: string) => `data:image/png;base64,${btoa(`\x89PNG tEXtDescription\0${description}`)}`;

function area(...outputs: string[]): HTMLElement[] {
  document.body.innerHTML = `<div class="jp-OutputArea"><div class="jp-OutputArea-child"><p id="panel"></p></div>${outputs
    .map((html) => `<div class="jp-OutputArea-child">${html}</div>`)
    .join("")}</div>`;
  return [...document.querySelectorAll<HTMLElement>(".jp-OutputArea-child")].slice(1);
}

const told = vi.fn();

const covered = (output: HTMLElement | undefined) => output?.classList.contains("snb-covered");
const panel = () => document.getElementById("panel") as HTMLElement;

afterEach(() => {
  document.body.innerHTML = "";
  told.mockClear();
});

test.each([
  ["its picture", `<img src="${png("ShadowNB run a1")}">`, true],
  ["its text", "<pre>ShadowNB run a1: queued</pre>", true],
  ["another run's picture", `<img src="${png("ShadowNB run b2")}">`, false],
  ["a picture of the user", `<img src="${png("cat")}">`, false],
  ["printed text", "<pre>x</pre>", false],
])("%s below the panel", (_, html, expected) => {
  const [output] = area(html);
  const undo = coverSnapshot(panel(), "ShadowNB run a1", told);
  expect(covered(output)).toBe(expected);
  expect(told.mock.lastCall?.[0].includes("ShadowNB run a1")).toBe(expected);
  undo();
  expect(covered(output)).toBe(false);
});

test("a snapshot that is replaced is covered again", async () => {
  const [output] = area("<pre>ShadowNB run a1: queued</pre>");
  const undo = coverSnapshot(panel(), "ShadowNB run a1", told);
  const next = document.createElement("div");
  next.className = "jp-OutputArea-child";
  next.innerHTML = `<img src="${png("ShadowNB run a1")}">`;
  output?.replaceWith(next);
  await vi.waitFor(() => expect(covered(next)).toBe(true));
  undo();
});

test("outside of JupyterLab nothing happens", () => {
  document.body.innerHTML = '<p id="panel"></p><img>';
  coverSnapshot(panel(), "ShadowNB run a1", told)();
});
