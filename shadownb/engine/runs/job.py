"""One attempt of a run, the same code in a thread of the kernel and in a worker process.

It takes the owner's lock, obeys commands, calls the backend, and turns whatever happens into the ``end`` event. Readers
infer ``interrupted`` from a free lock without that event; a dying process never writes it.
"""

from __future__ import annotations

import gc
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import Timeout

from shadownb.engine import disk
from shadownb.engine.loaded.backends import DEFAULT, backend
from shadownb.engine.loaded.source import Source
from shadownb.engine.opening import open_recorded
from shadownb.engine.ports.executor import Attempt
from shadownb.engine.runs import checkpoints
from shadownb.engine.runs.attempt import run
from shadownb.engine.runs.checkpoints import Checkpoint
from shadownb.engine.runs.commands import CommandReader
from shadownb.engine.runs.control import RunControl, StopRequested
from shadownb.engine.runs.folder import RunFolder, load_rows
from shadownb.engine.runs.journal import Journal
from shadownb.engine.runs.notices import at_the_end
from shadownb.engine.runs.services import RunServices
from shadownb.engine.runs.starting import record_start
from shadownb.engine.runs.turns import Turn, Waiter
from shadownb.errors import (
    BusyError,
    CheckpointError,
    DiskFullError,
    MissingDependencyError,
    OutOfMemoryError,
    RunError,
    ShadowError,
)

if TYPE_CHECKING:
    from shadownb.engine.loaded.model import LoadedModel
    from shadownb.engine.ports.backend import Backend

_LOCK_SECONDS = 5.0  # a reader that looks whether the run is owned holds the lock for some microseconds


def execute(
    folder: RunFolder, attempt: Attempt, journal: Journal, model: LoadedModel | None, *, turn: Turn | None = None
) -> None:
    """Run one attempt to its end, when its turn has come. Never raises; the outcome is in the journal.

    Parameters
    ----------
    turn
        The run's turn on its device, where whoever calls has waited for it.
    """
    if turn is None and (turn := Waiter(folder, attempt, journal).wait()) is None:
        return  # stopped while it waited
    try:
        _execute(folder, turn.attempt, journal, model)
    finally:
        turn.end()


def _execute(folder: RunFolder, attempt: Attempt, journal: Journal, model: LoadedModel | None) -> None:
    control = RunControl(CommandReader(folder.commands, attempt.commands_from), journal)
    lock = folder.owner_lock()
    try:
        lock.acquire(timeout=_LOCK_SECONDS)
    except Timeout:
        error = BusyError(f"Run {folder.id} is being trained by another process.", fix="Wait for it, or stop it.")
        journal.append("warning", **error.to_dict())
        return
    try:
        _attempt(folder, attempt, journal, control, model)
    finally:
        journal.flush()
        lock.release()


def _attempt(
    folder: RunFolder, attempt: Attempt, journal: Journal, control: RunControl, model: LoadedModel | None
) -> None:
    status, result, note, problem = "failed", None, "", None
    in_place, services, left = model is not None, None, None
    went_from: tuple[dict[str, Any] | None] | None = None  # the state the model left to start where it was asked to
    try:
        journal.append("phase", name="starting", done=0, total=None, unit="")
        control.check()
        resume = _choose_checkpoint(folder, attempt, journal)
        if model is None:
            journal.append("phase", name="loading model", done=0, total=None, unit="")
            model = load_model(folder)
            control.check()
        elif not attempt.resume:
            went_from = record_start(folder, model)
        if attempt.resume:
            for rows in filter(None, (folder.spec["dataset"], folder.spec.get("eval_dataset"))):
                load_rows(rows)  # what is missing is told before any weight is changed
            _go_back(folder, resume, model)
        services = RunServices(folder, model, journal, control, resume=resume, callbacks=attempt.callbacks)
        outcome = run(services)
        status, result, note = outcome.status, outcome.result, outcome.note
        left = result.step if result is not None else None
    except StopRequested as stop:
        status, note = ("stopped" if stop.save else "discarded"), "before the first step"
    except ShadowError as error:
        problem = error
    except BaseException as error:  # a run's failure is data: every other run and the kernel go on
        problem = _typed(error, _backend_of(folder))
        journal.append("traceback", text=traceback.format_exc())
    if problem is not None:
        result, left = _newest(folder), services.left if services is not None else None
        if isinstance(problem, OutOfMemoryError):
            gc.collect()
            _backend_of(folder).empty_cache()
    if model is not None:
        model.stepped = None
        if left is not None and in_place:
            model.trained_in_place(folder.id, left, folder.trained_on)
        elif went_from is not None and in_place:
            _return(model, went_from[0], journal)
    tell = at_the_end(folder, status)
    journal.append(
        "end",
        status=status,
        result=result.path.name if result is not None else None,
        note=note,
        error=problem.to_dict() if problem is not None else None,
    )
    journal.flush()
    tell()


