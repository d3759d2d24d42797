"""The static picture of a run: a PNG and text that survive the kernel, the widget and the upload to a code host.

Drawn with Pillow (about 30 ms and no import worth noticing), since it happens in the training process.
"""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, Any

from shadownb.engine.runs.curves import ema, sparkline

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

WIDTH, HEIGHT = 680, 220  # as displayed; the picture has twice as many pixels
_SCALE = 2
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 14, 46, 24

_INK, _MUTED, _GRID = "#1c2127", "#57606a", "#d8dee4"
_RAW, _SMOOTH, _EVAL = "#a9bfee", "#2456c7", "#a8420b"

_SMOOTHING = 0.6

STATUS_WORDS = {
    "queued": "queued",
    "running": "running",
    "paused": "paused",
    "succeeded": "finished",
    "stopped": "stopped, saved",
    "failed": "failed",
    "interrupted": "interrupted",
    "discarded": "discarded",
}


def marker(run_id: str) -> str:
    """Return the text that lets the live panel recognise (and cover) the snapshot of its own run."""
    return f"ShadowNB run {run_id}"


def headline(state: Any) -> str:
    """Return status, step and loss in one line."""
    parts = [STATUS_WORDS.get(state.status, state.status)]
    if state.step or state.total_steps:
        parts.append(f"step {state.step} of {state.total_steps or '?'}")
    loss = state.last.get("loss")
    if loss is not None:
        parts.append(f"loss {loss:.4g}")
    if state.evals.last is not None:
        parts.append(f"eval loss {state.evals.last[1]:.4g}")
    return ", ".join(parts)


def snapshot_text(state: Any) -> str:
    """Return the run as plain text: one headline, the loss as a line of blocks, what went wrong."""
    lines = [f"{marker(state.run_id)}: {headline(state)}"]
    loss = state.series.get("loss")
    if loss is not None and len(loss) > 1:
        lines.append(f"loss {sparkline(loss.values, 60)}")
    if state.error:
        lines += [state.error.get("what", ""), f"Next: {state.error['fix']}" if state.error.get("fix") else ""]
    return "\n".join(line for line in lines if line)


def snapshot_png(state: Any, title: str = "") -> bytes | None:
    """Return the loss curve as a PNG (under 40 KB), or None while there are fewer than two points.

    Parameters
    ----------
    state
        A run's state.
    title
        Left part of the first line; the run's id where empty.
    """
    loss = state.series.get("loss")
    points = [(s, v) for s, v in (loss.points if loss is not None else []) if math.isfinite(v)]
    if len(points) < 2:
        return None
    from PIL import Image, ImageDraw
    from PIL.PngImagePlugin import PngInfo

    evals = [(s, v) for s, v in state.evals.points if math.isfinite(v)]
    image = Image.new("RGB", (WIDTH * _SCALE, HEIGHT * _SCALE), "#ffffff")
    draw = ImageDraw.Draw(image)
    _text(draw, (_LEFT, 8), title or state.run_id, 14, _INK)
    _text(draw, (_LEFT, 26), headline(state), 12, _MUTED)
    place = _axes(draw, points, evals)
    draw.line([place(*p) for p in points], fill=_RAW, width=_SCALE)
    steps, values = zip(*points, strict=True)
    draw.line(
        [place(*p) for p in zip(steps, ema(values, _SMOOTHING), strict=True)], fill=_SMOOTH, width=3, joint="curve"
    )
    for point in evals:
        x, y = place(*point)
        draw.ellipse((x - 6, y - 6, x + 6, y + 6), fill=_EVAL, outline="#ffffff", width=2)
    info = PngInfo()
    info.add_text("Description", marker(state.run_id))
    out = io.BytesIO()
    image.quantize(palette=_palette(), dither=Image.Dither.NONE).save(out, "PNG", pnginfo=info)
    return out.getvalue()


def _palette() -> Any:
    """Return our colours and their blends with white; an adaptive palette drops the few orange pixels."""
    from PIL import Image, ImageColor

    entries = [255, 255, 255]
    for color in (_INK, _MUTED, _GRID, _RAW, _SMOOTH, _EVAL):
        for share in (1.0, 0.75, 0.5, 0.25):
            entries += [round(255 - share * (255 - channel)) for channel in ImageColor.getrgb(color)]
    palette = Image.new("P", (1, 1))
    palette.putpalette(entries)
    return palette


def _text(draw: ImageDraw, at: tuple[float, float], text: str, size: int, color: str, anchor: str = "la") -> None:
    from PIL import ImageFont

    font = ImageFont.load_default(size * _SCALE)
    draw.text((at[0] * _SCALE, at[1] * _SCALE), text, font=font, fill=color, anchor=anchor)


def _axes(draw: ImageDraw, points: list[tuple[int, float]], evals: list[tuple[int, float]]) -> Any:
    """Draw grid, labels and legend; return the function from (step, value) to pixels."""
    low, high = (f(v for _, v in points + evals) for f in (min, max))
    pad = (high - low) * 0.05 or abs(high) * 0.05 or 1.0
    low, high = low - pad, high + pad
    first, last = points[0][0], max(points[-1][0], points[0][0] + 1)
    inner_w, inner_h = WIDTH - _LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM

    def place(step: float, value: float) -> tuple[float, float]:
        x = _LEFT + (step - first) / (last - first) * inner_w
        y = _TOP + (high - value) / (high - low) * inner_h
        return x * _SCALE, y * _SCALE

    for value in _ticks(low, high):
        y = place(first, value)[1]
        draw.line([(_LEFT * _SCALE, y), ((WIDTH - _RIGHT) * _SCALE, y)], fill=_GRID, width=1)
        _text(draw, (_LEFT - 6, y / _SCALE), f"{value:.4g}", 11, _MUTED, "rm")
    _text(draw, (_LEFT, HEIGHT - 18), f"step {first}", 11, _MUTED)
    _text(draw, (WIDTH - _RIGHT, HEIGHT - 18), str(last), 11, _MUTED, "ra")
    legend = "loss: thin raw, thick smoothed" + ("; dots evaluation" if evals else "")
    _text(draw, (WIDTH - _RIGHT, 28), legend, 11, _MUTED, "ra")
    return place


def _ticks(low: float, high: float) -> list[float]:
    """Return three to six round values between ``low`` and ``high``."""
    raw = (high - low) / 4
    unit = 10.0 ** math.floor(math.log10(raw))
    gap = next(unit * m for m in (1, 2, 2.5, 5, 10) if unit * m >= raw)
    first = math.ceil(low / gap)
    return [i * gap for i in range(first, math.floor(high / gap) + 1)]


def snapshot_bundle(state: Any, title: str = "") -> tuple[dict[str, Any], dict[str, Any]]:
    """Return (data, metadata) for a display: text always, a PNG once there is a curve."""
    import base64

    data: dict[str, Any] = {"text/plain": snapshot_text(state)}
    png = snapshot_png(state, title)
    if png is None:
        return data, {}
    data["image/png"] = base64.b64encode(png).decode()
    return data, {"image/png": {"width": WIDTH, "height": HEIGHT}}


def publish(data: dict[str, Any], metadata: dict[str, Any], *, updatable: bool = False) -> Any:
    """Display a bundle as it is; return the handle that can update it, or None (outside of IPython too)."""
    from IPython.display import display

    return display(data, metadata=metadata, raw=True, display_id=updatable or None)  # type: ignore[no-untyped-call]
