"""What moves the weights of a training: optimizer, 32-bit copies, the scale of fp16, a scalar head, clipping; and its files.

Gradients of fp16 are computed scaled up, so that small ones do not become zero. Where the scale is too high they become
infinite; then the step is skipped and the scale is halved. That is usual in the first steps, and every 2,000 steps, when
the scale is tried higher. It is an error only where no scaling is left that could be the reason.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from shadownb.engine.backends.texts import not_finite
from shadownb.engine.backends.torch import training_state
from shadownb.engine.backends.torch.masters import Masters
from shadownb.engine.backends.torch.optimizers import make_optimizer
from shadownb.engine.backends.torch.values import Values

if TYPE_CHECKING:
    from shadownb.engine.config import TrainConfig

_HEAD = "head.safetensors"


class WeightUpdates:
    """The updates of what is trained on a module.

    Parameters
    ----------
    module
        The model with what is trained on it.
    trained
        What is trained, by name.
    optimizer
        The optimizer's name, as it was decided.
    scaler
        What scales the gradients of fp16; None for other formats.
    head
        The scalar head that is trained beside, where there is one.

    Attributes
    ----------
    moved
        What the optimizer moves, in the order of the module, in which the norm of all gradients is summed; the head is last.
    rate
        The learning rate of the newest update.
    """

    optimizer: torch.optim.Optimizer

    def __init__(
        self,
        module: nn.Module,
        trained: Mapping[str, nn.Parameter],
        config: TrainConfig,
        optimizer: str,
        *,
        scaler: torch.amp.GradScaler | None,
        head: Values | None,
    ) -> None:
        self.scaler, self.head = scaler, head
        self.rate = 0.0
        self._config = config
        self._module = module
        self.optimizer = make_optimizer(optimizer, module, config.weight_decay)
        self.masters = Masters(trained)
        self.masters.put_into(self.optimizer)
        if head is not None:
            self._head_group = len(self.optimizer.param_groups)
            self.optimizer.add_param_group({"params": list(head.parameters()), "weight_decay": 0.0})
        self.moved = [parameter for parameter in self.masters.moved(module) if parameter.requires_grad]
        self.moved += head.parameters() if head is not None else ()

    def close(self) -> None:
        """Let go of the optimizer's state and of all gradients."""
        self.masters.leave()
        self._module.zero_grad(set_to_none=True)
        del self.optimizer

    def scaled(self, loss: torch.Tensor) -> torch.Tensor:
        """Return the loss as gradients are computed of it."""
        return self.scaler.scale(loss) if self.scaler is not None else loss

    def forget_gradients(self) -> None:
        """Begin a step, or drop what a broken one left."""
        self._module.zero_grad(set_to_none=True)
        self.masters.forget_gradients()
        if self.head is not None:
            self.head.zero_grad(set_to_none=True)

    def keep_heads_gradients(self) -> None:
        """Drop the gradients of all but the head, so that the step moves nothing else, by momentum and decay neither."""
        of_head = {id(parameter) for parameter in self.head.parameters()} if self.head is not None else set()
        for parameter in self.moved:
            if id(parameter) not in of_head:
                parameter.grad = None

    def apply(self, rate: float, *, after: int) -> float | None:
        """Clip and move the weights; returns the norm before clipping, None where the scale of fp16 made it infinite.

        Parameters
        ----------
        after
            How many steps were done before, for the error's text.
        """
        self.rate = rate
        for number, group in enumerate(self.optimizer.param_groups):
            of_head = self.head is not None and number == self._head_group
            group["lr"] = rate * self.head.made.rate if of_head and self.head is not None else rate
        if self.scaler is not None:
            self.scaler.unscale_(self.optimizer)
        norm = self.clip()
        finite = math.isfinite(norm)
        if not finite and (self.scaler is None or self.scaler.get_scale() <= 1.0):
            # Before the optimizer moves, so the weights stay good.
            raise not_finite("gradient norm", norm, after=after, rate=rate)
        if self.scaler is not None:
            self.scaler.step(self.optimizer)
            self.scaler.update()
        else:
            self.optimizer.step()
        self.forget_gradients()
        return norm if finite else None

    def clip(self) -> float:
        """Clip the gradients to ``max_grad_norm``; returns their norm before."""
        norm = nn.utils.clip_grad_norm_(self.moved, self._config.max_grad_norm or math.inf)
        return float(norm.item())

    # -- kept -------------------------------------------------------------------------------------------------------

    def save(self, folder: Path) -> None:
        """Write the optimizer's state, the scale of the gradients, the 32-bit copies and the head."""
        training_state.save_optimizer(self.optimizer, folder)
        if self.scaler is not None:
            training_state.save_json(folder, training_state.SCALER, self.scaler.state_dict())
        self.masters.save(folder)
        if self.head is not None:
            save_file(self.head.state_dict(), folder / _HEAD)

    def load(self, folder: Path, *, own: bool) -> None:
        """Read what :meth:`save` wrote; of another run everything but the rates and the decay."""
        self.masters.load(folder)
        if self.head is not None and (folder / _HEAD).is_file():
            self.head.load_state_dict(load_file(folder / _HEAD))
        decays = [group["weight_decay"] for group in self.optimizer.param_groups]
        training_state.load_optimizer(self.optimizer, folder, self._config.optim)
        if not own:
            for group, decay in zip(self.optimizer.param_groups, decays, strict=True):
                group["weight_decay"] = decay
        if self.scaler is not None and (folder / training_state.SCALER).is_file():
            self.scaler.load_state_dict(training_state.load_json(folder, training_state.SCALER))
