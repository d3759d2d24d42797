"""Figures of a base that memory and adapters are counted from: its widths, and what a block keeps for the backward pass."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from shadownb.engine.backends.torch.adapters.experts import expert_tensors

# Of the numbers that a block keeps in 16 bits some stay in 32 (norms, the adapter's own). Counted with saved_tensors_hooks on a
# Llama of eight layers: 2.2 to 2.7 bytes for one of fp32's four, by method.
_NARROW_BYTES = 2.4


@dataclass(frozen=True)
class Kept:
    """Numbers kept for the backward pass: for each token in each block, and as often as there are layers to adapt.

    ``narrow_bytes`` is what one of them takes, in the mean, where the model is in 16 bits.
    """

    per_token: int
    fixed: int = 0
    narrow_bytes: float = _NARROW_BYTES


def frozen_block(base: nn.Module) -> int:
    """Return the numbers that a Llama-like block of frozen weights keeps for each token.

    Counted with saved-tensor hooks on SmolLM2-135M: 8,125 to 8,373 for 6 x 576 + 3 x 1,536 = 8,064.
    """
    return 6 * hidden_size(base) + 3 * inner_size(base) + rows_of_experts(base)


def layer_inputs(base: nn.Module) -> int:
    """Return the numbers that a block keeps beyond that where gradients of its linear layers are computed: their inputs."""
    return 3 * hidden_size(base) + inner_size(base) + rows_of_experts(base)


def block_count(base: nn.Module) -> int:
    """Return the number of blocks."""
    return int(base.config.get_text_config().num_hidden_layers)  # type: ignore[union-attr, operator]


def inner_size(base: nn.Module) -> int:
    """Return the width of the feed-forward layers, of experts that of all that read a token."""
    tensors = expert_tensors(base)
    if tensors:  # (experts, hidden, inner) down, twice that up where there is a gate
        return experts_of_a_token(base) * min(x.shape[1] * x.shape[2] for x in tensors.values()) // hidden_size(base)
    config = base.config.get_text_config()  # type: ignore[union-attr, operator]
    return int(getattr(config, "intermediate_size", None) or 4 * hidden_size(base))


def experts_of_a_token(base: nn.Module) -> int:
    """Return how many experts read a token; 1 where the config does not say."""
    config = base.config.get_text_config()  # type: ignore[union-attr, operator]
    names = ("num_experts_per_tok", "num_experts_per_token", "top_k_experts", "moe_topk", "moe_k")
    found = next((value for name in names if (value := getattr(config, name, None))), 1)
    return int(max(found) if isinstance(found, list | tuple) else found)


def rows_of_experts(base: nn.Module) -> int:
    """Return how many numbers a token's rows have when they are laid out for its experts; 0 without any."""
    return experts_of_a_token(base) * hidden_size(base) if expert_tensors(base) else 0


def idle_weights(base: nn.Module) -> int:
    """Return how many weights of experts have no part in a token's pass."""
    wide = experts_of_a_token(base)
    return sum(x.numel() * max(0, len(x) - wide) // len(x) for x in expert_tensors(base).values())


def hidden_size(base: nn.Module) -> int:
    """Return the width of the residual stream."""
    return int(base.config.get_text_config().hidden_size)  # type: ignore[union-attr, operator]
