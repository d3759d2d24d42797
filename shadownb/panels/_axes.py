"""Lines over a grid, drawn with Pillow: about 30 ms and no import worth noticing, since it happens while training."""

from __future__ import annotations

import io
import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

SCALE = 2  # pixels of the file for one as displayed
INK, MUTED, GRID = "#1c2127", "#57606a", "#d8dee4"
EVAL = "#a8420b"

Points = list[tuple[int, float]]


@dataclass
class Line:
    """One curve."""

    points: Points
    color: str
    width: int = SCALE
    dashed: bool = False


@dataclass
class Plot:
    """One set of axes: where it stands (as displayed), what it shows."""

    left: int
    top: int
    right: int
    bottom: int
    lines: list[Line]
    dots: Points = field(default_factory=list)
    share: bool = False


def canvas(width: int, height: int) -> tuple[Image, ImageDraw]:
    """Return an empty picture of that size, as displayed, and what draws on it."""
    from PIL import Image as images
    from PIL import ImageDraw as drawing

    image = images.new("RGB", (width * SCALE, height * SCALE), "#ffffff")
    return image, drawing.Draw(image)


def finite(series: Any) -> Points:
    """Return the points of a series (None: no points) that can be drawn."""
    return [(s, v) for s, v in (series.points if series is not None else []) if math.isfinite(v)]


def draw_plot(draw: ImageDraw, plot: Plot) -> None:
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
        return x * SCALE, y * SCALE

    for value in _ticks(low, high):
        y = place(first, value)[1]
        draw.line([(plot.left * SCALE, y), (plot.right * SCALE, y)], fill=GRID, width=1)
        label = f"{value:.0%}" if plot.share else f"{value:.4g}"
        write(draw, (plot.left - 6, y / SCALE), label, 11, MUTED, "rm")
    write(draw, (plot.left, plot.bottom + 6), f"step {first}", 11, MUTED)
    write(draw, (plot.right, plot.bottom + 6), str(last), 11, MUTED, "ra")
    for line in plot.lines:
        path = [place(*point) for point in line.points]
        for piece in _dashes(path) if line.dashed else [path]:
            draw.line(piece, fill=line.color, width=line.width, joint="curve")
    for point in plot.dots:
        x, y = place(*point)
        draw.ellipse((x - 6, y - 6, x + 6, y + 6), fill=EVAL, outline="#ffffff", width=2)


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


def write(draw: ImageDraw, at: tuple[float, float], text: str, size: int, color: str, anchor: str = "la") -> None:
    """Write a text at a point, both sizes as displayed; ``anchor`` as Pillow names it."""
    draw.text((at[0] * SCALE, at[1] * SCALE), text, font=_font(size), fill=color, anchor=anchor)


def written_width(text: str, size: int) -> int:
    """Return how wide :func:`write` makes a text, as displayed."""
    width: float = _font(size).getlength(text)
    return math.ceil(width / SCALE)


def _font(size: int) -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(size * SCALE)


def png(image: Image, colors: Iterable[str], description: str) -> bytes:
    """Return the image as a small PNG that keeps ``description``.

    Its palette has our colours and their blends with white; an adaptive one drops the few pixels of the dots.
    """
    from PIL import Image as images
    from PIL import ImageColor
    from PIL.PngImagePlugin import PngInfo

    entries = [255, 255, 255]
    for color in (INK, MUTED, GRID, EVAL, *colors):
        for share in (1.0, 0.75, 0.5, 0.25):
            entries += [round(255 - share * (255 - channel)) for channel in ImageColor.getrgb(color)]
    palette = images.new("P", (1, 1))
    palette.putpalette(entries)
    info = PngInfo()
    info.add_text("Description", description)
    out = io.BytesIO()
    image.quantize(palette=palette, dither=images.Dither.NONE).save(out, "PNG", pnginfo=info)
    return out.getvalue()
