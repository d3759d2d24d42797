"""EngineTrainer: transformers' Trainer with our batches, loss, events, commands and checkpoints.

The library keeps what it is good at: the loop, optimizers, schedules, devices, precision, trackers. Overridden are the
places where a run must be honest: a step is one batch of rows in pieces (:mod:`.pieces`); state is safetensors and JSON
(:mod:`.training_state`); every step is an event; commands are obeyed between pieces and at step boundaries.
"""

from __future__ import annotations

import contextlib
import functools
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import transformers
from torch.utils.data import DataLoader
from transformers import TrainingArguments
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from shadownb.engine.backends.torch import record, training_state
from shadownb.engine.backends.torch.attention import Packing
from shadownb.engine.backends.torch.batches import StepSampler, step_loader
from shadownb.engine.backends.torch.computing import Computing
from shadownb.engine.backends.torch.memory import PeakMemory
from shadownb.engine.backends.torch.objectives import Objective
from shadownb.engine.backends.torch.pieces import trained_tokens
from shadownb.engine.backends.torch.preparation import adapters_known
from shadownb.engine.backends.torch.randomness import DropoutClock
from shadownb.engine.backends.torch.surfaces import Surface
from shadownb.engine.rendering.examples import Example
from shadownb.errors import NonFiniteLossError

if TYPE_CHECKING:
    from shadownb.engine.backends.torch.session import Session


@dataclass
class Progress:
    """What goes on counting over a resume; part of every checkpoint."""

    elapsed_s: float = 0.0
    tokens: int = 0
    trained_tokens: int = 0
    best_eval_loss: float | None = None
    best_step: int | None = None
    evals_without_improvement: int = 0
    loss_since_log: list[float] = field(default_factory=list)
    metrics_since_log: dict[str, list[float]] = field(default_factory=dict)


