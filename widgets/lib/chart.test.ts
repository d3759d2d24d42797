import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { DRAW_INTERVAL_MS, Painter } from "./chart";
import type { Plotly } from "./plotly";

const figure = () => ({ data: [], layout: {} });
let library: Plotly;
let hidden = false;

beforeEach(() => {
  vi.useFakeTimers();
  hidden = false;
  vi.spyOn(document, "hidden", "get").mockImplementation(() => hidden);
  library = { react: vi.fn(async () => {}), purge: vi.fn(), relayout: vi.fn() } as unknown as Plotly;
});

afterEach(() => vi.useRealTimers());

test("data is drawn once a second however often it comes", async () => {
  const painter = new Painter(library, document.createElement("div"));
  for (let i = 0; i < 40; i += 1) {
    painter.request(figure, false);
    await vi.advanceTimersByTimeAsync(250);
  }
  expect(painter.drawn).toBeGreaterThanOrEqual(9);
  expect(painter.drawn).toBeLessThanOrEqual(11);
});

test("what the user changed is drawn at once", async () => {
  const painter = new Painter(library, document.createElement("div"));
  painter.request(figure, false);
  await vi.advanceTimersByTimeAsync(0);
  painter.request(figure, false);
  await vi.advanceTimersByTimeAsync(DRAW_INTERVAL_MS / 10);
  expect(painter.drawn).toBe(1);
  painter.request(figure, true);
  expect(painter.drawn).toBe(2);
});

test("a hidden page is not drawn; when it comes back, the newest data is", async () => {
  const painter = new Painter(library, document.createElement("div"));
  hidden = true;
  const newest = vi.fn(figure);
  painter.request(figure, true);
  painter.request(newest, false);
  await vi.advanceTimersByTimeAsync(10 * DRAW_INTERVAL_MS);
  expect(painter.drawn).toBe(0);
  hidden = false;
  document.dispatchEvent(new Event("visibilitychange"));
  await vi.advanceTimersByTimeAsync(0);
  expect(newest).toHaveBeenCalledTimes(1);
});

test("after dispose nothing is drawn and the chart is purged", async () => {
  const painter = new Painter(library, document.createElement("div"));
  painter.request(figure, false);
  painter.dispose();
  await vi.advanceTimersByTimeAsync(2 * DRAW_INTERVAL_MS);
  expect(painter.drawn).toBe(0);
  expect(library.purge).toHaveBeenCalledTimes(1);
});
