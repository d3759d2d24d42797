"""Handing an attempt of a run to an executor, at the launch and at each resume."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shadownb.engine.ports.executor import Attempt, Executor
from shadownb.engine.processes import process_mark
from shadownb.engine.runs import executors
from shadownb.engine.runs.commands import end_offset
from shadownb.engine.runs.folder import RunFolder
from shadownb.engine.runs.journal import Journal
from shadownb.errors import RunError, ShadowError

if TYPE_CHECKING:
    from shadownb.engine.loaded.model import LoadedModel
    from shadownb.engine.runs.handle import Run


def start(run: Run, executor: Executor, attempt: Attempt, journal: Journal, model: LoadedModel | None) -> None:
    """Hand an attempt to an executor; the journal is closed, as whoever trains opens it. Raises what the executor does."""
    journal.append("launched", executor=executors.name_of(executor), by=process_mark(), worker=None)
    journal.flush()  # a reader that looks now must see a run that goes on, not how its last attempt ended
    try:
        if model is not None:
            model.begin_run(run)
        journal.close()
        executor.submit(run.path, attempt, model)
    except BaseException as error:
        _never_began(run, error)
        raise


def _never_began(run: Run, error: BaseException) -> None:
    """Note that an attempt was not accepted, so that nobody waits for it."""
    told = (
        error
        if isinstance(error, ShadowError)
        else RunError(f"The run was not started: {type(error).__name__}: {error}")
    )
    journal = Journal(run.folder.events)
    journal.append("end", status="failed", result=None, note="not started", error=told.to_dict())
    journal.close()


def resume_attempt(folder: RunFolder) -> Attempt:
    """Return the attempt that goes on from the newest valid checkpoint, deaf to earlier commands."""
    return Attempt(end_offset(folder.commands), resume=True)