class EngineTrainer(Computing, transformers.Trainer):
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
        self.progress = Progress()
        self.dropout = DropoutClock(self.config.seed)
        self.memory = PeakMemory(self.args.device)
        self._attempt_elapsed_from = 0.0
        self._clock_started = 0.0
        self._excluded = 0.0  # seconds of pauses, not part of elapsed
        self._step_tokens = 0
        self._step_started = 0.0
        self._step_seconds: list[float] = []
        self._eval_seconds = 0.0
        self._reported_step = 0
        self.saved_step: int | None = None
        self.stopped_early = False

    # -- the clock: training time, without pauses and waiting for inference -----------------------------------------

    def start_clock(self) -> None:
        """Begin (or go on) counting elapsed seconds."""
        self._attempt_elapsed_from = self.progress.elapsed_s
        self._clock_started = time.perf_counter()
        self._excluded = -self.session.gate.yielded_seconds

    def _elapsed(self) -> float:
        passed = time.perf_counter() - self._clock_started
        return self._attempt_elapsed_from + passed - self._excluded - self.session.gate.yielded_seconds

    @contextlib.contextmanager
    def _not_counted(self) -> Iterator[None]:
        started, yielded = time.perf_counter(), self.session.gate.yielded_seconds
        try:
            yield
        finally:
            # The gate's own waiting inside the block is subtracted by _elapsed already.
            self._excluded += time.perf_counter() - started - (self.session.gate.yielded_seconds - yielded)

    # -- data and loss ----------------------------------------------------------------------------------------------

    def get_train_dataloader(self) -> DataLoader[list[Example]]:
        return step_loader(self.rows, self.sampler)

    def _run_epoch(self, *args: Any, **kwargs: Any) -> None:
        self.sampler.set_epoch(kwargs["epoch"])
        super()._run_epoch(*args, **kwargs)

    def _get_num_items_in_batch(self, batch_samples: list[Any], device: torch.device) -> None:
        return None

    def floating_point_ops(self, inputs: Any) -> int:
        return 0

    def training_step(self, model: Any, inputs: list[Example], num_items_in_batch: Any = None) -> torch.Tensor:
        """Compute loss and gradients of one optimizer step; returns the step's mean loss, shape ()."""
        gate = self.session.gate
        waited = gate.enter_training()
        if waited > 0.05:
            self.session.journal.append("yielded", seconds=round(waited, 3), step=self.state.global_step)
        self._step_started = time.perf_counter()
        self._step_tokens = sum(len(row.input_ids) for example in inputs for row in example.rows)
        self.objective.begin(inputs, functools.partial(self._scored, model), held_out=False)
        model.train()
        total = self.objective.count(inputs)
        loss_sum = torch.zeros((), device=self.args.device)
        self.dropout.step = self.state.global_step
        for index, (piece, examples) in enumerate(self._pieces(inputs)):
            self.session.control.check()
            self.dropout.piece = index
            with self._computing(model, piece) as nll:
                loss = self.objective.loss(nll, piece, examples, held_out=False) / total
                self.accelerator.backward(loss)
            self.memory.look()
            loss_sum += loss.detach()
        if not torch.isfinite(loss_sum):
            raise self.not_finite("loss", loss_sum.item())
        self.progress.trained_tokens += sum(trained_tokens(row) for example in inputs for row in example.rows)
        return loss_sum

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        norm = super()._get_grad_norm(model, grad_norm=grad_norm)
        value = norm.item() if isinstance(norm, torch.Tensor) else float(norm)
        if not math.isfinite(value):  # before the optimizer moves, so the weights stay good
            raise self.not_finite("gradient norm", value)
        return value

    def not_finite(self, what: str, value: float) -> NonFiniteLossError:
        """Return the error for a loss, gradient or weights that became NaN or infinite."""
        if self.state.global_step == 0:
            return NonFiniteLossError(
                f"The {what} became {value} in the first step, before anything was trained.",
                why="No update has been made, so it comes from the base's weights or from the rows of that step.",
                fix="Ask the model something: if that fails as well, load it again, a 16-bit one with dtype='float32'. "
                "Otherwise look at the first rows with dataset.inspect(model).",
            )
        rate = self._get_learning_rate()
        return NonFiniteLossError(
            f"The {what} became {value} after step {self.state.global_step} (learning_rate={rate:.2g} there).",
            why="The model has the weights of the newest checkpoint again, or of the start; nothing was overwritten.",
            fix="Lower learning_rate, set max_grad_norm=1.0, or look at the rows of that step with dataset.inspect().",
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
        self._reported_step = step
        self.session.gate.release()
        seconds = time.perf_counter() - self._step_started
        if not self._step_seconds:
            self.session.journal.append("record", values={"had": record.had(self)})
        self._step_seconds = [*self._step_seconds[-29:], seconds]
        self.progress.tokens += self._step_tokens
        self.progress.elapsed_s = self._elapsed()
        self.progress.loss_since_log.append(tr_loss.item())
        tr_loss -= tr_loss
        last = step >= self.state.max_steps
        if step % self.config.logging_steps == 0 or last:
            self._report(step, grad_norm, learning_rate, seconds)
        self.session.control.poll()
        stop = self.session.control.stop
        watched = bool(self.eval_rows) or self.session.samples
        if stop is None and watched and (step % self.session.eval_steps == 0 or last):
            self._evaluate_and_sample(step, model)
            stop = self.session.control.stop
        if stop is not None or self.stopped_early:
            self.control.should_training_stop = True
            return
        if not last and (step % self.session.save_steps == 0 or self._is_new_best(step)):
            self.session.try_save(self)
        if self.session.control.pause_requested:
            self._pause(step)

    def _report(self, step: int, grad_norm: Any, learning_rate: float | None, seconds: float) -> None:
        losses = self.progress.loss_since_log
        self.progress.loss_since_log = []
        remaining = self.state.max_steps - step
        eta = None
        if len(self._step_seconds) >= 3:
            evals_left = remaining // self.session.eval_steps
            eta = sorted(self._step_seconds)[len(self._step_seconds) // 2] * remaining + evals_left * self._eval_seconds
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
        metrics.update({name: round(value, 6) for name, value in self.objective.metrics().items()})
        self.session.journal.append("step", **metrics)
        if self.config.report_to:
            super().log({"loss": metrics["loss"], "grad_norm": grad_norm, "learning_rate": learning_rate})
            del self.state.log_history[:-1]  # the journal is the history

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Drop the library's own records; the journal has them."""

    def _evaluate_and_sample(self, step: int, model: Any) -> None:
        started = time.perf_counter()
        if self.eval_rows:
            self._judge(step, model)
        self.session.sample(step)
        self._eval_seconds = time.perf_counter() - started
        self.session.phase("training", step, self.state.max_steps, "steps")

    def _judge(self, step: int, model: Any) -> None:
        started = time.perf_counter()
        loss, extra = self.evaluate_loss(model)
        improved = self.progress.best_eval_loss is None or (
            loss < self.progress.best_eval_loss - self.config.early_stopping_threshold
        )
        if improved:
            self.progress.best_eval_loss, self.progress.best_step = loss, step
            self.progress.evals_without_improvement = 0
        else:
            self.progress.evals_without_improvement += 1
        seconds = round(time.perf_counter() - started, 3)
        self.session.journal.append("eval", step=step, eval_loss=loss, seconds=seconds, **extra)
        patience = self.config.early_stopping_patience
        self.stopped_early = patience is not None and self.progress.evals_without_improvement >= patience

    def _is_new_best(self, step: int) -> bool:
        return self.config.load_best_model_at_end and self.progress.best_step == step

    def _pause(self, step: int) -> None:
        with self._not_counted():
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
        training_state.save_json(folder, training_state.PROGRESS, asdict(self.progress))
        self.objective.write_state(folder)
        self.state.save_to_json(str(folder / "trainer_state.json"))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        self.surface.load_into(Path(resume_from_checkpoint).parent)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is None:
            return
        folder = Path(checkpoint)
        assert self.optimizer is not None and self.lr_scheduler is not None
        training_state.load_optimizer(self.optimizer, folder)
        self.lr_scheduler.load_state_dict(training_state.load_json(folder, training_state.SCHEDULER))
        self.progress = Progress(**training_state.load_json(folder, training_state.PROGRESS))
        self.objective.since_log = self.progress.metrics_since_log
        self.saved_step = self.state.global_step

    def _load_rng_state(self, checkpoint: str | None) -> None:
        """Nothing to load: random numbers are functions of the seed and the step."""

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        raise AssertionError("checkpoints are written by the session")
