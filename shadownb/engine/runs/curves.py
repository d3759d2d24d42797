"""Curves of a run: smoothing, text charts, and the plotly figure (plotly is imported only when one is asked for)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from shadownb.engine.displays import on_any_page
from shadownb.engine.runs.charts import extra_charts
from shadownb.errors import ConfigError, MissingDependencyError

if TYPE_CHECKING:
    from shadownb.engine.runs.figures import RunFigures

_BLOCKS = "▁▂▃▄▅▆▇█"

_Point = TypeVar("_Point")


def ema(values: Sequence[float], weight: float) -> list[float]:
    """Return the bias-corrected exponential moving average; ``weight`` 0 is none, close to 1 is strong."""
    if not 0 <= weight < 1:
        raise ConfigError(f"weight={weight} must be at least 0 and below 1.")
    smoothed, total, correction = [], 0.0, 0.0
    for value in values:
        total = weight * total + (1 - weight) * value
        correction = weight * correction + (1 - weight)
        smoothed.append(total / correction)
    return smoothed


def smoothing(given: float | None, metric: str | None) -> float:
    """Return the weight of a chart's moving average: the given one, else one for the loss, which alone is that noisy."""
    if given is None:
        return 0.6 if metric in (None, "loss") else 0.0
    if not 0 <= given < 1:
        raise ConfigError(f"smooth={given} must be at least 0 and below 1.", fix="0 is none, 0.9 is strong.")
    return given


def sparkline(values: Sequence[float], width: int = 40) -> str:
    """Return values as one line of block characters."""
    kept = _spread([v for v in values if math.isfinite(v)], width)
    if not kept:
        return ""
    low, high = min(kept), max(kept)
    span = (high - low) or 1.0
    return "".join(_BLOCKS[min(7, int(8 * (value - low) / span))] for value in kept)


def text_chart(
    steps: Sequence[int],
    values: Sequence[float],
    *,
    title: str,
    width: int = 60,
    height: int = 10,
    smooth: float = 0.0,
    window: int | None = None,
    log: bool = False,
    clip: float | None = None,
) -> str:
    """Return a chart of points as text; see :meth:`Run.plot`. With ``smooth`` the points are dots below the smoothed line."""
    since, cap = _first_step(steps, window), _highest(values, clip)
    smoothed = ema(values, smooth)  # over all points, or a window would begin unsmoothed
    points = [
        (step, min(value, cap), min(line, cap))
        for step, value, line in zip(steps, values, smoothed, strict=True)
        if step >= since and (not log or (value > 0 and line > 0))
    ]
    if not points:
        return f"{title}: no points above 0" if log and values else f"{title}: no points yet"
    kept = _spread(points, width)
    levels = [(math.log10(value), math.log10(line)) if log else (value, line) for _, value, line in kept]
    low, high = min(map(min, levels)), max(map(max, levels))
    span = (high - low) or 1.0
    grid = [[" "] * len(kept) for _ in range(height)]
    for column, (value, line) in enumerate(levels):
        for level, mark in ((value, "·"), (line, "•")):
            grid[height - 1 - round((height - 1) * (level - low) / span)][column] = mark
    lines = [title + (", • smoothed" if smooth else "") + (", log scale" if log else "")]
    for row, cells in enumerate(grid):
        level = high - span * row / (height - 1) if height > 1 else high
        lines.append(f"{10**level if log else level:>10.4g} ┤{''.join(cells)}".rstrip())
    lines.append(f"{'':>10} └{'─' * len(kept)}")
    lines.append(f"{'step':>10}  {points[0][0]} to {points[-1][0]}")
    return "\n".join(lines)


def _spread(points: list[_Point], width: int) -> list[_Point]:
    if len(points) <= width:
        return points
    return [points[round(i * (len(points) - 1) / max(1, width - 1))] for i in range(width)]


def _first_step(steps: Sequence[int], window: int | None) -> float:
    """Return the step at which the last ``window`` points begin."""
    if window is None:
        return -math.inf
    if window < 1:
        raise ConfigError(f"window={window} must be at least 1 point.", fix="window=100 shows the last 100 points.")
    return steps[-window] if len(steps) > window else -math.inf


def _highest(values: Sequence[float], clip: float | None) -> float:
    """Return the value that a share ``clip`` of the values does not exceed; those above it are drawn at it."""
    if clip is None:
        return math.inf
    if not 0 < clip <= 1:
        raise ConfigError(
            f"clip={clip} must be above 0 and at most 1.", fix="clip=0.95 draws the highest twentieth at the edge."
        )
    return sorted(values)[math.ceil(clip * len(values)) - 1] if values else math.inf


def figure(
    run: RunFigures,
    metric: str | None,
    *,
    smooth: float,
    log: bool,
    window: int | None,
    clip: float | None,
) -> Any:
    """Return the figure of :meth:`Run.figure`."""
    try:
        from plotly.subplots import make_subplots
    except ImportError:
        raise MissingDependencyError("run.figure() needs plotly.", fix="pip install plotly") from None

    # (title, [(metric, words in the legend)]) of each chart, from the top.
    rows: list[tuple[str, list[tuple[str, str]]]] = [(metric or "loss", [(metric or "loss", metric or "loss")])]
    if metric is None:
        rows += [(chart.title, list(chart.curves)) for chart in extra_charts(run.state.series)]
    since = _first_step(run.series(metric or "loss")[0], window)
    chart = make_subplots(rows=len(rows), shared_xaxes=True, vertical_spacing=0.06)
    for row, (title, curves) in enumerate(rows, start=1):
        for name, words in curves:
            _add_curve(chart, run, name, words, row, smooth if row == 1 else 0.0, since, clip)
            if metric is None:
                _add_evaluations(chart, run, f"eval_{name}", row, since)
        chart.update_yaxes(title=title, row=row)
    chart.update_yaxes(type="log" if log else "linear", row=1)
    chart.update_xaxes(title="step", row=len(rows))
    chart.update_layout(
        title=run.id,
        height=380 + 180 * (len(rows) - 1),
        margin={"l": 60, "r": 20, "t": 50, "b": 45},
        hovermode="x unified",
    )
    return on_any_page(chart)


def _add_curve(
    chart: Any, run: RunFigures, name: str, words: str, row: int, smooth: float, since: float, clip: float | None
) -> None:
    steps, values = run.series(name)
    cap = _highest(values, clip)
    shown = [number for number, step in enumerate(steps) if step >= since]

    def add(line: Sequence[float], words: str, **look: Any) -> None:
        y = [min(line[number], cap) for number in shown]
        chart.add_scatter(x=[steps[number] for number in shown], y=y, name=words, mode="lines", **look, row=row, col=1)

    add(values, words, opacity=0.45 if smooth else 1.0)
    if smooth and values:
        add(ema(values, smooth), f"{words}, smoothed")


def _add_evaluations(chart: Any, run: RunFigures, name: str, row: int, since: float) -> None:
    if name != "eval_loss" and name not in run.state.series:
        return
    points = [(step, value) for step, value in zip(*run.series(name), strict=True) if step >= since]
    if points:
        steps, values = zip(*points, strict=True)
        chart.add_scatter(x=steps, y=values, name=name, mode="lines+markers", row=row, col=1)
