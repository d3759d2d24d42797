"""A run's curves as a PNG: the loss large, what else the method is watched by in smaller charts below it.

Drawn with Pillow (about 30 ms and no import worth noticing), since it happens in the training process.
"""

from __future__ import annotations

import io
import itertools
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from shadownb.engine.runs.charts import Chart, extra_charts
from shadownb.engine.runs.curves import ema

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

WIDTH, HEIGHT = 680, 220  # as displayed, of a run with a loss only; the picture has twice as many pixels
_SCALE = 2
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 14, 46, 24
_SMALL_HEIGHT, _COLUMNS, _MOST_CHARTS = 130, 2, 4

_INK, _MUTED, _GRID = "#1c2127", "#57606a", "#d8dee4"
_RAW, _SMOOTH, _EVAL, _GOOD = "#a9bfee", "#2456c7", "#a8420b", "#1a6b3a"

_SMOOTHING = 0.6

Points = list[tuple[int, float]]


@dataclass
class _Line:
    points: Points
    color: str
    width: int = _SCALE
    dashed: bool = False


@dataclass
class _Plot:
    """One set of axes: where it stands (as displayed), what it shows, and the words above it."""

    left: int
    top: int
    right: int
    bottom: int
    lines: list[_Line]
    dots: Points = field(default_factory=list)
    share: bool = False


def draw_run(state: Any, title: str, headline: str, description: str) -> bytes | None:
    """Return the PNG (under 60 KB), or None while the loss has fewer than two points.

    Parameters
    ----------
    title, headline
        The two lines above the loss.
    description
        Text that is kept in the file.
    """
    loss = _finite(state.series.get("loss"))
    if len(loss) < 2:
        return None
    from PIL import Image, ImageDraw
    from PIL.PngImagePlugin import PngInfo

    charts = [chart for chart in extra_charts(state.series) if len(_finite(state.series[chart.headline])) > 1]
    charts = charts[:_MOST_CHARTS]
    height = size_of(len(charts))[1]
    image = Image.new("RGB", (WIDTH * _SCALE, height * _SCALE), "#ffffff")
    draw = ImageDraw.Draw(image)
    _text(draw, (_LEFT, 8), title, 14, _INK)
    _text(draw, (_LEFT, 26), headline, 12, _MUTED)
    evals = _finite(state.evals)
    steps, values = zip(*loss, strict=True)
    smooth = list(zip(steps, ema(values, _SMOOTHING), strict=True))
    lines = [_Line(loss, _RAW), _Line(smooth, _SMOOTH, 3)]
    _draw_plot(draw, _Plot(_LEFT, _TOP, WIDTH - _RIGHT, HEIGHT - _BOTTOM, lines, evals))
    legend = "loss: thin raw, thick smoothed" + ("; dots evaluation" if evals else "")
    # The headline grows with what the method records; then the legend has the line above for itself.
    _text(draw, (WIDTH - _RIGHT, 10 if charts else 28), legend, 11, _MUTED, "ra")
    for at, chart in enumerate(charts):
        _draw_small(draw, state, chart, at)
    info = PngInfo()
    info.add_text("Description", description)
    out = io.BytesIO()
    image.quantize(palette=_palette(), dither=Image.Dither.NONE).save(out, "PNG", pnginfo=info)
    return out.getvalue()


def size_of(charts: int) -> tuple[int, int]:
    """Return (width, height), as displayed, of the picture of a run with so many charts beside the loss."""
    return WIDTH, HEIGHT + _SMALL_HEIGHT * math.ceil(min(charts, _MOST_CHARTS) / _COLUMNS)


def _draw_small(draw: ImageDraw, state: Any, chart: Chart, at: int) -> None:
    row, column = divmod(at, _COLUMNS)
    top, left = HEIGHT + row * _SMALL_HEIGHT, column * WIDTH // _COLUMNS + _LEFT
    right = (column + 1) * WIDTH // _COLUMNS - _RIGHT
    looks = ((_SMOOTH, 3, False, ""), (_GOOD, _SCALE, False, "thin"), (_EVAL, _SCALE, True, "dashed"))
    lines, words = [], []
    for (name, label), (color, width, dashed, look) in zip(chart.curves, looks, strict=False):
        lines.append(_Line(_finite(state.series[name]), color, width, dashed))
        words.append(f"{label} {look}")
    _text(draw, (left, top + 4), chart.title, 12, _INK)
    if len(words) > 1:  # the title names the first one
        _text(draw, (right, top + 5), ", ".join(words[1:]), 11, _MUTED, "ra")
    evals = _finite(state.series.get(f"eval_{chart.headline}"))
    _draw_plot(draw, _Plot(left, top + 24, right, top + _SMALL_HEIGHT - _BOTTOM, lines, evals, chart.share))


