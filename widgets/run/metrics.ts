/** The metrics that a run shows, one tile each: those of every run, and the charts of what its method adds. */
import { count, gigabytes, number, percent, rate } from "../lib/format";
import type { ChartInfo } from "./types";

export interface Metric {
  id: string;
  title: string;
  /** Curves by name, with their words in the legend; the first one is the tile's number. */
  curves: readonly (readonly [name: string, words: string])[];
  format: (value: number | null | undefined) => string;
  smooth: boolean;
  /** What the axis shows for a value. */
  tickFormat: string;
  /** Values are shares between 0 and 1. */
  share?: boolean;
}

type Plain = Omit<Metric, "curves">;

const single = (metric: Plain): Metric => ({ ...metric, curves: [[metric.id, metric.title.toLowerCase()]] });

const LOSS = single({ id: "loss", title: "Loss", format: (v) => number(v), smooth: true, tickFormat: "" });

const COMMON: readonly Metric[] = [
  single({ id: "learning_rate", title: "Learning rate", format: rate, smooth: false, tickFormat: ".1e" }),
  single({ id: "grad_norm", title: "Gradient norm", format: (v) => number(v, 3), smooth: true, tickFormat: "" }),
  single({ id: "tokens_per_s", title: "Tokens/s", format: count, smooth: true, tickFormat: "" }),
  single({ id: "peak_memory_gb", title: "Peak memory", format: gigabytes, smooth: false, tickFormat: "" }),
];

/** The tiles of a run in their order; what its method is watched by stands right after the loss. */
export function metricsOf(charts: readonly ChartInfo[]): readonly Metric[] {
  const extra = charts.map(
    (chart): Metric => ({
      id: chart.id,
      title: chart.title,
      curves: chart.curves,
      format: chart.share ? percent : (value) => number(value, 3),
      smooth: true,
      tickFormat: chart.share ? ".0%" : "",
      share: chart.share,
    }),
  );
  return [LOSS, ...extra, ...COMMON];
}

/** The curve whose value stands for the metric. */
export function headlineOf(metric: Metric): string {
  return metric.curves[0]?.[0] ?? metric.id;
}

/** The curve of a metric's evaluations, on whichever charts have one. */
export function evaluationOf(metric: Metric): string {
  return `eval_${headlineOf(metric)}`;
}
