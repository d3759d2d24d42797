/** What plotly draws of several runs: curves over each other. */
import type { Figure } from "../lib/chart";
import { strokeOf } from "../lib/parallel";
import { PALETTE, type Theme } from "../lib/theme";
import type { Curves } from "./types";

const AXIS = { step: "step", tokens: "tokens trained", time: "seconds of training" } as const;

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
