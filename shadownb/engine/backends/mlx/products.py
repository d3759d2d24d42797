"""Products with weights on a CPU under Linux, written so that the BLAS of MLX's wheel there computes them quickly.

MLX computes ``x @ weight.T``. The wheel for Linux carries the reference BLAS, whose product with a transposed second factor is a
dot product an element: 2.5 GFLOP/s, where the same product as ``weight @ x.T``, with ``x.T`` laid out anew, has 6.1 (fp32, one core
of an AVX-512 machine; of 1 to 3 rows the first form is the faster one). On Apple silicon and on CUDA the layers stay as they are.
"""

from __future__ import annotations

import sys
from typing import Any

import mlx.core as mx
from mlx import nn

_ROWS = 5  # from so many on it is the quicker form


def quicken(module: Any, device: str) -> None:
    """Let the linear layers of a model, and its table where that makes logits, compute by :func:`product`."""
    if device != "cpu" or sys.platform != "linux":
        return
    for _, layer in module.named_modules():
        if type(layer) in _KINDS:
            layer.__class__ = _KINDS[type(layer)]


@mx.custom_function
def product(x: Any, weight: Any) -> Any:
    """Return ``x @ weight.T``, of shapes (m, k) and (n, k)."""
    return mx.contiguous(mx.matmul(weight, mx.contiguous(x.T)).T)


@product.vjp
def _(primals: Any, cotangent: Any, _: Any) -> tuple[Any, Any]:
    x, weight = primals
    return cotangent @ weight, cotangent.T @ x


def _pays(x: Any, weight: Any) -> bool:
    """Return whether the other form is quicker: other formats have products of MLX's own."""
    return bool(x.dtype == weight.dtype == mx.float32) and x.size >= _ROWS * x.shape[-1]


def _over_rows(x: Any, weight: Any) -> Any:
    found: Any = product(x.reshape(-1, x.shape[-1]), weight)
    return found.reshape(*x.shape[:-1], -1)


class Linear(nn.Linear):
    """A linear layer."""

    def __call__(self, x: Any) -> Any:
        if not _pays(x, self.weight):
            return super().__call__(x)
        found = _over_rows(x, self.weight)
        return found + self.bias if "bias" in self else found


class Embedding(nn.Embedding):
    """A table of embeddings."""

    def as_linear(self, x: Any) -> Any:
        """Return logits, as a layer whose weights are the table."""
        if not _pays(x, self.weight):
            return super().as_linear(x)  # type: ignore[no-untyped-call]
        return _over_rows(x, self.weight)


_KINDS: dict[type, type] = {nn.Linear: Linear, nn.Embedding: Embedding}
