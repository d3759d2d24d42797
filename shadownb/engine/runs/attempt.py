"""One attempt, in its order: prepare the data, prepare the model, train, save; or go back.

It runs in whichever thread or process the executor chose, and knows no framework.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shadownb.engine import objectives
from shadownb.engine.methods.guests import guest
from shadownb.engine.objectives import Objective, Remark
from shadownb.engine.rendering.examples import Example
from shadownb.engine.runs import checkpoints, preparation
from shadownb.engine.runs.answering import Answering
from shadownb.engine.runs.checkpoints import Checkpoint
from shadownb.engine.runs.clock import RunClock
from shadownb.engine.runs.control import StopRequested
from shadownb.engine.runs.epochs import Epochs
from shadownb.engine.runs.evaluation import prepare_objective
from shadownb.engine.runs.folder import load_rows
from shadownb.engine.runs.guest_loop import GuestLoop
from shadownb.engine.runs.loop import Loop
from shadownb.engine.runs.loop_state import load_state
from shadownb.engine.runs.record import plan_of, planned, planned_of_guest, tell_missed
from shadownb.engine.runs.starting import other_rows
from shadownb.errors import CheckpointError, DivergedError

if TYPE_CHECKING:
    from shadownb.engine.ports.training import TrainingSession
    from shadownb.engine.runs.services import RunServices


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended: the status, and the checkpoint that is the result (None where nothing was kept)."""

    status: str
    result: Checkpoint | None
    note: str = ""


def run(services: RunServices) -> Outcome:
    """Train to the end, a stop, or an error; returns how it ended, raises what went wrong."""
    resume_step = services.resume.step if services.resume else 0
    services.begin_attempt(
        resume_step,
        reason="resumed" if services.resume else "started",
        checkpoint=services.resume.path.name if services.resume else None,
    )
    spec = services.folder.spec
    if services.config.spec.guest:
        services.sample_prompts = preparation.sample_prompts(services, spec["dataset"])
        return _train(services, [], [])  # a guest reads the rows itself
    try:
        rows = preparation.examples_of(services, spec["dataset"], "rows")
        held_out = spec.get("eval_dataset")
        eval_rows = preparation.examples_of(services, held_out, "evaluation rows") if held_out else []
        services.sample_prompts = preparation.sample_prompts(services, held_out or spec["dataset"])
    except StopRequested:
        return Outcome("discarded" if services.control.discarding else "stopped", None, "before the first step")
    return _train(services, rows, eval_rows)


def _train(services: RunServices, rows: list[Example], eval_rows: list[Example]) -> Outcome:
    services.phase("preparing model")
    model = services.model
    with services.weights():
        sequences = [row for example in rows for row in example.rows]
        session = model.backend.train(model, services.config, sequences, services)
    services.config = session.config
    # What was in memory alone; else a checkpoint has it, or nothing was there.
    before = session.snapshot() if session.continues and not services.own_checkpoint else None
    try:
        services.control.check()
        if services.config.spec.guest:
            return _train_guest(services, session)
        return _train_session(services, session, rows, eval_rows)
    except (StopRequested, Exception) as error:
        services.gate.release()
        if services.left is not None:  # the last step is done, and no disk to write it to: memory is all that has it
            raise
        newest = _go_back(services, session, before, error.last_good_step if isinstance(error, DivergedError) else None)
        services.left = newest.step if newest is not None else None
        if not isinstance(error, StopRequested):
            raise
        if not error.save or services.control.discarding:
            return Outcome("discarded", None)
        return Outcome("stopped", newest, "before the first step")


def _train_session(
    services: RunServices, session: TrainingSession, rows: list[Example], eval_rows: list[Example]
) -> Outcome:
    config = session.config
    objective = objectives.get(config.spec.objective)(config, services.max_length)
    with contextlib.closing(objective):
        return _with_objective(services, session, objective, rows, eval_rows)


