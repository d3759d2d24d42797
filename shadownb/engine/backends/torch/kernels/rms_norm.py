"""RMS norms as one operation: ``x / rms(x) * w``, also where the weight stands for ``1 + w`` (Gemma).

transformers' modules make six tensors of the whole width in the forward pass and as many in the backward pass. Here the rows
are gone through once for their length, and what is kept for the gradients are the rows and those lengths. In 16 bits the result
is rounded once.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable


def computed(inputs: torch.Tensor, weight: torch.Tensor, eps: float, *, offset: float = 0.0) -> torch.Tensor:
    """Return the rows of shape (..., width) over their root mean square, times ``weight + offset`` of shape (width,)."""
    found: torch.Tensor = _RmsNorm.apply(inputs, weight, eps, offset)  # type: ignore[no-untyped-call]
    return found


def plain(inputs: torch.Tensor, weight: torch.Tensor, eps: float, *, offset: float = 0.0) -> torch.Tensor:
    """Return what :func:`computed` does, by torch's own operators."""
    wide = inputs.float()
    found = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + eps) * (weight.float() + offset)
    return found.to(inputs.dtype)


def offset_of(norm: nn.Module) -> float | None:
    """Return what is added to a module's weight, None where the module computes something else than an RMS norm."""
    weight, eps = getattr(norm, "weight", None), eps_of(norm)
    if not isinstance(weight, nn.Parameter) or weight.dim() != 1 or eps is None or len(list(norm.parameters())) != 1:
        return None
    rows = torch.linspace(-2, 3, 3 * len(weight), dtype=weight.dtype, device=weight.device).view(1, 3, -1).cos()
    with torch.no_grad():
        try:
            expected = norm(rows)
        except (TypeError, RuntimeError):  # wants more than rows
            return None
        if not isinstance(expected, torch.Tensor) or expected.shape != rows.shape or expected.dtype != rows.dtype:
            return None
        relative, absolute = (1e-5, 1e-6) if weight.dtype == torch.float32 else (0.02, 0.02)
        for offset in (0.0, 1.0):
            if torch.allclose(expected, plain(rows, weight, eps, offset=offset), rtol=relative, atol=absolute):
                return offset
    return None


def eps_of(norm: nn.Module) -> float | None:
    """Return what a norm adds to the mean square, under the names that models have for it."""
    found = [getattr(norm, name) for name in ("variance_epsilon", "eps", "epsilon") if hasattr(norm, name)]
    return float(found[0]) if found and isinstance(found[0], float) else None


class _RmsNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: torch.Tensor, weight: torch.Tensor, eps: float, offset: float) -> torch.Tensor:
        wide, scale = inputs.float(), weight.float() + offset if offset else weight.float()
        length = torch.linalg.vector_norm(wide, dim=-1, keepdim=True)
        inverse = length.square_().div_(inputs.shape[-1]).add_(eps).rsqrt_()
        ctx.save_for_backward(inputs, weight, inverse)
        ctx.offset = offset
        found: torch.Tensor = (wide * inverse).mul_(scale).to(inputs.dtype)
        return found

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        inputs, weight, inverse = ctx.saved_tensors
        wide, given = inputs.float(), gradient.float()
        scale = weight.float() + ctx.offset if ctx.offset else weight.float()
        for_inputs = for_weight = None
        if ctx.needs_input_grad[0]:
            scaled = given * scale
            along = (scaled * wide).sum(-1, keepdim=True)
            along = along.mul_(inverse * inverse * inverse).div_(-inputs.shape[-1])
            for_inputs = scaled.mul_(inverse).addcmul_(wide, along).to(inputs.dtype)
        if ctx.needs_input_grad[1]:
            for_weight = (given * wide).mul_(inverse).flatten(0, -2).sum(0).to(weight.dtype)
        return for_inputs, for_weight, None, None
