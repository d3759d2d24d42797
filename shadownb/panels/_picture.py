"""A run's curves as a PNG: the loss large, what else the method is watched by in smaller charts below it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from shadownb.engine.runs.charts import Chart, extra_charts
from shadownb.engine.runs.curves import ema

from ._axes import EVAL, INK, MUTED, SCALE, Line, Plot, canvas, draw_plot, finite, png, write

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

WIDTH, HEIGHT = 680, 220  # as displayed, of a run with a loss only; the picture has twice as many pixels
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 14, 46, 24
_SMALL_HEIGHT, _COLUMNS, _MOST_CHARTS = 130, 2, 4

_RAW, _SMOOTH, _GOOD = "#a9bfee", "#2456c7", "#1a6b3a"

_SMOOTHING = 0.6


def draw_run(state: Any, title: str, headline: str, description: str) -> bytes | None:
    """Return the PNG (under 60 KB), or None while the loss has fewer than two points.

    Parameters
    ----------
    title, headline
        The two lines above the loss.
    description
        Text that is kept in the file.
    """
    loss = finite(state.series.get("loss"))
    if len(loss) < 2:
        return None
    charts = [chart for chart in extra_charts(state.series) if len(finite(state.series[chart.headline])) > 1]
    charts = charts[:_MOST_CHARTS]
    height = size_of(len(charts))[1]
    image, draw = canvas(WIDTH, height)
    write(draw, (_LEFT, 8), title, 14, INK)
    write(draw, (_LEFT, 26), headline, 12, MUTED)
    evals = finite(state.evals)
    steps, values = zip(*loss, strict=True)
    smooth = list(zip(steps, ema(values, _SMOOTHING), strict=True))
    lines = [Line(loss, _RAW), Line(smooth, _SMOOTH, 3)]
    draw_plot(draw, Plot(_LEFT, _TOP, WIDTH - _RIGHT, HEIGHT - _BOTTOM, lines, evals))
    legend = "loss: thin raw, thick smoothed" + ("; dots evaluation" if evals else "")
    # The headline grows with what the method records and while the run goes on; the line above is free.
    write(draw, (WIDTH - _RIGHT, 10), legend, 11, MUTED, "ra")
    for at, chart in enumerate(charts):
        _draw_small(draw, state, chart, at)
    return png(image, (_RAW, _SMOOTH, _GOOD), description)


def size_of(charts: int) -> tuple[int, int]:
    """Return (width, height), as displayed, of the picture of a run with so many charts beside the loss."""
    return WIDTH, HEIGHT + _SMALL_HEIGHT * math.ceil(min(charts, _MOST_CHARTS) / _COLUMNS)


def _draw_small(draw: ImageDraw, state: Any, chart: Chart, at: int) -> None:
    row, column = divmod(at, _COLUMNS)
    top, left = HEIGHT + row * _SMALL_HEIGHT, column * WIDTH // _COLUMNS + _LEFT
    right = (column + 1) * WIDTH // _COLUMNS - _RIGHT
    looks = ((_SMOOTH, 3, False, ""), (_GOOD, SCALE, False, "thin"), (EVAL, SCALE, True, "dashed"))
    lines, words = [], []
    for (name, label), (color, width, dashed, look) in zip(chart.curves, looks, strict=False):
        lines.append(Line(finite(state.series[name]), color, width, dashed))
        words.append(f"{label} {look}")
    write(draw, (left, top + 4), chart.title, 12, INK)
    if len(words) > 1:  # the title names the first one
        write(draw, (right, top + 5), ", ".join(words[1:]), 11, MUTED, "ra")
    evals = finite(state.series.get(f"eval_{chart.headline}"))
    draw_plot(draw, Plot(left, top + 24, right, top + _SMALL_HEIGHT - _BOTTOM, lines, evals, chart.share))
