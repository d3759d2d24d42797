"""Runs: listing, loading, comparing and deleting what was trained, from any kernel.

::

    from shadownb import runs
    runs.list()
    run = runs.load("20261122-090000-lora-1a2b")
"""

from __future__ import annotations

import builtins
import shutil
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from shadownb.engine.displays import table_html, table_text
from shadownb.engine.runs.folder import RunFolder
from shadownb.engine.runs.handle import Run
from shadownb.engine.runs.starting import starts_in
from shadownb.errors import RunError, RunNotFoundError, ShadowError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Run", "RunList", "attach", "compare", "delete", "latest", "list", "load"]

_COLUMNS = ("id", "status", "method", "model", "step", "total_steps", "loss", "eval_loss", "elapsed_s")


class RunList(builtins.list[Run]):
    """Runs, newest first, with a table as display."""

    def to_frame(self) -> pd.DataFrame:
        """Return one row a run."""
        import pandas as pd

        return pd.DataFrame([_summary(run) for run in self])

    def __repr__(self) -> str:
        if not self:
            return "no runs yet"
        return table_text(_COLUMNS, [_row(run) for run in self])

    def _repr_html_(self) -> str:
        if not self:
            return "<em>no runs yet</em>"
        return table_html(_COLUMNS, [_row(run) for run in self])


def _row(run: Run) -> builtins.list[str]:
    summary = _summary(run)
    return [_cell(summary.get(name)) for name in _COLUMNS]


def _summary(run: Run) -> dict[str, Any]:
    try:
        return run.to_dict()
    except ShadowError:  # one damaged folder must not hide the other runs
        return {"id": run.id, "status": "unreadable"}


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def list(limit: int | None = None) -> RunList:
    """Return the runs, newest first. A record that cannot be read is shown as such by its own handle, never hidden."""
    folders = RunFolder.all()
    return RunList(Run(folder) for folder in folders[:limit])


def load(run_id: str) -> Run:
    """Return the handle of a run.

    Raises
    ------
    RunNotFoundError
        No run has this id; the message has the closest one.
    """
    return Run(RunFolder.find(run_id))


def latest() -> Run:
    """Return the newest run.

    Raises
    ------
    RunNotFoundError
        There is none yet.
    """
    folders = RunFolder.all()
    if not folders:
        raise RunNotFoundError("There are no runs yet.", fix="Start one with model.finetune(data).")
    return Run(folders[0])


def attach(run_id: str) -> Run:
    """Return the handle of a run that is going on, whoever trains it.

    Raises
    ------
    RunError
        Nobody works on it any more.
    """
    run = load(run_id)
    if not run.is_active:
        raise RunError(f"Run {run.id} is {run.status}; nobody works on it.", fix="run.resume() goes on with it.")
    return run


def compare(*run_ids: str | Run | Sequence[str | Run]) -> Any:
    """Return a :class:`~shadownb.engine.runs.comparison.RunComparison`: the options that differ, results, losses."""
    from shadownb.engine.runs.comparison import RunComparison

    flat: builtins.list[str | Run] = []
    for item in run_ids:
        flat.extend([item] if isinstance(item, str | Run) else item)
    return RunComparison([item if isinstance(item, Run) else load(item) for item in flat])


def delete(run_id: str) -> None:
    """Delete a run's folder with all its checkpoints.

    Raises
    ------
    RunError
        It is still going on, or another run that is not done began with its result.
    """
    run = load(run_id)
    if run.is_active:
        raise RunError(f"Run {run.id} is {run.status}.", fix="Stop it first: run.discard().")
    for other in list():
        if starts_in(other.folder, run.folder) and other.status not in ("succeeded", "discarded"):
            raise RunError(
                f"Run {other.id} ({other.status}) began with the result of {run.id}, and cannot be resumed without it.",
                fix=f"Resume that one to its end, or delete it first: shadownb.runs.delete({other.id!r}).",
            )
    # Renamed first, so that a kill in the middle leaves nothing that is listed.
    gone = run.path.with_name(f".deleted-{run.id}-{time.time_ns()}")
    run.path.rename(gone)
    for left in gone.parent.glob(".deleted-*"):  # also what a delete that was killed has left
        shutil.rmtree(left, ignore_errors=True)
