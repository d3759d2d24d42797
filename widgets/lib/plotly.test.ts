import { beforeEach, expect, test, vi } from "vitest";
import { offerPlotly, type Plotly, wantPlotly } from "./plotly";

const library = { react: vi.fn(), purge: vi.fn(), relayout: vi.fn() } as unknown as Plotly;

beforeEach(() => {
  delete (globalThis as unknown as Record<symbol, unknown>)[Symbol.for("shadownb.plotly@test")];
});

test("the chart may come first", async () => {
  const wanted = wantPlotly();
  offerPlotly(async () => library);
  expect(await wanted).toBe(library);
});

test("nothing is evaluated before a chart asks, and then once for all kernels and charts", async () => {
  const first = vi.fn(async () => library);
  const second = vi.fn(async () => library);
  offerPlotly(first);
  offerPlotly(second);
  expect(first).not.toHaveBeenCalled();
  expect(await Promise.all([wantPlotly(), wantPlotly()])).toEqual([library, library]);
  expect(first).toHaveBeenCalledTimes(1);
  expect(second).not.toHaveBeenCalled();
});

test("after a failed load the next offer serves the charts that wait", async () => {
  const complaint = vi.spyOn(console, "error").mockImplementation(() => {});
  const wanted = wantPlotly();
  offerPlotly(async () => {
    throw new Error("blocked");
  });
  await vi.waitFor(() => expect(complaint).toHaveBeenCalled());
  offerPlotly(async () => library);
  expect(await wanted).toBe(library);
});
