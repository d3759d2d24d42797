"""A run in short: a summary, a line, and as HTML with a small curve as inline SVG, which shows everywhere and weighs little."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from shadownb.engine.displays import facts_html
from shadownb.engine.notifications.telling import problems
from shadownb.engine.runs.charts import headlines

if TYPE_CHECKING:
    from shadownb.engine.runs.reading import RunReading

_WIDTH, _HEIGHT, _PAD = 320, 80, 4


def summary(run: RunReading) -> dict[str, Any]:
    """Return a run's summary as JSON-compatible values; lists and comparisons are made of it."""
    state = run.state
    return {
        "id": run.id,
        "status": state.status,
        "method": run.config.method,
        "model": run.base_model,
        "step": state.step,
        "total_steps": state.total_steps,
        "loss": state.last.get("loss"),
        "eval_loss": state.evals.last[1] if state.evals.last else None,
        "best": state.best,
        "elapsed_s": state.elapsed_s,
        "tokens_per_s": state.last.get("tokens_per_s"),
        "peak_memory_gb": state.last.get("peak_memory_gb"),
        "estimated_memory_gb": run.estimated_memory_gb,
        "trained_parameters": run.trained_parameters,
        "reach": run.reach,
        "created_at": state.created_at,
        "started_at": state.started_at,
        "ended_at": state.ended_at,
        "parent": run.parent,
        "started_from": run.started_from,
        "erased": run.erased,
    }


def one_line(run: RunReading) -> str:
    """Return a run's repr."""
    state = run.state
    steps = f"step {state.step}" + (f" of {state.total_steps}" if state.total_steps else "")
    loss = f", loss {state.last['loss']:.4f}" if state.last.get("loss") is not None else ""
    more = "".join(f", {title} {value}" for title, value in headlines(state))
    erased = ", trained on data that was deleted since" if run.erased else ""
    return f"Run({run.id!r}, {state.status}, {steps}, from {run.started_from}{loss}{more}{erased})"


def run_html(run: RunReading) -> str:
    """Return the display of a run."""
    state = run.state
    facts = {"status": state.status, "method": run.config.method, "model": run.folder.spec["model"]["name"]}
    facts["started from"] = run.started_from
    if run.erased:
        when = time.strftime("%Y-%m-%d", time.localtime(run.erased["at"]))
        facts["data deleted"] = (
            f"{when}: the weights have learned from it. Train again without it, then delete this run."
        )
    if run.reach:
        facts["trains"] = run.reach
    facts["steps"] = f"{state.step} of {state.total_steps if state.total_steps is not None else '?'}"
    if state.last.get("loss") is not None:
        facts["loss"] = f"{state.last['loss']:.4f}"
    if state.evals.last is not None:
        facts["evaluation loss"] = f"{state.evals.last[1]:.4f} at step {state.evals.last[0]}"
    facts |= dict(headlines(state))
    if state.elapsed_s:
        facts["time"] = f"{state.elapsed_s:.0f} s"
    if state.error:
        facts["failed"] = " ".join(filter(None, (state.error["what"], state.error.get("fix"))))
    if missed := problems(run.path):
        facts["notification"] = f"did not arrive. {'; '.join(missed)}"
    for warning in state.warnings[-3:]:
        facts[f"warning: {warning['code']}"] = warning["what"]
    curve = _curve(state.series["loss"].points) if "loss" in state.series else ""
    return f'<div style="color:inherit">{facts_html(f"Run {run.id}", facts)}{curve}</div>'


def _curve(points: list[tuple[int, float]]) -> str:
    if len(points) < 2:
        return ""
    stride = max(1, len(points) // 160)
    drawn = [*points[::stride], points[-1]]
    (first, last) = drawn[0][0], drawn[-1][0]
    low, high = min(v for _, v in drawn), max(v for _, v in drawn)
    scale_x, scale_y = (_WIDTH - 2 * _PAD) / max(1, last - first), (_HEIGHT - 2 * _PAD) / ((high - low) or 1.0)
    path = " ".join(f"{_PAD + (s - first) * scale_x:.1f},{_HEIGHT - _PAD - (v - low) * scale_y:.1f}" for s, v in drawn)
    label = f"loss from {drawn[0][1]:.3f} at step {first} to {drawn[-1][1]:.3f} at step {last}"
    return (
        f'<svg role="img" aria-label="{label}" width="{_WIDTH}" height="{_HEIGHT}" viewBox="0 0 {_WIDTH} {_HEIGHT}">'
        f'<polyline fill="none" stroke="currentColor" stroke-width="1.5" points="{path}"/></svg>'
    )
