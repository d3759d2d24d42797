"""The part of the trainer about number formats: autocast, the scale of fp16's gradients, and what is not finite.

Gradients of fp16 are computed scaled up, so that small ones do not become zero. Where the scale is too high they become
infinite; then the step is skipped and the scale is halved. That is usual in the first steps, and every 2,000 steps, when
the scale is tried higher. It is an error only where no scaling is left that could be the reason.
"""

from __future__ import annotations

import contextlib
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import transformers

from shadownb.engine.backends.torch import training_state
from shadownb.engine.backends.torch.masters import Masters
from shadownb.engine.backends.torch.surfaces import Surface
from shadownb.errors import NonFiniteLossError

if TYPE_CHECKING:
    from shadownb.engine.backends.torch.session import Session
    from shadownb.engine.backends.torch.training_state import Progress


class Precision(transformers.Trainer):
    """What :class:`EngineTrainer` does differently where a model computes in 16 bits; in 32 nothing."""

    session: Session
    surface: Surface
    progress: Progress
    masters: Masters

    def compute_loss_context_manager(self) -> contextlib.AbstractContextManager[Any]:
        # accelerate wraps forward() of the trained module; a learned prompt calls its base, whose is as it was.
        autocast: contextlib.AbstractContextManager[Any] = self.accelerator.autocast()
        return autocast

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        optimizer: torch.optim.Optimizer = super().create_optimizer(model)
        self.masters.leave()
        self.masters = Masters(self.surface.owned())
        self.masters.put_into(optimizer)
        return optimizer

    def _clip_grad_norm(self, model: Any) -> Any:
        return self.accelerator.clip_grad_norm_(self.masters.moved(model), self.args.max_grad_norm)

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> float | None:
        """Return the gradient's norm before clipping; None where it is infinite by its scale, so that the step is skipped."""
        if grad_norm is None:
            grad_norm = self.accelerator.clip_grad_norm_(self.masters.moved(model), math.inf)
        value = grad_norm.item() if isinstance(grad_norm, torch.Tensor) else float(grad_norm)
        if math.isfinite(value):
            return value
        scaler = self.accelerator.scaler
        if scaler is None or scaler.get_scale() <= 1.0:  # before the optimizer moves, so the weights stay good
            raise self.not_finite("gradient norm", value)
        if self.progress.skipped_steps == 0:
            self.session.warn(
                f"Step {self.state.global_step + 1} changed nothing: its gradients did not fit into float16.",
                why="They are computed scaled up, and the scale is halved until they fit; in the first steps that is usual.",
                fix="Nothing needs to be done; skipped_steps in the run's events counts such steps.",
                code="step-skipped",
            )
        self.progress.skipped_steps += 1
        return None

    def save_precision(self, folder: Path) -> None:
        """Write the scale of the gradients and the 32-bit copies, where there are such."""
        if self.accelerator.scaler is not None:
            training_state.save_json(folder, training_state.SCALER, self.accelerator.scaler.state_dict())
        self.masters.save(folder)

    def _load_scaler(self, checkpoint: str | None) -> None:
        scaler = self.accelerator.scaler
        if checkpoint is not None and scaler is not None and (Path(checkpoint) / training_state.SCALER).is_file():
            scaler.load_state_dict(training_state.load_json(Path(checkpoint), training_state.SCALER))

    def leave_precision(self) -> None:
        """Give the module back as it was: without copies, without autocast around its ``forward``."""
        self.masters.leave()
        # By hand: accelerate's unwrap_model() strips the decorators of the class's own forward(), too, and leaves the
        # mark by which the next run would take the module for wrapped.
        marks = self.model.__dict__
        marks.pop("_is_accelerate_prepared", None)
        original = marks.pop("_original_forward", None)
        if original is not None:
            del self.model.forward
            if getattr(original, "__func__", None) is not type(self.model).forward:
                self.model.forward = original

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
