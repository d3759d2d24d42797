"""Several runs as one display: their table, and pictures of their losses that survive the upload to a code host."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

from shadownb.engine.displays import table_html, table_text
from shadownb.engine.runs.curves import ema

from ._axes import INK, MUTED, SCALE, Line, Plot, Points, canvas, draw_plot, finite, png, write, written_width

_WIDTH, _LEFT, _TOP, _BOTTOM = 680, 52, 34, 24
_ENTRY, _SWATCH, _GAP = 20, 22, 8  # of the legend: height of an entry, length of its line, space around that
_TEXT = 11
_LOWEST = 240
# Told apart by hue and by lightness; from the ninth run on the same again, dashed.
_COLORS = ("#2456c7", "#a8420b", "#1a6b3a", "#b0178a", "#c28a00", "#0b8fa5", "#6b3fc2", "#57606a")
_MOST_DRAWN = 2 * len(_COLORS)
_SMOOTHING = 0.6


def comparison_bundles(comparison: Any) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Return (data, metadata) of the displays of a :class:`RunComparison`: the table, then a picture for each kind of loss."""
    heads, cells = comparison.table()
    table = {"text/plain": table_text(heads, cells), "text/html": table_html(heads, cells)}
    bundles: list[tuple[dict[str, Any], dict[str, Any]]] = [(table, {})]
    runs = zip(comparison.objectives, comparison.labels, comparison.runs, strict=True)
    by_objective: dict[str, list[tuple[str, Points]]] = {}
    for objective, label, run in runs:
        points = finite(run.state.series.get("loss"))
        if len(points) > 1:
            by_objective.setdefault(objective, []).append((label, points))
    for objective, curves in by_objective.items():
        drawn, rest = curves[:_MOST_DRAWN], len(curves[_MOST_DRAWN:])
        kind = f"{objective} loss" if len(by_objective) > 1 else "loss"
        title = f"{kind}, smoothed" + (f" (the first {_MOST_DRAWN} of {len(curves)} runs)" if rest else "")
        words = f"{kind} of " + ", ".join(label for label, _ in drawn)
        words += f"; {rest} more {'run is' if rest == 1 else 'runs are'} not drawn" if rest else ""
        picture = base64.b64encode(draw_losses(drawn, words, title)).decode()
        bundles.append(({"text/plain": words, "image/png": picture}, {"image/png": {"width": _WIDTH}}))
    return bundles


def draw_losses(curves: Sequence[tuple[str, Points]], description: str, title: str = "loss, smoothed") -> bytes:
    """Return a PNG with the smoothed losses of up to 16 runs and their names beside them.

    Parameters
    ----------
    curves
        Name and (step, loss) points of each, at least two points.
    description
        Text that is kept in the file.
    title
        Text above the curves.
    """
    height = max(_LOWEST, _TOP + _ENTRY * len(curves) + _BOTTOM)
    image, draw = canvas(_WIDTH, height)
    write(draw, (_LEFT, 8), title, 13, INK)
    legend = 3 * _GAP + _SWATCH + max(written_width(label, _TEXT) for label, _ in curves)
    lines = []
    for at, (label, points) in enumerate(curves):
        steps, values = zip(*points, strict=True)
        smooth = list(zip(steps, ema(values, _SMOOTHING), strict=True))
        line = Line(smooth, _COLORS[at % len(_COLORS)], 3, at >= len(_COLORS))
        lines.append(line)
        left, middle = _WIDTH - legend + _GAP, _TOP + _ENTRY * at + _ENTRY // 2
        ends = [(left, left + _SWATCH)] if not line.dashed else [(left, left + 8), (left + 14, left + _SWATCH)]
        for begin, end in ends:
            draw.line([(begin * SCALE, middle * SCALE), (end * SCALE, middle * SCALE)], fill=line.color, width=6)
        write(draw, (left + _SWATCH + _GAP, middle), label, _TEXT, MUTED, "lm")
    draw_plot(draw, Plot(_LEFT, _TOP, _WIDTH - legend, height - _BOTTOM, lines))
    return png(image, _COLORS, description)
