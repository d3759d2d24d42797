"""The static snapshot of a run: a PNG and text that survive the kernel, the widget and the upload to a code host."""

from __future__ import annotations

import base64
from typing import Any

from shadownb.engine.runs.charts import extra_charts, headlines
from shadownb.engine.runs.curves import sparkline
from shadownb.engine.runs.state import ACTIVE

from ._picture import WIDTH, draw_run

_MOST_HEADLINES = 2  # more would not fit above the picture

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
    """Return status, step, loss and what else the method is watched by in one line."""
    parts = [STATUS_WORDS.get(state.status, state.status)]
    if state.step or state.total_steps:
        parts.append(f"step {state.step} of {state.total_steps or '?'}")
    loss = state.last.get("loss")
    if loss is not None:
        parts.append(f"loss {loss:.4g}")
    if state.evals.last is not None:
        parts.append(f"eval loss {state.evals.last[1]:.4g}")
    parts += [f"{title} {value}" for title, value in headlines(state)[:_MOST_HEADLINES]]
    return ", ".join(parts)


def caption(state: Any) -> str:
    """Return whose snapshot it is and of which moment; begins both the text and the picture's description."""
    return f"{marker(state.run_id)}: {headline(state)}"


def _then(state: Any) -> str:
    """Return how to see what has become of a run that goes on: a notebook may keep this picture of it for ever."""
    return f'now: snb.RunPanel("{state.run_id}")' if state.status in ACTIVE else ""


def snapshot_text(state: Any) -> str:
    """Return the run as plain text: one headline, the curves as lines of blocks, what went wrong."""
    lines = [caption(state)]
    curves = [("loss", "loss"), *((c.words, c.headline) for c in extra_charts(state.series))]
    for title, name in curves:
        curve = state.series.get(name)
        if curve is not None and len(curve) > 1:
            lines.append(f"{title} {sparkline(curve.values, 60)}")
    if state.error:
        lines += [state.error.get("what", ""), f"Next: {state.error['fix']}" if state.error.get("fix") else ""]
    return "\n".join(line for line in (*lines, _then(state)) if line)


def snapshot_png(state: Any, title: str = "") -> bytes | None:
    """Return the run's curves as a PNG, or None while the loss has fewer than two points.

    Parameters
    ----------
    state
        A run's state.
    title
        The first line; the run's id where empty.
    """
    words = "; ".join(filter(None, (headline(state), _then(state))))
    return draw_run(state, title or state.run_id, words, caption(state))


def run_bundle(run: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return (data, metadata) of a display of a run as it is now: text always, a PNG once there is a curve."""
    state = run.state
    data: dict[str, Any] = {"text/plain": snapshot_text(state)}
    png = snapshot_png(state, "  ".join((run.config.method, str(run.folder.spec["model"]["name"]), run.id)))
    if png is None:
        return data, {}
    data["image/png"] = base64.b64encode(png).decode()
    return data, {"image/png": {"width": WIDTH}}


def milestone(state: Any) -> tuple[Any, ...]:
    """Return what a new snapshot is due for: an evaluation, a change of status, each quarter of the way."""
    quarter = 4 * state.step // state.total_steps if state.total_steps else 0
    return (state.status, len(state.evals), quarter, state.step > 1)


def publish(data: dict[str, Any], metadata: dict[str, Any], *, updatable: bool = False) -> Any:
    """Display a bundle as it is; return the handle that can update it, or None (outside of IPython too)."""
    from IPython.display import display

    return display(data, metadata=metadata, raw=True, display_id=updatable or None)  # type: ignore[no-untyped-call]
