"""Handing an attempt of a run to an executor, at the launch and at each resume."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from shadownb.engine import functions, objectives
from shadownb.engine.config import TrainConfig
from shadownb.engine.ports.executor import Attempt, Executor
from shadownb.engine.processes import process_mark
from shadownb.engine.runs import executors
from shadownb.engine.runs.commands import end_offset
from shadownb.engine.runs.folder import RunFolder
from shadownb.engine.runs.journal import Journal
from shadownb.errors import ConfigError, RunError, ShadowError

if TYPE_CHECKING:
    from shadownb.engine.loaded.model import LoadedModel
    from shadownb.engine.ports.backend import Backend
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


def resume_attempt(folder: RunFolder, callbacks: tuple[Any, ...] = ()) -> Attempt:
    """Return the attempt that resumes from the newest valid checkpoint; commands sent before it are ignored."""
    return Attempt(end_offset(folder.commands), resume=True, callbacks=callbacks)


def refuse_functions(config: TrainConfig, executor: Executor) -> None:
    """Raise ConfigError for a function of this process where the executor trains in another one."""
    if executor.takes_functions or config.spec.guest:
        return
    for option in objectives.get(config.spec.objective).functions:
        functions.refuse(option, functions.names_in(getattr(config, option)), executor.where)


def find_functions(config: TrainConfig, executor: Executor, given: Mapping[str, Sequence[Any] | None]) -> None:
    """See that the functions which a run's options name can be had where it goes on.

    Parameters
    ----------
    given
        By option: those that stand for the recorded ones, in their order.

    Raises
    ------
    ConfigError
        One of them is of a process that is gone or of another one; or others are given than the run was started with.
    """
    known = () if config.spec.guest else objectives.get(config.spec.objective).functions
    for option, found in given.items():
        names = functions.names_in(getattr(config, option)) if option in known else []
        if found is not None and len(found) != len(names):
            raise ConfigError(
                f"{option} has {len(found)} entries, and the run was started with {len(names)}.",
                fix=f"Give what stands for {', '.join(map(functions.shown, names)) or 'none'}, or leave it out.",
            )
        for name, function in zip(names, found or (), strict=False):
            if not isinstance(function, str):
                functions.give(name, function)
    for option in known:
        names = functions.names_in(getattr(config, option))
        if not executor.takes_functions:
            functions.refuse(option, names, executor.where)
        for name in names:
            if executor.shares_memory and functions.is_to_be_found(option, name):
                functions.load(option, name)


def callable_back(callbacks: Any, executor: Executor, backend: Backend) -> tuple[Any, ...]:
    """Return the callbacks of a run as they are handed on.

    Raises
    ------
    ConfigError
        They are no list, the backend cannot call one of them, or the executor trains where these objects are not.
    """
    if callbacks is None:
        return ()
    if not isinstance(callbacks, list | tuple):
        raise ConfigError(f"callbacks={callbacks!r} is not a list.", fix="Give callbacks=[...].")
    backend.check_callbacks(callbacks)
    if callbacks and not executor.takes_functions:
        named = ", ".join(type(callback).__name__ for callback in callbacks)
        raise ConfigError(
            f"callbacks=[{named}] cannot be called in {executor.where}.",
            why="They are objects of this process.",
            fix="Train with executor='thread', or have a tracker of report_to follow the run.",
        )
    return tuple(callbacks)