def _with_objective(
    services: RunServices,
    session: TrainingSession,
    objective: Objective,
    rows: list[Example],
    eval_rows: list[Example],
) -> Outcome:
    config = session.config
    for remark in _remarks(session, objective, rows, eval_rows):
        services.warn(remark.what, why=remark.why, fix=remark.fix, code=remark.code)
    rows, eval_rows = objective.arrange(rows), objective.arrange(eval_rows)
    epochs = Epochs(rows, config.rows_per_step, config.seed, packing=config.packing, max_length=services.max_length)
    source = objective.source(epochs, Answering(services, session))
    services.plan_steps(epochs.items, objective.iterations)
    _check_resume(services)
    services.journal.append("plan", total_steps=services.total_steps, rows=len(rows), eval_rows=len(eval_rows))
    plan, expected = plan_of(services, session, list(objective.expected(rows)))
    with session.opened(plan, objective), contextlib.ExitStack() as heard:  # the last checkpoint is told of, too
        loop = Loop(session, source, objective, eval_rows, services, services.rate(), RunClock(services.gate))
        services.journal.append("record", values=planned(services, session, rows, plan, expected))
        with _stoppable(services, loop) as stopped:
            outcome = _loop(services, loop, rows, heard)
            tell_missed(services, session, expected)
            return outcome
        return stopped[0]


@contextlib.contextmanager
def _stoppable(services: RunServices, loop: Loop | GuestLoop) -> Iterator[list[Outcome]]:
    """Let a stop inside the block end it, with the last step saved, where there is one to keep; yields that outcome's place."""
    stopped: list[Outcome] = []
    try:
        yield stopped
    except StopRequested as stop:
        services.gate.release()
        if not stop.save or services.control.discarding or not loop.step:
            raise
        services.phase("saving")
        stopped.append(Outcome("stopped", services.save_last(loop)))
    finally:
        services.gate.release()


def _train_guest(services: RunServices, session: TrainingSession) -> Outcome:
    """Have a guest train: the same order, with its loop in the place of ours."""
    spec, config, resume = services.folder.spec, services.config, services.resume
    rows = load_rows(spec["dataset"])
    held_out = load_rows(spec["eval_dataset"]) if spec.get("eval_dataset") else []
    for remark in session.remarks():
        services.warn(remark.what, why=remark.why, fix=remark.fix, code=remark.code)
    services.plan_steps(len(rows))
    services.journal.append("plan", total_steps=services.total_steps, rows=len(rows), eval_rows=len(held_out))
    loop = GuestLoop(session, services, judged=bool(held_out))
    state = resume.path / checkpoints.TRAINING if resume is not None else None
    if resume is not None and state is not None:
        with services.weights():
            session.load_weights(resume.path)
        loop.load_state(state)
    with guest(config.spec.guest).opened(session, rows, held_out, loop) as loop.training:
        services.journal.append("record", values=planned_of_guest(services, session))
        services.phase("training", loop.step, services.total_steps, "steps")
        loop.clock.start()
        with _stoppable(services, loop) as stopped:
            loop.training.run(state)
            loop.between_steps()
            return _ended(services, loop, "stopped early: no improvement" if loop.stopped_early else "")
        return stopped[0]


def _ended(services: RunServices, loop: Loop | GuestLoop, note: str) -> Outcome:
    services.phase("saving")
    final = services.save_last(loop)
    return Outcome("succeeded", _best_if_asked(services, loop, final), note)


def _remarks(
    session: TrainingSession, objective: Objective, rows: list[Example], eval_rows: list[Example]
) -> Iterator[Remark]:
    yield from session.remarks()
    for part, unit in ((rows, "rows"), (eval_rows, "evaluation rows")):
        if part:
            yield from objective.remarks(part, unit)


