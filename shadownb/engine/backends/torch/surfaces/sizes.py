"""Figures of a base that memory and surfaces are counted from: its widths, and what a block keeps for the backward pass."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True)
class Kept:
    """Numbers kept for the backward pass: for each token in each block, and as often as there are layers to adapt."""

    per_token: int
    fixed: int = 0


def frozen_block(base: nn.Module) -> int:
    """Return the numbers that a Llama-like block of frozen weights keeps for each token.

    Counted with saved-tensor hooks on SmolLM2-135M: 8,125 to 8,373 for 6 x 576 + 3 x 1,536 = 8,064.
    """
    return 6 * hidden_size(base) + 3 * inner_size(base)


def layer_inputs(base: nn.Module) -> int:
    """Return the numbers that a block keeps beyond that where gradients of its linear layers are computed: their inputs."""
    return 3 * hidden_size(base) + inner_size(base)


def block_count(base: nn.Module) -> int:
    """Return the number of blocks."""
    return int(base.config.get_text_config().num_hidden_layers)  # type: ignore[union-attr, operator]


def inner_size(base: nn.Module) -> int:
    """Return the width of the feed-forward layers."""
    config = base.config.get_text_config()  # type: ignore[union-attr, operator]
    return int(getattr(config, "intermediate_size", None) or 4 * hidden_size(base))


def hidden_size(base: nn.Module) -> int:
    """Return the width of the residual stream."""
    return int(base.config.get_text_config().hidden_size)  # type: ignore[union-attr, operator]
