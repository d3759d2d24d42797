"""Curves of a run: smoothing, text charts, and the plotly figure (plotly is imported only when one is asked for)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from shadownb.engine.runs.charts import extra_charts
from shadownb.errors import ConfigError, MissingDependencyError

if TYPE_CHECKING:
    from shadownb.engine.runs.reading import RunReading

_BLOCKS = "▁▂▃▄▅▆▇█"


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


def sparkline(values: Sequence[float], width: int = 40) -> str:
    """Return values as one line of block characters."""
    kept = _spread([v for v in values if math.isfinite(v)], width)
    if not kept:
        return ""
    low, high = min(kept), max(kept)
    span = (high - low) or 1.0
    return "".join(_BLOCKS[min(7, int(8 * (value - low) / span))] for value in kept)


def text_chart(steps: Sequence[int], values: Sequence[float], *, title: str, width: int = 60, height: int = 10) -> str:
    """Return a chart of points as text."""
    if not values:
        return f"{title}: no points yet"
    kept = _spread(list(values), width)
    low, high = min(kept), max(kept)
    span = (high - low) or 1.0
    grid = [[" "] * len(kept) for _ in range(height)]
    for column, value in enumerate(kept):
        grid[height - 1 - round((height - 1) * (value - low) / span)][column] = "•"
    lines = [title]
    for row, cells in enumerate(grid):
        label = high - span * row / (height - 1) if height > 1 else high
        lines.append(f"{label:>10.4g} ┤{''.join(cells)}".rstrip())
    lines.append(f"{'':>10} └{'─' * len(kept)}")
    lines.append(f"{'step':>10}  {steps[0]} to {steps[-1]}")
    return "\n".join(lines)


def _spread(values: list[float], width: int) -> list[float]:
    if len(values) <= width:
        return values
    return [values[round(i * (len(values) - 1) / (width - 1))] for i in range(width)]


def figure(run: RunReading, metric: str | None, *, smooth: float, log: bool) -> Any:
    """Return the figure of :meth:`Run.figure`."""
    try:
        from plotly.subplots import make_subplots
    except ImportError:
        raise MissingDependencyError("run.figure() needs plotly.", fix="pip install plotly") from None

    # (title, [(metric, words in the legend)]) of each chart, from the top.
    rows: list[tuple[str, list[tuple[str, str]]]] = [(metric or "loss", [(metric or "loss", metric or "loss")])]
    if metric is None:
        rows += [(chart.title, list(chart.curves)) for chart in extra_charts(run.state.series)]
    chart = make_subplots(rows=len(rows), shared_xaxes=True, vertical_spacing=0.06)
    for row, (title, curves) in enumerate(rows, start=1):
        for name, words in curves:
            _add_curve(chart, run, name, words, row, smooth)
            if metric is None:
                _add_evaluations(chart, run, f"eval_{name}", row)
        chart.update_yaxes(title=title, row=row)
    chart.update_yaxes(type="log" if log else "linear", row=1)
    chart.update_xaxes(title="step", row=len(rows))
    chart.update_layout(
        title=run.id,
        height=380 + 180 * (len(rows) - 1),
        margin={"l": 60, "r": 20, "t": 50, "b": 45},
        hovermode="x unified",
    )
    return chart


def _add_curve(chart: Any, run: RunReading, name: str, words: str, row: int, smooth: float) -> None:
    steps, values = run.series(name)
    opacity = 0.45 if name == "loss" else 1.0
    chart.add_scatter(x=steps, y=values, name=words, mode="lines", opacity=opacity, row=row, col=1)
    if name == "loss" and values:
        chart.add_scatter(x=steps, y=ema(values, smooth), name="loss, smoothed", mode="lines", row=row, col=1)


def _add_evaluations(chart: Any, run: RunReading, name: str, row: int) -> None:
    if name != "eval_loss" and name not in run.state.series:
        return
    steps, values = run.series(name)
    if values:
        chart.add_scatter(x=steps, y=values, name=name, mode="lines+markers", row=row, col=1)