def _choose_checkpoint(folder: RunFolder, attempt: Attempt, journal: Journal) -> Checkpoint | None:
    if attempt.checkpoint is not None:
        return checkpoints.opened(Path(attempt.checkpoint))
    if not attempt.resume:
        return None
    newest, skipped = checkpoints.newest_valid(folder.checkpoints)
    if newest is None and (given := folder.spec.get("from_checkpoint")) is not None:
        newest = _given_checkpoint(folder, Path(given))
    for reason in skipped:
        journal.append(
            "warning",
            code="checkpoint-skipped",
            what=f"A damaged checkpoint was passed over: {reason}",
            why="The newest valid one is used." if newest else "There is no valid one, so training starts anew.",
            fix="",
        )
    return newest


def _given_checkpoint(folder: RunFolder, path: Path) -> Checkpoint:
    """Return the checkpoint that a run was launched from (``resume_from_checkpoint``); it has none of its own."""
    try:
        return checkpoints.opened(path)
    except CheckpointError as error:
        raise CheckpointError(
            f"Run {folder.id} cannot go on: it broke off before its first checkpoint, and what it began from is gone.",
            why=f"resume_from_checkpoint was {path}. {error.what}",
            fix="Put that folder back, or start a new run.",
        ) from None


def _go_back(folder: RunFolder, resume: Checkpoint | None, model: LoadedModel) -> None:
    """Give the model the state that the run goes on from, whatever it carries: the run's own newest, or its start."""
    if resume is None or resume.path.parent != folder.checkpoints:
        model.restore_start(folder.spec["model"]["start"])
    elif model.trained != (folder.id, resume.step):
        model.load_adapter(resume.path, (folder.id, resume.step))


def _return(model: LoadedModel, state: dict[str, Any] | None, journal: Journal) -> None:
    """Let the model answer again as before a run that left nothing, where that had begun elsewhere."""
    try:
        model.restore_start(state)
    except ShadowError as error:
        journal.append("warning", **error.to_dict())


def _newest(folder: RunFolder) -> Checkpoint | None:
    try:
        return checkpoints.newest_valid(folder.checkpoints)[0]
    except (CheckpointError, OSError):
        return None


def load_model(folder: RunFolder) -> LoadedModel:
    """Load the model of a run's record, in the state that the run started from."""
    spec = folder.spec["model"]
    return open_recorded(Source(spec["name"], spec["source"]), spec)


def _backend_of(folder: RunFolder) -> Backend:
    return backend(folder.spec["model"].get("backend", DEFAULT))


def _typed(error: BaseException, computing: Backend) -> ShadowError:
    first = (str(error).splitlines() or [""])[0]
    if computing.is_out_of_memory(error):
        return OutOfMemoryError(
            "Training ran out of memory.",
            why=first,
            fix="Lower max_tokens_per_forward or max_length, set gradient_checkpointing='on', or use qlora.",
        )
    if isinstance(error, ImportError):
        return MissingDependencyError(f"Training needs a package that is not here: {first}", fix="Install it.")
    if disk.is_full(error):
        return DiskFullError("The disk is full.", why=first, fix="Free space, then run.resume().")
    return RunError(
        f"Training failed: {type(error).__name__}: {first}",
        why="This is not an error ShadowNB knows; the run's journal has the traceback.",
        fix="run.traceback() shows it. run.resume() goes on from the newest checkpoint.",
    )
