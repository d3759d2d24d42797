/** Parallel coordinates: one line a run or trial across axes of options and results; and the strokes that tell runs apart. */
import type { Figure } from "./chart";
import { PALETTE, type Theme } from "./theme";

export interface Axis {
  title: string;
  values: number[];
  /** Texts by value, where the values are places. */
  ticks: string[] | null;
}

/** What is drawn: several things with a value on each axis. */
export interface Parallel {
  ids: string[];
  labels: string[];
  parallel?: Axis[];
}

// Six hues that colour-blind people tell apart (after Okabe and Ito), darker or lighter by theme; the next six are dashed.
const HUES: Record<Theme, readonly string[]> = {
  light: ["#2456c7", "#a8420b", "#1a6b3a", "#8f3f97", "#8a6d00", "#3b4650"],
  dark: ["#8ab0ff", "#f0a36b", "#6fcf97", "#dba2e6", "#e0c65a", "#c9d1d9"],
};
/** The look of the run at a place. */
export function strokeOf(at: number, theme: Theme): { color: string; dash: "solid" | "dash" } {
  const hues = HUES[theme];
  return { color: hues[at % hues.length] as string, dash: at < hues.length ? "solid" : "dash" };
}

/** One line a run across the axes, each from its lowest value at the foot to its highest at the top. */
export function parallelFigure(comparison: Parallel, theme: Theme): Figure {
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
