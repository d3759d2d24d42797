"""Rotary embeddings of queries and keys as one operation each; the way back turns by the same angle the other way.

transformers' modules call a function of their own module, which turns halves of a head with five tensors and a copy. A model's
attention gets another one under that name in a copy of its own ``forward`` (:func:`attention_with`), so that no other model
of the process is touched.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable

_NAME = "apply_rotary_pos_emb"


def computed(
    query: torch.Tensor, key: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return queries (B, heads, T, dim) and keys (B, kv heads, T, dim) turned by angles (B, T, dim), halves against each other."""
    cos, sin = cos.unsqueeze(1), sin.unsqueeze(1)
    return _Turned.apply(query, cos, sin), _Turned.apply(key, cos, sin)  # type: ignore[no-untyped-call]


def plain(
    query: torch.Tensor, key: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what :func:`computed` does, by torch's own operators."""

    def turned(x: torch.Tensor) -> torch.Tensor:
        first, second = x.chunk(2, dim=-1)
        return x * cos.unsqueeze(1) + torch.cat((-second, first), dim=-1) * sin.unsqueeze(1)

    return turned(query), turned(key)


def is_rotary(attention: nn.Module) -> bool:
    """Return whether a module's ``forward`` calls a function that turns halves: looked at on numbers of its own."""
    forward = type(attention).forward
    theirs = getattr(forward, "__globals__", {}).get(_NAME)
    if not isinstance(forward, types.FunctionType) or _NAME not in forward.__code__.co_names or theirs is None:
        return False
    query, angles = torch.linspace(-2, 3, 48).view(1, 2, 3, 8).cos(), torch.linspace(0, 2, 24).view(1, 3, 8)
    angles = torch.cat((angles[..., :4], angles[..., :4]), dim=-1)
    key = query[:, :1] + 1
    with torch.no_grad():
        try:
            expected = theirs(query, key, angles.cos(), angles.sin())
        except (TypeError, RuntimeError):
            return False
        found = computed(query, key, angles.cos(), angles.sin())
    return len(expected) == 2 and all(
        a.shape == b.shape and torch.allclose(a, b, atol=1e-6) for a, b in zip(expected, found, strict=True)
    )


def attention_with(attention: nn.Module) -> Callable[..., Any]:
    """Return a module's ``forward`` that turns by :func:`computed`."""
    return types.MethodType(_with(type(attention).forward), attention)


@functools.lru_cache(maxsize=64)
def _with(forward: Any) -> Any:
    theirs = forward.__globals__[_NAME]

    def turn(
        query: torch.Tensor, key: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, *rest: Any, **more: Any
    ) -> Any:
        simple = not rest and not more and cos.dim() == 3 and cos.shape[-1] == query.shape[-1]
        return computed(query, key, cos, sin) if simple else theirs(query, key, cos, sin, *rest, **more)

    names = {**forward.__globals__, _NAME: turn}
    copy = types.FunctionType(forward.__code__, names, forward.__name__, forward.__defaults__, forward.__closure__)
    copy.__kwdefaults__ = forward.__kwdefaults__
    return copy


class _Turned(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(cos, sin)
        return _turned(x, cos, sin, 1)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        cos, sin = ctx.saved_tensors
        return _turned(gradient, cos, sin, -1), None, None


def _turned(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, sign: int) -> torch.Tensor:
    half = x.shape[-1] // 2
    found = x * cos
    found[..., :half].addcmul_(x[..., half:], sin[..., :half], value=-sign)
    found[..., half:].addcmul_(x[..., :half], sin[..., half:], value=sign)
    return found