def _check_resume(services: RunServices) -> None:
    """Refuse a checkpoint that leaves no step to train, and tell of one that was trained on other rows."""
    resume = services.resume
    if resume is None or services.own_checkpoint:
        return
    if resume.step >= services.total_steps:
        raise CheckpointError(
            f"The checkpoint is of step {resume.step}; the run's {services.total_steps} steps leave nothing to train.",
            fix="Raise num_train_epochs or max_steps, or load the checkpoint and start a run without resume_from_checkpoint.",
        )
    difference = other_rows(resume, services.folder)
    if difference is not None:
        services.warn(
            f"resume_from_checkpoint goes on at step {resume.step}, but not as the checkpoint's own run would: {difference}.",
            why="Steps count on from the checkpoint's, and so does the place in the data; rows of earlier steps are not seen.",
            fix="To train on new rows from the first one, load the checkpoint with shadownb.load() and start a new run.",
            code="resumed-on-other-rows",
        )


def _loop(services: RunServices, loop: Loop, rows: list[Example], heard: contextlib.ExitStack) -> Outcome:
    resume = services.resume
    if resume is not None and not loop.objective.load(resume.path / checkpoints.TRAINING):
        raise CheckpointError(
            f"The checkpoint {resume.path.name} lacks what method={services.config.method!r} needs.",
            why="It was written by a run with another objective, so it has no log-probabilities of the reference.",
            fix="Load it with shadownb.load() and start a new run.",
        )
    loop.clock.start()  # the reference of DPO and KTO is work of the run
    prepare_objective(loop.session, loop.objective, loop.source, rows, loop.held_out, services)
    services.phase("training", resume.step if resume else 0, services.total_steps, "steps")
    if resume is not None:
        with services.weights():
            loop.session.load_weights(resume.path)
            load_state(loop, resume.path / checkpoints.TRAINING, own=services.own_checkpoint)
    folder, total = services.folder.path, services.total_steps
    loop.listener = heard.enter_context(loop.session.listening(services.callbacks, folder, total, loop.step))
    loop.run()
    stop = services.control.stop
    if stop is not None:
        raise stop
    asked = loop.listener.asked.stop
    note = f"stopped early: {asked} asked for it" if asked and not loop.last else ""
    note = note or (f"stopped early: {loop.objective.ended}" if loop.objective.ended and not loop.last else "")
    quiet = not asked and not loop.objective.ended
    note = note or ("stopped early: no improvement" if loop.stopped_early and quiet else "")
    return _ended(services, loop, note)


def _best_if_asked(services: RunServices, loop: Loop | GuestLoop, final: Checkpoint) -> Checkpoint:
    best = loop.progress.best_step
    if not services.config.load_best_model_at_end or best in (None, final.step):
        return final
    found = [c for c in checkpoints.list_checkpoints(services.folder.checkpoints) if c.step == best]
    if not found:
        services.warn(f"The best step {best} has no checkpoint any more; the last one is the result.")
        return final
    with services.gate.training():
        loop.session.load_weights(found[0].path)
    return found[0]


def _go_back(services: RunServices, session: TrainingSession, before: Any, last_good: int | None) -> Checkpoint | None:
    """After a failure or a discard, leave weights that a checkpoint or the start explains, never half-trained ones.

    ``last_good`` is the last step before training diverged; checkpoints of later steps go. Returns the checkpoint whose weights
    the model has now; None is the start.
    """
    if services.control.discarding:
        last_good = services.resume.step if services.resume else 0
    if last_good is not None:
        gone = checkpoints.remove_after(services.folder.checkpoints, last_good)
        services.journal.append("checkpoints_removed", removed=[path.name for path in gone])
    with services.gate.training():
        session.forget_gradients()
        if services.control.discarding:
            newest = services.resume if services.own_checkpoint else None
        else:
            newest = checkpoints.newest_valid(services.folder.checkpoints)[0]
        if newest is not None:
            session.load_weights(newest.path)
        elif before is not None:
            session.restore(before)
        else:  # nothing was there at the start, so the next run is free to choose its shape
            services.model.detach_adapter()
        return newest
