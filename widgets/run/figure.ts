/** What plotly draws for one metric: raw points, the smoothed line over them, and evaluations on the loss. */
import type { Figure } from "../lib/chart";
import { PALETTE, type Theme } from "../lib/theme";
import { type Curves, smooth } from "./curves";
import type { Metric } from "./metrics";

export interface View {
  metric: Metric;
  smoothing: number;
  scale: "linear" | "log";
}

export function figureOf(curves: Curves, view: View, theme: Theme): Figure {
  const colors = PALETTE[theme];
  const { metric } = view;
  const points = curves.points(metric.id);
  const x = points.map(([step]) => step);
  const y = points.map(([, value]) => value);
  const smoothing = metric.smooth ? view.smoothing : 0;
  const evals = metric.id === "loss" ? curves.points("eval_loss") : [];
  const few = points.length < 3;
  const hover = `%{y:${metric.tickFormat || ".4~g"}}<extra>%{fullData.name}</extra>`;
  const raw = {
    type: "scatter",
    name: smoothing > 0 ? "raw" : metric.title.toLowerCase(),
    x,
    y,
    mode: few ? "lines+markers" : "lines",
    opacity: smoothing > 0 ? 0.45 : 1,
    line: { color: colors.accent, width: smoothing > 0 ? 1 : 2 },
    hovertemplate: hover,
  };
  const averaged = {
    type: "scatter",
    name: "smoothed",
    x,
    y: smooth(y, smoothing),
    mode: "lines",
    line: { color: colors.accent, width: 2.5 },
    hovertemplate: hover,
  };
  const evaluated = {
    type: "scatter",
    name: "evaluation",
    x: evals.map(([step]) => step),
    y: evals.map(([, value]) => value),
    mode: "lines+markers",
    line: { color: colors.second, width: 1.5, dash: "dot" },
    marker: { color: colors.second, size: 8, symbol: "diamond" },
    hovertemplate: hover,
  };
  const data = [raw, ...(smoothing > 0 ? [averaged] : []), ...(evals.length > 0 ? [evaluated] : [])];
  return {
    data,
    layout: {
      // Keeps a zoom while points come in; a change of metric or scale starts afresh.
      uirevision: `${metric.id}/${view.scale}`,
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
        ...((x.at(-1) ?? 0) < 10 ? { dtick: 1 } : {}),
      },
      yaxis: { type: view.scale, tickformat: metric.tickFormat, nticks: 6, exponentformat: "power" },
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
