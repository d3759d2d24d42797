"""The phases of one attempt, in their order: prepare the data, prepare the model, train, save; or go back.

It runs in whichever thread or process the executor chose.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from shadownb.engine import methods, objectives
from shadownb.engine.backends.torch import attention, kernels, randomness, record, surfaces
from shadownb.engine.backends.torch.surfaces import Surface, expert_products, experts, rounded_once
from shadownb.engine.backends.torch.trackers import report_to_trackers
from shadownb.engine.backends.torch.training import TorchTraining
from shadownb.engine.rendering.examples import Example
from shadownb.engine.runs import checkpoints, preparation
from shadownb.engine.runs.checkpoints import Checkpoint
from shadownb.engine.runs.clock import RunClock
from shadownb.engine.runs.control import StopRequested
from shadownb.engine.runs.epochs import Epochs
from shadownb.engine.runs.evaluation import prepare_objective
from shadownb.engine.runs.loop import Loop
from shadownb.engine.runs.loop_state import load_state
from shadownb.engine.runs.schedules import schedule
from shadownb.engine.runs.starting import other_rows
from shadownb.errors import CheckpointError, DivergedError

if TYPE_CHECKING:
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
    with services.weights():
        carried = services.model.carried
        surfaces.check(services.model.module, carried, services.config)
        sequences = [row for example in rows for row in example.rows]
        start = surfaces.Start(services.model.public_name, services.model.source, sequences, services.control.check)
        surface = surfaces.prepare(services.model.module, carried, services.config, start)
        services.model.weights.carry(surface)
    in_memory = (
        carried is not None and not services.own_checkpoint
    )  # else the checkpoint has them, or nothing was there
    before = surfaces.snapshot(surface.owned()) if in_memory else None
    try:
        return _train_surface(services, surface, rows, eval_rows)
    except (StopRequested, Exception) as error:
        services.gate.release()
        if services.left is not None:  # the last step is done, and no disk to write it to: memory is all that has it
            raise
        newest = _go_back(services, surface, before, error.last_good_step if isinstance(error, DivergedError) else None)
        services.left = newest.step if newest is not None else None
        if not isinstance(error, StopRequested):
            raise
        if not error.save or services.control.discarding:
            return Outcome("discarded", None)
        return Outcome("stopped", newest, "before the first step")


def _train_surface(services: RunServices, surface: Surface, rows: list[Example], eval_rows: list[Example]) -> Outcome:
    services.control.check()
    config = services.config = surface.effective_config(services.config)
    module, base = surface.module, surface.base
    with services.gate.training():
        packing = attention.choose_packing(base, prefixed=surface.prefix() is not None)
    objective = objectives.get(methods.get(config.method).objective)(config, services.max_length)
    for part, unit in ((rows, "rows"), (eval_rows, "evaluation rows")):
        for remark in objective.remarks(part, unit) if part else ():
            services.warn(remark.what, why=remark.why, fix=remark.fix, code=remark.code)
    rows, eval_rows = objective.arrange(rows), objective.arrange(eval_rows)
    source = Epochs(rows, config.rows_per_step, config.seed, packing=config.packing, max_length=services.max_length)
    services.total_steps = config.resolved_total_steps(source.items)
    _check_resume(services)
    services.eval_steps = config.resolved_eval_steps(services.total_steps)
    services.save_steps = config.resolved_save_steps(services.total_steps)
    drawn = randomness.functional_dropout(base)
    if drawn:
        services.warn(
            f"This model draws {', '.join(drawn)} from the process's random numbers.",
            why="Random numbers drawn in other cells change the run, so a resume is exact only in a worker process.",
            fix="Use executor='process', or set the value to 0 in the model's config.",
        )
    _tell_reach(services, surface)
    if rounded_once.in_8_bits(module):
        services.warn(
            "The base has 8 bits, so small updates of the adapter do not show at once.",
            why="What the adapter adds comes after the base's output was rounded; on other bases both are rounded once.",
            fix='Load the base with quantize="4bit" or unquantised if the loss falls too slowly.',
            code="rounded-twice",
        )
    services.journal.append("plan", total_steps=services.total_steps, rows=len(rows), eval_rows=len(eval_rows))
    with contextlib.ExitStack() as stack:
        if not base.is_activation_checkpointing:
            stack.callback(base.activation_checkpointing_disable)  # or the next run would have it unasked
        stack.callback(services.gate.release)
        plan, expected = record.plan_of(services, surface, rows)
        if plan.kernels[0]:
            with services.gate.training():
                kernels.fuse(base)
        if base.device.type in ("cuda", "xpu"):
            stack.enter_context(torch.accelerator.device_index(base.device.index))  # of this thread, until the end
        model = services.model
        session = TorchTraining(surface, config, plan, packing, services, device=model.device, dtype=model.dtype)
        stack.callback(session.close)
        loop = Loop(
            session,
            source,
            objective,
            eval_rows,
            services,
            schedule(
                config.lr_scheduler_type,
                config.resolved_learning_rate(),
                services.total_steps,
                config.resolved_warmup(services.total_steps),
                decay=config.resolved_decay(services.total_steps),
            ),
            RunClock(services.gate),
        )
        services.journal.append("record", values=record.planned(services, surface, packing, rows, plan, expected))
        stack.enter_context(randomness.owned_dropout(module, session.dropout))
        try:
            return _loop(services, loop, rows)
        except StopRequested as stop:
            services.gate.release()
            if not stop.save or services.control.discarding or not loop.step:
                raise
            services.phase("saving")
            return Outcome("stopped", services.save_last(loop))


def _tell_reach(services: RunServices, surface: Surface) -> None:
    """Warn where target_modules means experts that the method has no adapter for, and where they round twice."""
    config, base = services.config, surface.base
    for what, why in surface.reached(config, methods.get(config.method)).missed:
        services.warn(
            f"target_modules={config.target_modules!r} is not reached whole: {what} stay frozen.",
            why=f"{why}. Experts have {experts.share(base):.0%} of this model's weights.",
            fix="method='lora' on a base that is not quantised reaches them.",
            code="not-reached",
        )
    plain = expert_products.others(surface.module)
    if plain and base.dtype in (torch.bfloat16, torch.float16):
        services.warn(
            f"Small updates of {plain} tensors of experts or routers do not show at once.",
            why="How this model computes them is not known here, so peft adds the adapters to the 16-bit weights, and what is "
            "smaller than half a step of a weight is rounded away.",
            fix='Load the base with dtype="float32" if the loss falls too slowly.',
            code="rounded-twice",
        )


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


def _loop(services: RunServices, loop: Loop, rows: list[Example]) -> Outcome:
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
    with report_to_trackers(services, loop):
        loop.run()
    stop = services.control.stop
    if stop is not None:
        raise stop
    services.phase("saving")
    final = services.save_last(loop)
    result = _best_if_asked(services, loop, final)
    note = "stopped early: no improvement" if loop.stopped_early else ""
    return Outcome("succeeded", result, note)


def _best_if_asked(services: RunServices, loop: Loop, final: Checkpoint) -> Checkpoint:
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


def _go_back(
    services: RunServices, surface: Surface, before: dict[str, torch.Tensor] | None, last_good: int | None
) -> Checkpoint | None:
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
        surface.module.zero_grad(set_to_none=True)
        if services.control.discarding:
            newest = services.resume if services.own_checkpoint else None
        else:
            newest = checkpoints.newest_valid(services.folder.checkpoints)[0]
        if newest is not None:
            surface.load_into(newest.path)
        elif before is not None:
            surfaces.restore(surface.owned(), before)
        else:  # nothing was there at the start, so the next run is free to choose its shape
            services.model.weights.carry_nothing()
        return newest
