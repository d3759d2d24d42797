"""Attention of 16-bit models in 32 bits on a CPU: torch's backward pass there is twice as slow in bf16 on short rows.

SmolLM2-135M's heads on one AVX-512 core, forward and backward: eight rows of 100 tokens take 21.9 ms in bf16 and 11.2 ms in
32 bits with the casts, one row of 450 tokens 17.7 and 18.5 ms.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention


def computed(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, **options: Any) -> torch.Tensor:
    """Return attention of one segment, shapes (1, heads, T, dim), in the queries' number format; ``options`` are torch's."""
    found = scaled_dot_product_attention(query.float(), key.float(), value.float(), **options)
    return found.to(query.dtype)


plain = scaled_dot_product_attention


def widened(attend: Callable[..., tuple[torch.Tensor, None]]) -> Callable[..., tuple[torch.Tensor, None]]:
    """Return an attention of transformers' interface that computes in 32 bits: the whole batch is cast once."""

    @functools.wraps(attend)
    def wide(
        module: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *args: Any, **kwargs: Any
    ) -> Any:
        output, weights = attend(module, query.float(), key.float(), value.float(), *args, **kwargs)
        return output.to(query.dtype), weights

    return wide
