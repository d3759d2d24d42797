/** What plotly draws of several runs: curves over each other, and options beside results as parallel coordinates. */
import type { Figure } from "../lib/chart";
import { PALETTE, type Theme } from "../lib/theme";
import type { Axis, Comparison, Curves } from "./types";

// Six hues that colour-blind people tell apart (after Okabe and Ito), darker or lighter by theme; the next six are dashed.
const HUES: Record<Theme, readonly string[]> = {
  light: ["#2456c7", "#a8420b", "#1a6b3a", "#8f3f97", "#8a6d00", "#3b4650"],
  dark: ["#8ab0ff", "#f0a36b", "#6fcf97", "#dba2e6", "#e0c65a", "#c9d1d9"],
};
const AXIS = { step: "step", tokens: "tokens trained", time: "seconds of training" } as const;

/** The look of the run at a place. */
export function strokeOf(at: number, theme: Theme): { color: string; dash: "solid" | "dash" } {
  const hues = HUES[theme];
  return { color: hues[at % hues.length] as string, dash: at < hues.length ? "solid" : "dash" };
}

export function curvesFigure(curves: Curves, theme: Theme): Figure {
  const colors = PALETTE[theme];
  return {
    data: curves.lines.map(({ label, x, y }, at) => ({
      type: "scatter",
      name: label,
      x,
      y,
      mode: x.length < 3 ? "lines+markers" : "lines",
      line: { ...strokeOf(at, theme), width: 2 },
      hovertemplate: "%{y:.4~g}<extra>%{fullData.name}</extra>",
    })),
    layout: {
      uirevision: `${curves.metric}/${curves.axis}`,
      showlegend: curves.lines.length > 1,
      legend: { orientation: "h", x: 0, xanchor: "left", y: 1, yanchor: "bottom", font: { size: 11 } },
      margin: { l: 48, r: 12, t: curves.lines.length > 1 ? 26 : 8, b: 34 },
      xaxis: {
        title: { text: AXIS[curves.axis], font: { color: colors.muted, size: 11 }, standoff: 6 },
        rangemode: "nonnegative",
      },
      yaxis: { nticks: 6, exponentformat: "power" },
    },
  };
}

/** One line a run across the axes, each from its lowest value at the foot to its highest at the top. */
export function parallelFigure(comparison: Comparison, theme: Theme): Figure {
  const colors = PALETTE[theme];
  const axes = comparison.parallel ?? [];
  const shares = axes.map(({ values }) => {
    const low = Math.min(...values);
    const span = Math.max(...values) - low;
    return values.map((value) => (span === 0 ? 0.5 : (value - low) / span));
  });
  return {
    data: comparison.ids.map((_, run) => ({
      type: "scatter",
      mode: "lines+markers",
      name: comparison.labels[run],
      x: axes.map((_axis, at) => at),
      y: axes.map((_axis, at) => shares[at]?.[run]),
      text: axes.map(({ title, values, ticks }) => `${title}: ${ticks?.[values[run] ?? 0] ?? brief(values[run] ?? 0)}`),
      line: { ...strokeOf(run, theme), width: 2 },
      hovertemplate: "%{text}<extra>%{fullData.name}</extra>",
    })),
    layout: {
      hovermode: "closest",
      margin: { l: 40, r: 40, t: 8, b: 48 },
      xaxis: {
        tickvals: axes.map((_axis, at) => at),
        ticktext: axes.map(({ title }) => title),
        range: [-0.3, axes.length - 0.7],
        gridcolor: colors.muted,
        fixedrange: true,
      },
      yaxis: { visible: false, range: [-0.14, 1.14], fixedrange: true },
      annotations: axes.flatMap((axis, at) => ends(axis).map(([text, y]) => note(text, at, y, colors.muted))),
    },
  };
}

const brief = (value: number) => String(Number(value.toPrecision(3)));

/** What stands at the foot and at the top of an axis. */
function ends({ values, ticks }: Axis): [text: string, y: number][] {
  const name = (value: number) => ticks?.[value] ?? brief(value);
  const low = Math.min(...values);
  const high = Math.max(...values);
  return low === high
    ? [[name(low), 0.5]]
    : [
        [name(low), 0],
        [name(high), 1],
      ];
}

function note(text: string, x: number, y: number, color: string): object {
  return { text, x, y, showarrow: false, yshift: y === 1 ? 12 : -12, font: { size: 10, color } };
}
