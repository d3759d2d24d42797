"""Going on with a run that ended, broke off, or was killed: a new attempt from its newest valid checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from shadownb.engine.loaded.backends import DEFAULT, backend
from shadownb.engine.runs import executors
from shadownb.engine.runs.job import load_model
from shadownb.engine.runs.journal import Journal
from shadownb.engine.runs.liveness import launch_of
from shadownb.errors import BusyError, ModelError, RunError

if TYPE_CHECKING:
    from shadownb.engine.loaded.model import LoadedModel
    from shadownb.engine.runs.handle import Run


def check_stays(run: Run, model: LoadedModel | None, executor: str | None, callbacks: Any) -> None:
    """Raise RunError where a paused run is asked to go on elsewhere: its model and optimizer are in the memory it paused in."""
    busy = model.active_run if model is not None else None
    given = []
    if executor not in (None, run.executor):
        given.append(f"executor={executor!r}")
    if model is not None and (busy is None or busy.id != run.id):
        given.append("another model")
    if callbacks:
        given.append("other callbacks")
    if given:
        where = executors.known_by(run.executor).where
        raise RunError(
            f"Run {run.id} is paused in {where} and goes on there, not with {' and '.join(given)}.",
            fix="Leave that out; or run.stop() and run.wait(), then resume it where you want.",
        )


def resume(
    run: Run, model: LoadedModel | None, executor: str | None, callbacks: Any, given: Mapping[str, Sequence[Any] | None]
) -> None:
    """Start a new attempt; see :meth:`Run.resume`."""
    from shadownb.engine.runs.dispatch import callable_back, find_functions, resume_attempt, start

    state = run.state
    if run.is_active:
        launch = launch_of(state)
        unseen = launch.is_elsewhere and not run.folder.is_owned()
        raise RunError(
            f"Run {run.id} is {state.status} already.",
            why=f"Its process is on {launch.mark['host']}, and its journal is still written to."
            if launch.mark and unseen
            else "",
            fix="run.wait() waits for it.",
        )
    if state.status == "succeeded":
        raise RunError(
            f"Run {run.id} has done all of its {state.total_steps} steps.",
            fix=f"Train on from its result: shadownb.load({run.id!r}).train(...).",
        )
    chosen = executors.chosen(executor or state.executor or executors.AUTO)
    expected = run.folder.spec["model"]
    if model is not None:
        if model.base_hash != expected["base_hash"]:
            raise ModelError(
                f"Run {run.id} was trained on another base than {model.name!r}.",
                why=f"Its base hashes to {expected['base_hash'][:12]}, this one to {model.base_hash[:12]}.",
                fix="Leave model out, and the right one is loaded.",
            )
        own = expected.get("backend", DEFAULT)
        if model.backend_name != own:
            raise ModelError(
                f"Run {run.id} was trained with backend={own!r}, and {model.name!r} is loaded with {model.backend_name!r}.",
                why="What a resume needs beside the weights is of its own backend.",
                fix=f"Leave model out, or load it with backend={own!r}.",
            )
        busy = model.active_run
        if busy is not None:
            raise BusyError(f"Run {busy.id} is training this model.", fix="Wait for it, or stop it first.")
    called = callable_back(callbacks, chosen, backend(expected.get("backend", DEFAULT)))
    find_functions(run.folder.config, chosen, given)
    if chosen.shares_memory and (model is None or not model.is_loaded):
        model = load_model(run.folder)
    run._model = model
    journal = Journal(run.folder.events)
    had = run.folder.spec.get("callbacks")
    if had and callbacks is None:
        journal.append(
            "warning",
            code="callbacks",
            what=f"The run goes on without its callbacks ({', '.join(had)}).",
            why="They are objects of the process that started it, which a record cannot hold.",
            fix="run.resume(callbacks=[...]) has them called; callbacks=[] says that none is meant.",
        )
    start(run, chosen, resume_attempt(run.folder, called), journal, model)
