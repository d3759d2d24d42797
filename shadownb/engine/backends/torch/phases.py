"""The phases of one attempt, in their order: prepare the data, prepare the model, train, save; or go back.

It runs in whichever thread or process the executor chose.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from shadownb.engine import methods
from shadownb.engine.backends.torch import attention, kernels, preparation, randomness, record, surfaces
from shadownb.engine.backends.torch.batches import StepSampler
from shadownb.engine.backends.torch.objectives import OBJECTIVES
from shadownb.engine.backends.torch.surfaces import Surface, expert_products, experts, rounded_once
from shadownb.engine.backends.torch.trainer import EngineTrainer
from shadownb.engine.rendering.examples import Example
from shadownb.engine.runs import checkpoints
from shadownb.engine.runs.checkpoints import Checkpoint
from shadownb.engine.runs.control import StopRequested
from shadownb.engine.runs.starting import other_rows
from shadownb.errors import CheckpointError, DivergedError

if TYPE_CHECKING:
    from shadownb.engine.backends.torch.session import Session


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended: the status, and the checkpoint that is the result (None where nothing was kept)."""

    status: str
    result: Checkpoint | None
    note: str = ""


def run(session: Session) -> Outcome:
    """Train to the end, a stop, or an error; returns how it ended, raises what went wrong."""
    resume_step = session.resume.step if session.resume else 0
    session.begin_attempt(
        resume_step,
        reason="resumed" if session.resume else "started",
        checkpoint=session.resume.path.name if session.resume else None,
    )
    spec = session.folder.spec
    try:
        rows = preparation.examples_of(session, spec["dataset"], "rows")
        held_out = spec.get("eval_dataset")
        eval_rows = preparation.examples_of(session, held_out, "evaluation rows") if held_out else []
        session.sample_prompts = preparation.sample_prompts(session, held_out or spec["dataset"])
    except StopRequested:
        return Outcome("discarded" if session.control.discarding else "stopped", None, "before the first step")
    return _train(session, rows, eval_rows)


def _train(session: Session, rows: list[Example], eval_rows: list[Example]) -> Outcome:
    session.phase("preparing model")
    with session.weights():
        carried = session.model.carried
        surfaces.check(session.model.module, carried, session.config)
        sequences = [row for example in rows for row in example.rows]
        start = surfaces.Start(session.model.public_name, session.model.source, sequences, session.control.check)
        surface = surfaces.prepare(session.model.module, carried, session.config, start)
        session.model.weights.carry(surface)
    in_memory = carried is not None and not session.own_checkpoint  # else the checkpoint has them, or nothing was there
    before = surfaces.snapshot(surface.owned()) if in_memory else None
    try:
        return _train_surface(session, surface, rows, eval_rows)
    except (StopRequested, Exception) as error:
        session.gate.release()
        if session.left is not None:  # the last step is done, and no disk to write it to: memory is all that has it
            raise
        newest = _go_back(session, surface, before, error.last_good_step if isinstance(error, DivergedError) else None)
        session.left = newest.step if newest is not None else None
        if not isinstance(error, StopRequested):
            raise
        if not error.save or session.control.discarding:
            return Outcome("discarded", None)
        return Outcome("stopped", newest, "before the first step")


def _train_surface(session: Session, surface: Surface, rows: list[Example], eval_rows: list[Example]) -> Outcome:
    session.control.check()
    config = session.config = surface.effective_config(session.config)
    module, base = surface.module, surface.base
    with session.gate.training():
        packing = attention.choose_packing(base, prefixed=surface.prefix() is not None)
    objective = OBJECTIVES[methods.get(config.method).objective](config, session.max_length)
    rows, eval_rows = objective.arrange(rows), objective.arrange(eval_rows)
    sampler = StepSampler(
        [sum(len(row.input_ids) for row in example.rows) for example in rows],
        config.rows_per_step,
        config.seed,
        packing=config.packing,
        max_length=session.max_length,
    )
    session.total_steps = config.resolved_total_steps(sampler.items)
    _check_resume(session)
    session.eval_steps = config.resolved_eval_steps(session.total_steps)
    session.save_steps = config.resolved_save_steps(session.total_steps)
    session.functional_dropout = randomness.functional_dropout(base)
    if session.functional_dropout:
        session.warn(
            f"This model draws {', '.join(session.functional_dropout)} from the process's random numbers.",
            why="Random numbers drawn in other cells change the run, so a resume is exact only in a worker process.",
            fix="Use executor='process', or set the value to 0 in the model's config.",
        )
    _tell_reach(session, surface)
    if rounded_once.in_8_bits(module):
        session.warn(
            "The base has 8 bits, so small updates of the adapter do not show at once.",
            why="What the adapter adds comes after the base's output was rounded; on other bases both are rounded once.",
            fix='Load the base with quantize="4bit" or unquantised if the loss falls too slowly.',
            code="rounded-twice",
        )
    session.journal.append("plan", total_steps=session.total_steps, rows=len(rows), eval_rows=len(eval_rows))
    cache_setting = base.config.use_cache
    with contextlib.ExitStack() as stack:
        stack.enter_context(randomness.private_randomness())
        stack.callback(lambda: setattr(base.config, "use_cache", cache_setting))
        if not base.is_activation_checkpointing:
            stack.callback(base.activation_checkpointing_disable)  # or the next run would have it unasked
        stack.callback(session.gate.release)
        plan, expected = record.plan_of(session, surface, rows)
        if plan.kernels[0]:
            with session.gate.training():
                kernels.fuse(base)
        if base.device.type in ("cuda", "xpu"):
            stack.enter_context(torch.accelerator.device_index(base.device.index))  # of this thread, until the end
        trainer = EngineTrainer(
            surface,
            preparation.training_arguments(session, plan),
            rows,
            eval_rows,
            objective=objective,
            sampler=sampler,
            packing=packing,
            session=session,
        )
        stack.callback(lambda: _leave(trainer))
        session.journal.append("record", values=record.planned(session, surface, packing, rows, plan, expected))
        stack.enter_context(randomness.owned_dropout(module, trainer.dropout))
        try:
            return _loop(session, trainer)
        except StopRequested as stop:
            session.gate.release()
            if (
                not stop.save
                or session.control.discarding
                or not trainer.state.global_step
                or trainer.optimizer is None
            ):
                raise
            trainer.model.zero_grad(set_to_none=True)
            session.phase("saving")
            return Outcome("stopped", session.save_last(trainer))


