/** What plotly draws for one metric: raw points, the smoothed line over them, and evaluations. */
import type { Figure } from "../lib/chart";
import { PALETTE, type Theme } from "../lib/theme";
import { type Curves, smooth } from "./curves";
import { evaluationOf, type Metric } from "./metrics";

export type Scale = "linear" | "log";

export interface View {
  metric: Metric;
  smoothing: number;
  scale: Scale;
}

// The lines of a chart differ in dash as well, so that colour never stands alone.
const DASHES = ["solid", "dash", "dot"] as const;

/** Whether a logarithmic axis can show all of a metric; rewards may be below zero. */
export function fitsLog(curves: Curves, metric: Metric): boolean {
  return !metric.share && metric.curves.every(([name]) => curves.points(name).every(([, value]) => !(value <= 0)));
}

export function figureOf(curves: Curves, view: View, theme: Theme): Figure {
  const colors = PALETTE[theme];
  const { metric } = view;
  const palette = [colors.accent, colors.good, colors.second];
  const several = metric.curves.length > 1;
  const scale = fitsLog(curves, metric) ? view.scale : "linear";
  const smoothing = metric.smooth ? view.smoothing : 0;
  const hover = `%{y:${metric.tickFormat || ".4~g"}}<extra>%{fullData.name}</extra>`;
  const data: object[] = [];
  let last = 0;
  metric.curves.forEach(([name, words], at) => {
    const points = curves.points(name);
    const x = points.map(([step]) => step);
    const y = points.map(([, value]) => value);
    const color = palette[at % palette.length];
    const dash = DASHES[at % DASHES.length];
    last = Math.max(last, x.at(-1) ?? 0);
    const line = { color, dash: several ? dash : "solid" };
    data.push({
      type: "scatter",
      name: smoothing > 0 ? "raw" : words,
      x,
      y,
      mode: points.length < 3 ? "lines+markers" : "lines",
      opacity: smoothing > 0 ? (several ? 0.25 : 0.45) : 1,
      line: { ...line, width: smoothing > 0 ? 1 : 2 },
      hovertemplate: hover,
      // Three raw lines would only repeat the legend and crowd the hover text.
      ...(several && smoothing > 0 ? { showlegend: false, hoverinfo: "skip", hovertemplate: undefined } : {}),
    });
    if (smoothing > 0) {
      const name = several ? words : "smoothed";
      const y2 = smooth(y, smoothing);
      data.push({
        type: "scatter",
        name,
        x,
        y: y2,
        mode: "lines",
        line: { ...line, width: 2.5 },
        hovertemplate: hover,
      });
    }
  });
  const evals = curves.points(evaluationOf(metric));
  if (evals.length > 0) {
    const color = several ? colors.text : colors.second;
    data.push({
      type: "scatter",
      name: several ? `${metric.curves[0]?.[1]}, evaluation` : "evaluation",
      x: evals.map(([step]) => step),
      y: evals.map(([, value]) => value),
      mode: several ? "markers" : "lines+markers",
      line: { color, width: 1.5, dash: "dot" },
      marker: { color, size: 8, symbol: "diamond" },
      hovertemplate: hover,
    });
  }
  return {
    data,
    layout: {
      // Keeps a zoom while points come in; a change of metric or scale starts afresh.
      uirevision: `${metric.id}/${scale}`,
      showlegend: data.length > 1,
      legend: { orientation: "h", x: 1, xanchor: "right", y: 1, yanchor: "bottom", font: { size: 11 } },
      margin: { l: 48, r: 12, t: data.length > 1 ? 26 : 8, b: 34 },
      xaxis: {
        title: { text: "step", font: { color: colors.muted, size: 11 }, standoff: 6 },
        rangemode: "nonnegative",
        unifiedhovertitle: { text: "step %{x}" },
        spikecolor: colors.muted,
        spikethickness: 1,
        spikedash: "solid",
        // Steps are whole numbers; a short run would get ticks between them.
        ...(last < 10 ? { dtick: 1 } : {}),
      },
      yaxis: {
        type: scale,
        tickformat: metric.tickFormat,
        nticks: 6,
        exponentformat: "power",
        ...(metric.share ? { range: [0, 1.02] } : {}),
      },
    },
  };
}

/** The points of a sparkline in a box of `width` × `height`: one for about every two pixels. */
export function sparkline(values: readonly number[], width: number, height: number): string {
  const finite = values.filter(Number.isFinite);
  if (finite.length < 2) {
    return "";
  }
  const cells = Math.min(finite.length, Math.floor(width / 2));
  const low = Math.min(...finite);
  const span = Math.max(...finite) - low || 1;
  return Array.from({ length: cells }, (_, i) => {
    const value = finite[Math.round((i / (cells - 1)) * (finite.length - 1))] ?? low;
    const x = (i / (cells - 1)) * width;
    const y = height - 1 - ((value - low) / span) * (height - 2);
    return `${x.toFixed(1)},${y.toFixed(1)}`;
  }).join(" ");
}
