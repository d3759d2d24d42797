"""EngineTrainer: transformers' Trainer with our batches, loss, events, commands and checkpoints.

The library keeps what it is good at: the loop, optimizers, schedules, devices, precision, trackers. Overridden are the
places where a run must be honest: a step is one batch of rows in pieces (:mod:`.pieces`); state is safetensors and JSON
(:mod:`.training_state`); every step is an event; commands are obeyed between pieces and at step boundaries.
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.data import DataLoader
from transformers import TrainingArguments
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from shadownb.engine.backends.torch import record, training_state
from shadownb.engine.backends.torch.attention import Packing
from shadownb.engine.backends.torch.batches import StepSampler, step_loader
from shadownb.engine.backends.torch.clock import RunClock
from shadownb.engine.backends.torch.computing import Computing
from shadownb.engine.backends.torch.gradient_check import GradientCheck
from shadownb.engine.backends.torch.masters import Masters
from shadownb.engine.backends.torch.memory import PeakMemory
from shadownb.engine.backends.torch.objectives import Objective
from shadownb.engine.backends.torch.precision import Precision
from shadownb.engine.backends.torch.preparation import adapters_known
from shadownb.engine.backends.torch.randomness import DropoutClock
from shadownb.engine.backends.torch.surfaces import Surface
from shadownb.engine.rendering.examples import Example
from shadownb.engine.runs.control import StopRequested
from shadownb.engine.runs.divergence import DivergenceWatch
from shadownb.errors import DivergedError

if TYPE_CHECKING:
    from shadownb.engine.backends.torch.session import Session


class EngineTrainer(Computing, Precision):
    """One attempt of a run. The surface is on its module already; examples are rendered."""

    def __init__(
        self,
        surface: Surface,
        args: TrainingArguments,
        rows: Sequence[Example],
        eval_rows: Sequence[Example],
        *,
        objective: Objective,
        sampler: StepSampler,
        packing: Packing,
        session: Session,
    ) -> None:
        with adapters_known(surface.base):
            super().__init__(model=surface.module, args=args, train_dataset=rows, data_collator=list)
        for callback in (PrinterCallback, ProgressCallback):
            self.remove_callback(callback)
        self.surface = surface
        self.objective = objective
        self.rows = rows
        self.eval_rows = eval_rows
        self.sampler = sampler
        self.packing = packing
        self.session = session
        self.config = session.config
        self.progress = training_state.Progress()
        self.dropout = DropoutClock(self.config.seed)
        self.memory = PeakMemory(self.args.device)
        self.masters = Masters({})
        self.clock = RunClock(session.gate)
        self.gradients = GradientCheck(surface)
        self._looked_after = -1  # how many answers there had been when the graph was last looked at
        self.divergence = DivergenceWatch(self.config.rows_per_step)
        self._step_tokens = 0
        self._step_started = 0.0
        self._reported_step = 0
        self.saved_step: int | None = None

    @property
    def stopped_early(self) -> bool:
        """Whether as many evaluations as the patience allows brought nothing better."""
        patience = self.config.early_stopping_patience
        return patience is not None and self.progress.evals_without_improvement >= patience

    # -- data and loss ----------------------------------------------------------------------------------------------

    def get_train_dataloader(self) -> DataLoader[list[Example]]:
        return step_loader(self.rows, self.sampler)

    def _run_epoch(self, *args: Any, **kwargs: Any) -> None:
        if self.state.global_step >= self.state.max_steps or self.stopped_early:
            # Resumed after the last step. The library looks at this only after a step, so it would train one too many.
            self.control.should_training_stop = True
            return
        self.sampler.set_epoch(kwargs["epoch"])
        super()._run_epoch(*args, **kwargs)

    def _get_num_items_in_batch(self, batch_samples: list[Any], device: torch.device) -> None:
        return None

    def floating_point_ops(self, inputs: Any) -> int:
        return 0

    def training_step(self, model: Any, inputs: list[Example], num_items_in_batch: Any = None) -> torch.Tensor:
        """Compute loss and gradients of one optimizer step; returns the step's mean loss, shape ()."""
        waited = self.session.take_weights()
        if waited > 0.05:
            self.session.journal.append("yielded", seconds=round(waited, 3), step=self.state.global_step)
        self._step_started = time.perf_counter()
        self._step_tokens = sum(len(row.input_ids) for example in inputs for row in example.rows)
        noted = {name: list(pair) for name, pair in self.objective.since_log.items()}
        try:
            return self._accumulate(model, inputs)
        except StopRequested:
            self.objective.since_log = noted  # the resume computes this step again
            raise

    def _accumulate(self, model: Any, inputs: list[Example]) -> torch.Tensor:
        self.objective.begin(inputs, functools.partial(self._scored, model), held_out=False)
        model.train()
        self.masters.forget_gradients()
        total = self.objective.count(inputs)
        loss_sum = torch.zeros((), device=self.args.device)
        self.dropout.step = self.state.global_step
        first = self._looked_after < 0
        for index, (piece, examples) in enumerate(self._pieces(inputs)):
            self.session.control.check()
            self.dropout.piece = index
            looking = self.session.gate.answered != self._looked_after  # an answer may leave a model in another state
            with (
                self.gradients.watching() if looking else contextlib.nullcontext(),
                self._computing(model, piece) as nll,
            ):
                loss = self.objective.loss(nll, piece, examples, held_out=False) / total
                if looking:
                    self.gradients.graph(loss)
                    self._looked_after = self.session.gate.answered
                self.accelerator.backward(loss)
            self.memory.look()
            loss_sum += loss.detach()
        if not torch.isfinite(loss_sum):
            raise self.not_finite("loss", loss_sum.item())
        if first:
            self.gradients.arrived(self.masters.gradient)
            self._tell_absent()
        self.progress.trained_tokens += sum(row.predicted_tokens for example in inputs for row in example.rows)
        return loss_sum

    def _tell_absent(self) -> None:
        absent = self.gradients.absent
        if absent:
            self.session.warn(
                f"{len(absent)} trained layers were not computed in the first step, first {absent[0]}.",
                why="They have no part in answers to text, so nothing was trained there.",
                fix="Leave them out with target_modules, so that the adapter is no larger than it needs to be.",
                code="untrained-layers",
            )

    # -- after each step --------------------------------------------------------------------------------------------

    def _maybe_log_save_evaluate(
        self,
        tr_loss: torch.Tensor,
        grad_norm: Any,
        model: Any,
        *args: Any,
        learning_rate: float | None = None,
        **kwargs: Any,
    ) -> None:
        step = self.state.global_step
        if step == self._reported_step:  # the loop also calls at the end of an epoch
            return
        self.session.model.weights.stepped = (self.session.folder.id, step)  # while nobody else can look at them
        self.session.gate.release()
        seconds = time.perf_counter() - self._step_started
        if self._reported_step == 0:
            self.session.journal.append("record", values={"had": record.had(self)})
        self._reported_step = step
        self.clock.step_took(seconds)
        self.progress.tokens += self._step_tokens
        self.progress.elapsed_s = self.clock.elapsed()
        self.progress.loss_since_log.append(tr_loss.item())
        tr_loss -= tr_loss
        last = step >= self.state.max_steps
        loss = self.progress.loss_since_log[-1]
        diverged = self.divergence.look(step, loss)
        if step % self.config.logging_steps == 0 or last or diverged:
            self._report(step, grad_norm, learning_rate, seconds)
        if diverged:
            self._tell_diverged(step, loss, learning_rate)
        self.session.control.poll()
        stop = self.session.control.stop
        if stop is None:
            self._evaluate_and_sample(step, model)
            stop = self.session.control.stop
        if stop is not None or self.stopped_early:
            self.control.should_training_stop = True
            return
        if not last and (step % self.session.save_steps == 0 or self._is_new_best(step)):
            self.session.try_save(self)
        if self.session.control.pause_requested:
            self._pause(step)

    def _tell_diverged(self, step: int, loss: float, learning_rate: float | None) -> None:
        """Warn of a loss that has climbed far above its beginning, or raise DivergedError, as ``on_divergence`` says."""
        watch, rate = self.divergence, self.config.resolved_learning_rate()
        what = f"Training has diverged: the loss is {loss:,.4g} at step {step}; it began at {watch.began_at:,.4g}."
        why = f"The usual cause is a learning rate that is too high (learning_rate={rate:.2g}, {learning_rate:.2g} at this step)."
        lower = f"Start again with a lower rate, for example learning_rate={rate / 10:.1g}"
        if self.config.on_divergence == "continue":
            self.session.warn(what, why=why, fix=f"{lower}; on_divergence='stop' ends a run here.", code="diverged")
            return
        error = DivergedError(
            what,
            why=f"{why} The model has the weights of the newest checkpoint from before (of step {watch.good_step} at the "
            "latest) again, or of the start.",
            fix=f"{lower}; on_divergence='continue' goes on all the same.",
        )
        error.last_good_step = watch.good_step
        raise error

    def _report(self, step: int, grad_norm: Any, learning_rate: float | None, seconds: float) -> None:
        losses = self.progress.loss_since_log
        self.progress.loss_since_log = []
        remaining = self.state.max_steps - step
        eta = self.clock.seconds_to_go(remaining, remaining // self.session.eval_steps)
        metrics = {
            "step": step,
            "total_steps": self.state.max_steps,
            "loss": sum(losses) / len(losses),
            "learning_rate": learning_rate,
            "grad_norm": grad_norm,
            "epoch": round(float(self.state.epoch or 0.0), 4),
            "elapsed_s": round(self.progress.elapsed_s, 3),
            "tokens": self.progress.tokens,
            "tokens_per_s": round(self._step_tokens / seconds, 2),
            "peak_memory_gb": round(self.memory.peak_gb, 4),
            "eta_s": None if eta is None else round(eta, 1),
        }
        if self.accelerator.scaler is not None:
            metrics["skipped_steps"] = self.progress.skipped_steps
        metrics.update({name: round(value, 6) for name, value in self.objective.metrics().items()})
        self.session.journal.append("step", **metrics)
        if self.config.report_to:
            super().log({"loss": metrics["loss"], "grad_norm": grad_norm, "learning_rate": learning_rate})
            del self.state.log_history[:-1]  # the journal is the history

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Drop the library's own records; the journal has them."""

    def _evaluate_and_sample(self, step: int, model: Any) -> None:
        """Do what the step asks for and no earlier attempt has done at it."""
        due = step % self.session.eval_steps == 0 or step >= self.state.max_steps
        judge = due and bool(self.eval_rows) and self.progress.evaluated_step != step
        sample = due and self.session.samples and self.progress.sampled_step != step
        if not judge and not sample:
            return
        started = time.perf_counter()
        if judge:
            self._judge(step, model)
        if sample:
            self.session.sample(step)
            self.progress.sampled_step = step
        self.clock.evaluation_s = time.perf_counter() - started
        self.session.phase("training", step, self.state.max_steps, "steps")

    def _judge(self, step: int, model: Any) -> None:
        started = time.perf_counter()
        loss, extra = self.evaluate_loss(model)
        progress, threshold = self.progress, self.config.early_stopping_threshold
        if progress.best_eval_loss is None or loss < progress.best_eval_loss:
            progress.best_eval_loss, progress.best_step = loss, step
        if progress.patience_eval_loss is None or loss < progress.patience_eval_loss - threshold:
            progress.patience_eval_loss, progress.evals_without_improvement = loss, 0
        else:
            progress.evals_without_improvement += 1
        seconds = round(time.perf_counter() - started, 3)
        self.session.journal.append("eval", step=step, eval_loss=loss, seconds=seconds, **extra)
        self.progress.evaluated_step = step

    def _is_new_best(self, step: int) -> bool:
        return self.config.load_best_model_at_end and self.progress.best_step == step

    def _pause(self, step: int) -> None:
        with self.clock.not_counted():
            if self.saved_step != step:
                self.session.try_save(self)
            self.session.journal.append("paused", step=step)
            self.session.control.park()
        self.session.begin_attempt(step, reason="resumed after pause")
        self.session.phase("training", step, self.state.max_steps, "steps")

    # -- checkpoints ------------------------------------------------------------------------------------------------

    def write_training_state(self, folder: Path) -> None:
        """Write optimizer, scheduler and positions into ``folder``."""
        assert self.optimizer is not None and self.lr_scheduler is not None
        training_state.save_optimizer(self.optimizer, folder)
        training_state.save_json(folder, training_state.SCHEDULER, self.lr_scheduler.state_dict())
        self.progress.metrics_since_log = self.objective.since_log
        self.progress.divergence = self.divergence.state_dict()
        training_state.save_json(folder, training_state.PROGRESS, asdict(self.progress))
        self.save_precision(folder)
        self.objective.write_state(folder)
        self.state.save_to_json(str(folder / "trainer_state.json"))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        self.surface.load_into(Path(resume_from_checkpoint).parent)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is None:
            return
        folder = Path(checkpoint)
        assert self.optimizer is not None and self.lr_scheduler is not None
        self.masters.load(folder)
        own = self.session.own_checkpoint
        with contextlib.nullcontext() if own else training_state.own_rates(self.optimizer, self.lr_scheduler):
            training_state.load_optimizer(self.optimizer, folder, self.config.optim)
            self.lr_scheduler.load_state_dict(training_state.load_json(folder, training_state.SCHEDULER))
        self.progress = training_state.Progress(**training_state.load_json(folder, training_state.PROGRESS))
        if not own:
            self.progress.forget_other_run()
        self.divergence = DivergenceWatch(self.config.rows_per_step, self.progress.divergence)
        self.clock.before = self.progress.elapsed_s
        self.objective.since_log = self.progress.metrics_since_log
        self.saved_step = self.state.global_step

    def _prepare_for_training(self, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        prepared = super()._prepare_for_training(*args, **kwargs)
        step, missing = self.state.global_step, self.progress.evaluated_step != self.state.global_step
        if step:  # a stop may have come between this step and its evaluation
            self._evaluate_and_sample(step, prepared[0])
            if missing and self._is_new_best(step):
                self.session.try_save(self)
        return prepared  # type: ignore[no-any-return]

    def _load_rng_state(self, checkpoint: str | None) -> None:
        """Nothing to load: random numbers are functions of the seed and the step."""

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        raise AssertionError("checkpoints are written by the session")
