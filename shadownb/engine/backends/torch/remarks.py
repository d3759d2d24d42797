"""What is to be said of training an adapter on a model before its first step; nothing of it stops the run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch

from shadownb.engine.backends.torch.adapters import Adapter, expert_products, experts, rounded_once
from shadownb.engine.backends.torch.randomness import functional_dropout
from shadownb.engine.objectives import Remark

if TYPE_CHECKING:
    from shadownb.engine.config import TrainConfig


def told_of(adapter: Adapter, config: TrainConfig) -> Iterator[Remark]:
    """Yield the remarks."""
    module, base = adapter.module, adapter.base
    drawn = functional_dropout(base)
    if drawn:
        yield Remark(
            f"This model draws {', '.join(drawn)} from the process's random numbers.",
            why="Random numbers drawn in other cells change the run, so a resume is exact only in a worker process.",
            fix="Use executor='process', or set the value to 0 in the model's config.",
        )
    for what, why in adapter.reached(config, config.spec).missed:
        yield Remark(
            f"target_modules={config.target_modules!r} is not reached whole: {what} stay frozen.",
            why=f"{why}. Experts have {experts.share(base):.0%} of this model's weights.",
            fix="method='lora' on a base that is not quantised reaches them.",
            code="not-reached",
        )
    plain = expert_products.others(module)
    if plain and base.dtype in (torch.bfloat16, torch.float16):
        yield Remark(
            f"Small updates of {plain} tensors of experts or routers do not show at once.",
            why="How this model computes them is not known here, so peft adds the adapters to the 16-bit weights, and what is "
            "smaller than half a step of a weight is rounded away.",
            fix='Load the base with dtype="float32" if the loss falls too slowly.',
            code="rounded-twice",
        )
    if rounded_once.in_8_bits(module):
        yield Remark(
            "The base has 8 bits, so small updates of the adapter do not show at once.",
            why="What the adapter adds comes after the base's output was rounded; on other bases both are rounded once.",
            fix='Load the base with quantize="4bit" or unquantised if the loss falls too slowly.',
            code="rounded-twice",
        )
