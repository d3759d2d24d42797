/** The metrics that a run shows: one row each, in the order of the tiles. */
import { count, gigabytes, number, rate } from "../lib/format";
import type { MetricName } from "./types";

export interface Metric {
  id: MetricName;
  title: string;
  unit: string;
  format: (value: number | null | undefined) => string;
  /** What the axis shows for a value; the same as `format` where left out. */
  smooth: boolean;
  tickFormat: string;
}

export const METRICS: readonly Metric[] = [
  { id: "loss", title: "Loss", unit: "", format: (v) => number(v), smooth: true, tickFormat: "" },
  { id: "learning_rate", title: "Learning rate", unit: "", format: rate, smooth: false, tickFormat: ".1e" },
  { id: "grad_norm", title: "Gradient norm", unit: "", format: (v) => number(v, 3), smooth: true, tickFormat: "" },
  { id: "tokens_per_s", title: "Tokens per second", unit: "tokens/s", format: count, smooth: true, tickFormat: "" },
  { id: "peak_memory_gb", title: "Peak memory", unit: "GB", format: gigabytes, smooth: false, tickFormat: "" },
];

export function metricOf(id: string): Metric {
  return METRICS.find((metric) => metric.id === id) ?? (METRICS[0] as Metric);
}
