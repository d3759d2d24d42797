"""Products of a frozen base with what an adapter adds to them, summed in 32 bits and rounded once (see rounded_once)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch.autograd.function import once_differentiable
from torch.nn.functional import pad
from transformers.pytorch_utils import Conv1D

from shadownb.engine.backends.torch import quantized

_PADDED = 8  # columns that a bias takes in the product: GPUs want multiples of eight


@dataclass(frozen=True)
class Expert:
    """One expert's matrix in the tensor of all.

    Attributes
    ----------
    tensor
        All experts, shape (experts, ., .).
    index
        Which of them.
    transposed
        Whether a matrix lies as (in, out) and not as (out, in).
    """

    tensor: torch.Tensor
    index: int
    transposed: bool


def matrix_of(base: Any) -> torch.Tensor:
    """Return what rows are multiplied by, shape (in, out), without a copy where the base has it."""
    if isinstance(base, Expert):
        return base.tensor[base.index] if base.transposed else base.tensor[base.index].t()
    if quantized.is_4bit(base):
        return quantized.dense(base).t()
    weight: torch.Tensor = base.weight
    return weight if isinstance(base, Conv1D) else weight.t()


class Onto(torch.autograd.Function):
    """``added + rows W + bias`` of a frozen base, summed in 32 bits and rounded once; shapes (T, in), (T, out) to (T, out).

    ``factor`` (out,) is for DoRA, which has ``(factor - 1) rows W`` in ``added`` without a gradient: it comes in here.
    """

    @staticmethod
    def forward(
        ctx: Any,
        rows: torch.Tensor,
        added: torch.Tensor,
        base: Any,
        bias: torch.Tensor | None,
        factor: torch.Tensor | None,
    ) -> torch.Tensor:
        ctx.base, ctx.factor = base, None if factor is None else factor.detach()
        ctx.mark_dirty(added)
        matrix = matrix_of(base)
        if bias is not None:  # one more row of the matrix, because only one thing can be started from
            matrix = torch.cat((matrix, pad(bias.to(matrix.dtype)[None], (0, 0, 0, _PADDED - 1))))
            rows = pad(pad(rows, (0, 1), value=1.0), (0, _PADDED - 1))
        return added.addmm_(rows, matrix)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        for_rows = None
        if ctx.needs_input_grad[0]:
            scaled = gradient if ctx.factor is None else (gradient * ctx.factor).to(gradient.dtype)
            for_rows = scaled @ matrix_of(ctx.base).t()  # of 4 bits unpacked again, so that nothing dense is kept
        return for_rows, gradient, None, None, None


class Narrow(torch.autograd.Function):
    """``s B A x`` in 32 bits; what is kept for the gradients are the rows in the bits they came in."""

    @staticmethod
    def forward(ctx: Any, rows: torch.Tensor, down: torch.Tensor, up: torch.Tensor, scaling: float) -> torch.Tensor:
        inner = rows.float() @ down.t()
        ctx.save_for_backward(rows, down, up, inner)
        ctx.scaling = scaling
        return (inner * scaling) @ up.t()

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        rows, down, up, inner = ctx.saved_tensors
        for_inner = (gradient @ up).mul_(ctx.scaling)
        for_rows = (for_inner @ down).to(rows.dtype) if ctx.needs_input_grad[0] else None
        for_down = for_inner.t() @ rows.float() if ctx.needs_input_grad[1] else None
        for_up = (gradient.t() @ inner).mul_(ctx.scaling) if ctx.needs_input_grad[2] else None
        return for_rows, for_down, for_up, None
