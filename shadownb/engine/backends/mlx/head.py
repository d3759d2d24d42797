"""The last product of a model, with the output embeddings: computed where a token is trained alone, and its inputs kept.

The output head is most of the work of a small model, and its logits most of the memory; mlx-lm's models compute it for every
position and offer no place to choose. So for the length of a pass the layer belongs to a class that chooses first. What a model
does with its logits afterwards (a cap, a scale) is done as ever.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import cache
from typing import Any

from mlx import nn

from shadownb.errors import ModelError


def find_head(module: Any) -> tuple[Any, str]:
    """Return (the layer that makes logits, the name of the method that does it)."""
    named = dict(module.named_modules())
    for name, layer in named.items():
        if name.rsplit(".", 1)[-1] in ("lm_head", "output_head"):
            return layer, "__call__"
    tables = [layer for layer in named.values() if isinstance(layer, nn.Embedding | nn.QuantizedEmbedding)]
    if not tables:
        raise ModelError(f"mlx-lm's {type(module).__module__} has no output embeddings that could be found.")
    return max(tables, key=lambda layer: layer.weight.shape[0]), "as_linear"


@contextlib.contextmanager
def chosen(module: Any, positions: Any) -> Iterator[list[Any]]:
    """Inside the block the model gives logits of shape (1, N, vocabulary), of N positions of its rows laid end to end.

    Yields a list that gets what the output embeddings are multiplied with, shape (N, width).
    """
    head, method = find_head(module)
    kind: Any = type(head)
    seen: list[Any] = []

    def choose(x: Any) -> Any:
        seen.append(x.reshape(-1, x.shape[-1])[positions])
        return seen[-1][None]

    head.__class__, head.choose = _choosing(kind, method), choose
    try:
        yield seen
    finally:
        head.__class__ = kind
        del head.choose


def width_of(module: Any) -> int:
    """Return the width of what the output embeddings are multiplied with."""
    head, _ = find_head(module)
    width = int(head.weight.shape[-1])
    return width * 32 // int(head.bits) if hasattr(head, "bits") else width


@cache
def _choosing(kind: Any, method: str) -> Any:
    def choosing(self: Any, x: Any) -> Any:
        return getattr(super(made, self), method)(self.choose(x))

    made: Any = type(kind.__name__, (kind,), {method: choosing})
    return made
