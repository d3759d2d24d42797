"""Curves of a run: smoothing, text charts, and the plotly figure (plotly is imported only when one is asked for)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from shadownb.errors import ConfigError, MissingDependencyError

if TYPE_CHECKING:
    from shadownb.engine.runs.handle import Run

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


def figure(run: Run, metric: str | None, *, smooth: float, log: bool) -> Any:
    """Return the figure of :meth:`Run.figure`."""
    try:
        import plotly.graph_objects as go
    except ImportError:
        raise MissingDependencyError("run.figure() needs plotly.", fix="pip install plotly") from None

    name = metric or "loss"
    chart = go.Figure()
    steps, values = run.series(name)
    chart.add_scatter(x=steps, y=values, name=name, mode="lines", opacity=0.45 if name == "loss" else 1.0)
    if name == "loss" and values:
        chart.add_scatter(x=steps, y=ema(values, smooth), name=f"{name}, smoothed", mode="lines")
    if metric is None:
        steps, values = run.series("eval_loss")
        if values:
            chart.add_scatter(x=steps, y=values, name="eval_loss", mode="lines+markers")
    chart.update_layout(
        title=run.id,
        xaxis_title="step",
        yaxis_title=name,
        yaxis_type="log" if log else "linear",
        height=380,
        margin={"l": 60, "r": 20, "t": 50, "b": 45},
        hovermode="x unified",
    )
    return chart