def _finite(series: Any) -> Points:
    return [(s, v) for s, v in (series.points if series is not None else []) if math.isfinite(v)]


def _draw_plot(draw: ImageDraw, plot: _Plot) -> None:
    """Draw grid, labels, lines and dots."""
    drawn = [point for line in plot.lines for point in line.points] + plot.dots
    low, high = (f(v for _, v in drawn) for f in (min, max))
    pad = (high - low) * 0.05 or abs(high) * 0.05 or 1.0
    low, high = low - pad, high + pad
    first = min(s for s, _ in drawn)
    last = max(first + 1, *(s for s, _ in drawn))

    def place(step: float, value: float) -> tuple[float, float]:
        x = plot.left + (step - first) / (last - first) * (plot.right - plot.left)
        y = plot.top + (high - value) / (high - low) * (plot.bottom - plot.top)
        return x * _SCALE, y * _SCALE

    for value in _ticks(low, high):
        y = place(first, value)[1]
        draw.line([(plot.left * _SCALE, y), (plot.right * _SCALE, y)], fill=_GRID, width=1)
        label = f"{value:.0%}" if plot.share else f"{value:.4g}"
        _text(draw, (plot.left - 6, y / _SCALE), label, 11, _MUTED, "rm")
    _text(draw, (plot.left, plot.bottom + 6), f"step {first}", 11, _MUTED)
    _text(draw, (plot.right, plot.bottom + 6), str(last), 11, _MUTED, "ra")
    for line in plot.lines:
        path = [place(*point) for point in line.points]
        for piece in _dashes(path) if line.dashed else [path]:
            draw.line(piece, fill=line.color, width=line.width, joint="curve")
    for point in plot.dots:
        x, y = place(*point)
        draw.ellipse((x - 6, y - 6, x + 6, y + 6), fill=_EVAL, outline="#ffffff", width=2)


def _dashes(path: list[tuple[float, float]], length: float = 10.0) -> list[list[tuple[float, float]]]:
    """Return every second stretch of a path, each about ``length`` pixels long."""
    pieces: list[list[tuple[float, float]]] = [[path[0]]]
    walked = 0.0
    for (x0, y0), (x1, y1) in itertools.pairwise(path):
        distance = math.hypot(x1 - x0, y1 - y0)
        at = 0.0
        while distance - at > length - walked:
            at += length - walked
            walked = 0.0
            corner = (x0 + (x1 - x0) * at / distance, y0 + (y1 - y0) * at / distance)
            pieces[-1].append(corner)
            pieces.append([corner])
        walked += distance - at
        pieces[-1].append((x1, y1))
    return [piece for piece in pieces[::2] if len(piece) > 1]


def _ticks(low: float, high: float) -> list[float]:
    """Return three to six round values between ``low`` and ``high``."""
    raw = (high - low) / 4
    unit = 10.0 ** math.floor(math.log10(raw))
    gap = next(unit * m for m in (1, 2, 2.5, 5, 10) if unit * m >= raw)
    first = math.ceil(low / gap)
    return [i * gap for i in range(first, math.floor(high / gap) + 1)]


def _text(draw: ImageDraw, at: tuple[float, float], text: str, size: int, color: str, anchor: str = "la") -> None:
    from PIL import ImageFont

    font = ImageFont.load_default(size * _SCALE)
    draw.text((at[0] * _SCALE, at[1] * _SCALE), text, font=font, fill=color, anchor=anchor)


def _palette() -> Any:
    """Return our colours and their blends with white; an adaptive palette drops the few orange pixels."""
    from PIL import Image, ImageColor

    entries = [255, 255, 255]
    for color in (_INK, _MUTED, _GRID, _RAW, _SMOOTH, _EVAL, _GOOD):
        for share in (1.0, 0.75, 0.5, 0.25):
            entries += [round(255 - share * (255 - channel)) for channel in ImageColor.getrgb(color)]
    palette = Image.new("P", (1, 1))
    palette.putpalette(entries)
    return palette