def _tell_reach(session: Session, surface: Surface) -> None:
    """Warn where target_modules means experts that the method has no adapter for, and where they round twice."""
    config, base = session.config, surface.base
    for what, why in surface.reached(config, methods.get(config.method)).missed:
        session.warn(
            f"target_modules={config.target_modules!r} is not reached whole: {what} stay frozen.",
            why=f"{why}. Experts have {experts.share(base):.0%} of this model's weights.",
            fix="method='lora' on a base that is not quantised reaches them.",
            code="not-reached",
        )
    plain = expert_products.others(surface.module)
    if plain and base.dtype in (torch.bfloat16, torch.float16):
        session.warn(
            f"Small updates of {plain} tensors of experts or routers do not show at once.",
            why="How this model computes them is not known here, so peft adds the adapters to the 16-bit weights, and what is "
            "smaller than half a step of a weight is rounded away.",
            fix='Load the base with dtype="float32" if the loss falls too slowly.',
            code="rounded-twice",
        )


def _check_resume(session: Session) -> None:
    """Refuse a checkpoint that leaves no step to train, and tell of one that was trained on other rows."""
    resume = session.resume
    if resume is None or session.own_checkpoint:
        return
    if resume.step >= session.total_steps:
        raise CheckpointError(
            f"The checkpoint is of step {resume.step}; the run's {session.total_steps} steps leave nothing to train.",
            fix="Raise num_train_epochs or max_steps, or load the checkpoint and start a run without resume_from_checkpoint.",
        )
    difference = other_rows(resume, session.folder)
    if difference is not None:
        session.warn(
            f"resume_from_checkpoint goes on at step {resume.step}, but not as the checkpoint's own run would: {difference}.",
            why="Steps count on from the checkpoint's, and so does the place in the data; rows of earlier steps are not seen.",
            fix="To train on new rows from the first one, load the checkpoint with shadownb.load() and start a new run.",
            code="resumed-on-other-rows",
        )


def _loop(session: Session, trainer: EngineTrainer) -> Outcome:
    training = str(session.resume.path / checkpoints.TRAINING) if session.resume else None
    if training is not None and not trainer.objective.load_state(Path(training)):
        raise CheckpointError(
            f"The checkpoint {session.resume and session.resume.path.name} lacks what method={session.config.method!r} needs.",
            why="It was written by a run with another objective, so it has no log-probabilities of the reference.",
            fix="Load it with shadownb.load() and start a new run.",
        )
    trainer.clock.start()  # the reference of DPO and KTO is work of the run
    trainer.prepare_objective()
    session.phase("training", session.resume.step if session.resume else 0, session.total_steps, "steps")
    trainer.train(resume_from_checkpoint=training)
    stop = session.control.stop
    if stop is not None:
        raise stop
    session.phase("saving")
    final = session.save_last(trainer)
    result = _best_if_asked(session, trainer, final)
    note = "stopped early: no improvement" if trainer.stopped_early else ""
    return Outcome("succeeded", result, note)


def _best_if_asked(session: Session, trainer: EngineTrainer, final: Checkpoint) -> Checkpoint:
    best = trainer.progress.best_step
    if not session.config.load_best_model_at_end or best in (None, final.step):
        return final
    found = [c for c in checkpoints.list_checkpoints(session.folder.checkpoints) if c.step == best]
    if not found:
        session.warn(f"The best step {best} has no checkpoint any more; the last one is the result.")
        return final
    with session.gate.training():
        trainer.surface.load_into(found[0].path)
    return found[0]


def _go_back(
    session: Session, surface: Surface, before: dict[str, torch.Tensor] | None, last_good: int | None
) -> Checkpoint | None:
    """After a failure or a discard, leave weights that a checkpoint or the start explains, never half-trained ones.

    ``last_good`` is the last step before training diverged; checkpoints of later steps go. Returns the checkpoint whose weights
    the model has now; None is the start.
    """
    if session.control.discarding:
        last_good = session.resume.step if session.resume else 0
    if last_good is not None:
        gone = checkpoints.remove_after(session.folder.checkpoints, last_good)
        session.journal.append("checkpoints_removed", removed=[path.name for path in gone])
    with session.gate.training():
        surface.module.zero_grad(set_to_none=True)
        if session.control.discarding:
            newest = session.resume if session.own_checkpoint else None
        else:
            newest = checkpoints.newest_valid(session.folder.checkpoints)[0]
        if newest is not None:
            surface.load_into(newest.path)
        elif before is not None:
            surfaces.restore(surface.owned(), before)
        else:  # nothing was there at the start, so the next run is free to choose its shape
            session.model.weights.carry_nothing()
        return newest


def _leave(trainer: EngineTrainer) -> None:
    trainer.leave_precision()
    trainer.model.zero_grad(set_to_none=True)
    trainer.model.eval()
    trainer.optimizer = trainer.lr_scheduler = None
    trainer.callback_handler.train_dataloader = None
