import { expect, test, vi } from "vitest";
import { Curves, type Point, type Snapshot, smooth } from "./curves";

function packed(version: number, points: Point[], edges: Point[] = []) {
  const steps = new DataView(new ArrayBuffer(4 * points.length));
  const values = new DataView(new ArrayBuffer(4 * points.length));
  points.forEach(([step, value], i) => {
    steps.setUint32(4 * i, step, true);
    values.setFloat32(4 * i, value, true);
  });
  return { version, steps, values, edges };
}

function snapshot(version: number, points: Point[], edges: Point[] = []): Snapshot {
  return { full: true, series: { loss: packed(version, points, edges) } };
}

test("deltas append, and a delta that overlaps the snapshot adds only what is new", () => {
  const resync = vi.fn();
  const curves = new Curves(resync);
  curves.replace(
    snapshot(0, [
      [1, 3],
      [2, 2],
    ]),
  );
  curves.grow({ points: { loss: [0, 1, [2, 3], [2, 1]] } });
  curves.grow({ points: { loss: [0, 3, [4], [0.5]] } });
  expect(curves.points("loss")).toEqual([
    [1, 3],
    [2, 2],
    [3, 1],
    [4, 0.5],
  ]);
  expect(resync).not.toHaveBeenCalled();
});

test("a hole or an unknown newer version asks for a snapshot and spoils nothing", () => {
  const resync = vi.fn();
  const curves = new Curves(resync);
  curves.grow({ points: { loss: [0, 0, [1], [3]] } });
  curves.grow({ points: { loss: [0, 5, [6], [1]] } });
  expect(resync).toHaveBeenCalledTimes(1);
  curves.grow({ points: { loss: [1, 1, [2], [1]] } });
  expect(resync).toHaveBeenCalledTimes(2);
  expect(curves.points("loss")).toEqual([[1, 3]]);
});

test("a delta of before the thinning is dropped", () => {
  const resync = vi.fn();
  const curves = new Curves(resync);
  curves.replace(
    snapshot(1, [
      [1, 3],
      [3, 2],
    ]),
  );
  curves.grow({ points: { loss: [0, 3, [4], [1]] } });
  expect(curves.points("loss").length).toBe(2);
  expect(resync).not.toHaveBeenCalled();
});

test("the exact last, smallest and largest point are drawn although thinned away", () => {
  const curves = new Curves(() => {});
  curves.replace(
    snapshot(
      1,
      [
        [1, 3],
        [3, 2],
      ],
      [
        [2, 9],
        [4, 0.5],
      ],
    ),
  );
  expect(curves.points("loss")).toEqual([
    [1, 3],
    [2, 9],
    [3, 2],
    [4, 0.5],
  ]);
  curves.grow({ edges: { loss: [[5, 0.25]] } });
  expect(curves.points("loss").at(-1)).toEqual([5, 0.25]);
});

test("smoothing starts at the first value, skips gaps, and 0 is the identity", () => {
  expect(smooth([4, 4, 4], 0.9)).toEqual([4, 4, 4]);
  expect(smooth([1, 5, 2], 0)).toEqual([1, 5, 2]);
  const [first, gap, third] = smooth([2, Number.NaN, 4], 0.5);
  expect([first, gap]).toEqual([2, Number.NaN]);
  expect(third).toBeCloseTo(2 / 3 + 8 / 3);
});
