"""Optimizers of MLX by the names that a training may ask for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mlx.optimizers as optim

from shadownb.errors import ConfigError, did_you_mean


def _adamw(decay: float) -> Any:
    return optim.AdamW(0.0, betas=[0.9, 0.999], eps=1e-8, weight_decay=decay, bias_correction=True)


OPTIMIZERS: dict[str, Callable[[float], Any]] = {
    "adamw": _adamw,
    "adafactor": lambda decay: optim.Adafactor(
        0.0, scale_parameter=False, relative_step=False, warmup_init=False, weight_decay=decay
    ),
    "lion": lambda decay: optim.Lion(0.0, betas=[0.9, 0.999], weight_decay=decay),
    "sgd": lambda decay: optim.SGD(0.0, weight_decay=decay),
    "adagrad": lambda decay: optim.Adagrad(0.0),
    "rmsprop": lambda decay: optim.RMSprop(0.0),
}
# The same formula by the names that the torch backend takes, so that one file of options serves both.
SAME = {"auto": "adamw", "adamw_torch": "adamw", "adamw_torch_fused": "adamw"}
_NO_DECAY = ("adagrad", "rmsprop")


def check_optimizer(asked: str, weight_decay: float) -> None:
    """Raise ConfigError where a name is no optimizer that trains here."""
    name = SAME.get(asked, asked)
    if name not in OPTIMIZERS:
        raise ConfigError(
            f"optim={asked!r} is not an optimizer of backend mlx.{did_you_mean(asked, [*OPTIMIZERS])}",
            fix=f"Use auto or one of {', '.join(OPTIMIZERS)}; others are there with backend='torch'.",
        )
    if name in _NO_DECAY and weight_decay:
        raise ConfigError(
            f"optim={asked!r} has no weight decay on backend mlx, and weight_decay={weight_decay:g} was given.",
            fix="Set weight_decay=0, or use another optimizer.",
        )


def make_optimizer(name: str, weight_decay: float) -> Any:
    """Return an optimizer; its rate is set before each step."""
    return OPTIMIZERS[SAME.get(name, name)](weight_decay)
