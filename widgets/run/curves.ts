/**
 * The curves of one run as the page holds them: built from a snapshot, grown by deltas.
 *
 * A delta says where its first point belongs. What the page already has is dropped; a hole means that a message was
 * missed (the page loaded meanwhile), and the snapshot is asked for again.
 */
export type Point = readonly [step: number, value: number];

export interface Curve {
  version: number;
  steps: number[];
  values: number[];
  /** Exact last, smallest and largest point, where the curve is thinned. */
  edges: Point[];
}

export interface Delta {
  sequence?: number;
  points?: Record<string, [version: number, start: number, steps: number[], values: number[]]>;
  edges?: Record<string, Point[]>;
}

interface PackedCurve {
  version: number;
  steps: DataView;
  values: DataView;
  edges: Point[];
}

export interface Snapshot {
  sequence?: number;
  full?: boolean;
  series?: Record<string, PackedCurve>;
}

function unpack<T>(view: DataView, read: (offset: number) => T): T[] {
  return Array.from({ length: view.byteLength / 4 }, (_, i) => read(i * 4));
}

export class Curves {
  #curves = new Map<string, Curve>();
  #listeners = new Set<() => void>();
  #resync: () => void;
  /** Rises with each change. */
  version = 0;

  /** `resync` asks the kernel for a full snapshot. */
  constructor(resync: () => void) {
    this.#resync = resync;
  }

  replace(snapshot: Snapshot): void {
    if (snapshot.full === true) {
      this.#curves.clear(); // of another run, where another is shown
    }
    for (const [name, packed] of Object.entries(snapshot.series ?? {})) {
      const { steps, values } = packed;
      this.#curves.set(name, {
        version: packed.version,
        steps: unpack(steps, (offset) => steps.getUint32(offset, true)),
        values: unpack(values, (offset) => values.getFloat32(offset, true)),
        edges: packed.edges,
      });
    }
    this.#changed();
  }

  grow(delta: Delta): void {
    let missing = false;
    for (const [name, [version, start, steps, values]] of Object.entries(delta.points ?? {})) {
      const curve = this.#curves.get(name) ?? { version, steps: [], values: [], edges: [] };
      const known = curve.steps.length - start;
      if (curve.version > version) {
        continue; // a snapshot that overtook this message has these points, thinned
      }
      if (curve.version !== version || known < 0) {
        missing = true;
        continue;
      }
      curve.steps.push(...steps.slice(known));
      curve.values.push(...values.slice(known));
      this.#curves.set(name, curve);
    }
    for (const [name, edges] of Object.entries(delta.edges ?? {})) {
      const curve = this.#curves.get(name);
      if (curve !== undefined) {
        curve.edges = edges;
      }
    }
    if (missing) {
      this.#resync();
    }
    this.#changed();
  }

  /** The points to draw, by step. */
  points(name: string): Point[] {
    const curve = this.#curves.get(name);
    if (curve === undefined) {
      return [];
    }
    const kept = curve.steps.map((step, i): Point => [step, curve.values[i] ?? Number.NaN]);
    if (curve.edges.length === 0) {
      return kept;
    }
    const merged = new Map(kept);
    for (const [step, value] of curve.edges) {
      merged.set(step, value);
    }
    return [...merged].sort((a, b) => a[0] - b[0]);
  }

  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #changed(): void {
    this.version += 1;
    for (const listener of this.#listeners) {
      listener();
    }
  }
}

/** Exponential moving average, corrected for its start; `factor` 0 leaves the values as they are. */
export function smooth(values: readonly number[], factor: number): number[] {
  let average = 0;
  let weight = 0;
  return values.map((value) => {
    if (!Number.isFinite(value)) {
      return value;
    }
    average = factor * average + (1 - factor) * value;
    weight = factor * weight + (1 - factor);
    return average / weight;
  });
}
