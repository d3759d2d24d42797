"""A trainer of trl that is led by a run: telemetry off, our rates, checkpoints, gate, stop, and the journal in its callbacks."""

from __future__ import annotations

import math
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save_file
from transformers import TrainerCallback

from shadownb.engine.backends.torch import training_state
from shadownb.engine.backends.torch.updates import not_finite

if TYPE_CHECKING:
    from shadownb.engine.backends.torch.memory import PeakMemory
    from shadownb.engine.ports.guest import GuestRun

_STATE = "trainer_state.json"  # the Trainer reads steps, epoch and the place in the data from it
_COPIES = "copies.safetensors"

# Names that our own objectives have for the same numbers, so that they are drawn in the same charts.
_NAMES = {
    "rewards/chosen": "rewards_chosen", "rewards/rejected": "rewards_rejected", "rewards/margins": "rewards_margin",
    "rewards/accuracies": "rewards_accuracy", "num_tokens": "tokens",
}  # fmt: skip
_NO_METRICS = frozenset({"step", "epoch", "time", "seq", "type", "total_flos", "total_steps"})


def led(kind: Any, run: GuestRun) -> Any:
    """Return a trainer's class as this run's; its name stays, for messages and trackers."""
    return type(kind.__name__, (_Led, kind), {"_run": run, "__module__": kind.__module__})


class _Led:
    """What is another's in a trainer of trl here; stands before it in the order of its bases."""

    _run: GuestRun
    optimizer: Any
    lr_scheduler: Any
    model: Any

    def _send_telemetry(self) -> None:
        """Send nothing: trl reports trainer, architecture and GPU when a trainer is made."""

    def create_model_card(self, *_: Any, **__: Any) -> None:
        """Write none: it asks trackers for addresses, and a run has its record."""

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        run, peak = self._run, self._run.config.resolved_learning_rate()
        self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(
            optimizer if optimizer is not None else self.optimizer, lambda update: run.rate(update) / peak
        )
        self._created_lr_scheduler = True
        return self.lr_scheduler

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        if self._run.step < self._run.total_steps:  # the last one is the run's own
            self._run.save()

    def _load_from_checkpoint(self, *_: Any, **__: Any) -> None:
        """Read no weights: the run has put them on the model."""

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is not None:
            training_state.load_optimizer(plain(self.optimizer), Path(checkpoint), self._run.config.optim)
            self.lr_scheduler.last_epoch = self._run.step
            rates = [group["lr"] for group in plain(self.optimizer).param_groups]
            self.lr_scheduler._last_lr = rates

    def _load_rng_state(self, checkpoint: str | None) -> None:
        """Go on with the generators as the seed left them: others drew from them since."""

    def _load_scaler(self, checkpoint: str | None) -> None:
        """Begin with fp16's usual scale; it is found again in some steps."""

    def prediction_step(self, *given: Any, **named: Any) -> Any:
        self._run.check()
        with self._run.weights():
            return super().prediction_step(*given, **named)  # type: ignore[misc]

    def get_train_dataloader(self) -> Any:
        with self._run.weights():  # a reference may be computed here
            return super().get_train_dataloader()  # type: ignore[misc]

    def get_eval_dataloader(self, *given: Any, **named: Any) -> Any:
        with self._run.weights():
            return super().get_eval_dataloader(*given, **named)  # type: ignore[misc]


def plain(optimizer: Any) -> torch.optim.Optimizer:
    """Return the optimizer under accelerate's."""
    found: torch.optim.Optimizer = getattr(optimizer, "optimizer", optimizer)
    return found


class Leading(TrainerCallback):
    """Says to the run where the trainer is, and to the trainer what the run wants."""

    def __init__(self, run: GuestRun, memory: PeakMemory, opening: ExitStack, *, judged: bool, scaled: bool) -> None:
        self._run, self._memory, self._opening = run, memory, opening
        self._judged, self._scaled = judged, scaled

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Let go of the weights that are held since the trainer was made."""
        self._opening.close()

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Wait for the weights; raises where a stop was asked for."""
        self._run.begin_step()

    def on_substep_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Look for a stop between the batches of a step."""
        self._run.check()

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Raise where a gradient is not finite, before the weights are moved by it."""
        if self._scaled:
            return  # fp16's scale is lowered for that
        gradients = [p.grad for p in given["model"].parameters() if p.grad is not None]
        total = float(sum(float(gradient.float().norm()) ** 2 for gradient in gradients))
        if not math.isfinite(total):
            rate = self._run.rate(state.global_step)
            raise not_finite("gradient norm", total, after=state.global_step, rate=rate)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Give the weights back; a stop ends the training here, with the step reported."""
        self._memory.look()
        self._run.end_step(state.global_step)
        last = state.global_step >= self._run.total_steps
        control.should_log = control.should_log or last
        control.should_evaluate = control.should_evaluate or (last and self._judged)
        if self._run.over:
            control.should_training_stop = control.should_log = True
            control.should_evaluate = control.should_save = False

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        """Put numbers into the journal: of steps, or of the evaluation rows."""
        metrics = named(logs or {})
        if "eval_loss" in metrics:
            if self._run.evaluated(metrics) and self._run.config.load_best_model_at_end:
                control.should_save = True
            if self._run.over:
                control.should_training_stop = True
        elif "loss" in metrics:
            if not math.isfinite(metrics["loss"]):
                rate = self._run.rate(state.global_step - 1)
                raise not_finite("loss", metrics["loss"], after=state.global_step, rate=rate)
            self._run.report(metrics, float(state.epoch or 0.0))


def named(logs: dict[str, Any]) -> dict[str, float]:
    """Return trl's numbers by the names that they have here."""
    found: dict[str, float] = {}
    for name, value in logs.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or name in _NO_METRICS:
            continue
        start = "eval_" if name.startswith("eval_") else ""
        plainly = _NAMES.get(name.removeprefix("eval_"), name.removeprefix("eval_").replace("/", "_"))
        found[f"{start}{plainly}"] = value
    if "eval_runtime" in found:
        found["seconds"] = round(found["eval_runtime"], 3)
    return {name: value for name, value in found.items() if not name.endswith(("_runtime", "_per_second"))}


def stop_within_passes(module: Any, run: GuestRun) -> Any:
    """Look for a stop before each pass of this thread; returns what takes that back."""
    thread = threading.get_ident()

    def look(*_: Any) -> None:
        if threading.get_ident() == thread:
            run.check()

    return module.register_forward_pre_hook(look)


def save_state(trainer: Any, folder: Path, copies: dict[str, torch.Tensor]) -> None:
    """Write steps, optimizer and what the trainer keeps beside the weights (a reference), in JSON and safetensors."""
    trainer.state.save_to_json(str(folder / _STATE))
    training_state.save_optimizer(plain(trainer.optimizer), folder)
    if copies:
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in copies.items()}, folder / _COPIES)


def load_copies(folder: Path, copies: dict[str, torch.Tensor]) -> None:
    """Put what the trainer kept beside the weights back: it was made of the weights of the start, and those are others now."""
    if copies:
        kept = load_file(folder / _COPIES)
        with torch.no_grad():
            for name, tensor in copies.items():
                tensor.copy_(kept[name])
