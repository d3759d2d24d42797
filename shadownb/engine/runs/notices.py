"""What channels are told at a run's end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from shadownb.engine.live import duration
from shadownb.engine.notifications.telling import announce
from shadownb.engine.runs.folder import RunFolder
from shadownb.engine.runs.reading import RunReading

ENDS = ("succeeded", "failed")  # a run that somebody stopped needs no telling


def at_the_end(folder: RunFolder, status: str) -> Callable[[], None]:
    """Begin to tell of a run's end; what is returned is called once that end is written."""
    if status not in ENDS or folder.spec.get("sweep"):  # of a sweep the sweep's end is told
        return lambda: None
    return announce(folder.path, folder.config.notify, lambda: message_of(RunReading(folder)))


def message_of(run: RunReading) -> Mapping[str, Any]:
    """Return the message: a sentence, and the facts in it as JSON values; no rows and no prompts."""
    summary, error = run.to_dict(), run.error
    status = "diverged" if error is not None and error.code in ("diverged", "non-finite-loss") else run.status
    numbers = [
        f"{name} {summary[key]:.4f}"
        for name, key in (("loss", "loss"), ("eval loss", "eval_loss"))
        if summary[key] is not None
    ]
    steps = f"step {run.step}" + (f" of {run.total_steps}" if run.total_steps else "")
    told = ", ".join([f"{steps} in {duration(run.duration_s)}", *numbers])
    why = f" {error.what}" if error is not None else ""
    return {
        "text": f"ShadowNB: run {run.id} ({run.base_model}) {status}, {told}.{why}",
        "kind": "run",
        "name": run.id,
        "status": status,
        **{key: summary[key] for key in ("method", "model", "step", "total_steps", "loss", "eval_loss", "elapsed_s")},
        "error": error.what if error is not None else None,
    }
