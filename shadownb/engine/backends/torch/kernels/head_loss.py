"""The output head and the negative log-probability of each target as one operation.

Logits of a few rows at a time are made into probabilities and, where the head is frozen, at once into the gradient of the
rows: no more than ``CHUNK`` rows of logits stand at any time, instead of all of them several times. What an objective makes of the
log-probabilities is a factor a row, which comes in the backward pass. A head that is trained keeps the probabilities until then.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.autograd.function import once_differentiable
from torch.nn.functional import cross_entropy, linear

from shadownb.engine.backends.torch.kernels import onednn_linear

CHUNK = 256  # rows: 50 MB of logits for a vocabulary of 49,152, and a product that is as fast as a longer one


def computed(
    hidden: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, targets: torch.Tensor, *, onednn: bool
) -> torch.Tensor:
    """Return the negative log-probability of each target, shape (N,), in 32 bits and nats.

    Parameters
    ----------
    hidden
        Shape (N, width), in the head's number format.
    weight, bias
        Of the head, shapes (vocabulary, width) and (vocabulary,).
    targets
        Shape (N,), int64.
    """
    product = onednn_linear.product if onednn else onednn_linear.plain
    if weight.requires_grad or (bias is not None and bias.requires_grad):
        found = _TrainedHead.apply(hidden, weight, bias, targets, product)  # type: ignore[no-untyped-call]
    else:
        found = _FrozenHead.apply(hidden, weight, bias, targets, product)  # type: ignore[no-untyped-call]
    assert isinstance(found, torch.Tensor)
    return found


def plain(hidden: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, targets: torch.Tensor) -> torch.Tensor:
    """Return what :func:`computed` does, by torch's own operators."""
    return cross_entropy(linear(hidden, weight, bias).float(), targets, reduction="none")


def _probabilities(logits: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (negative log-probabilities of the targets, probabilities); the latter take the place of 32-bit logits."""
    wide = logits.float()
    wide.sub_(wide.amax(-1, keepdim=True))
    chosen = wide.gather(1, targets[:, None])[:, 0]
    total = wide.exp_().sum(-1)
    return total.log() - chosen, wide.div_(total[:, None])


def _gradient(probabilities: torch.Tensor, targets: torch.Tensor, factor: torch.Tensor | None = None) -> torch.Tensor:
    """Return the gradient of the logits, in the place of the probabilities where there is no factor."""
    scaled = probabilities if factor is None else probabilities * factor[:, None]
    less = probabilities.new_ones(len(targets)) if factor is None else factor
    return scaled.scatter_add_(1, targets[:, None], -less[:, None])


class _FrozenHead(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        targets: torch.Tensor,
        product: Callable[..., torch.Tensor],
    ) -> torch.Tensor:
        found = hidden.new_empty(len(hidden), dtype=torch.float32)
        gradient = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        for at in range(0, len(hidden), CHUNK):
            part = slice(at, at + CHUNK)
            found[part], likely = _probabilities(product(hidden[part], weight, bias), targets[part])
            if gradient is not None:
                gradient[part] = product(_gradient(likely, targets[part]).to(hidden.dtype), weight.t())
        ctx.save_for_backward(gradient)
        return found

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, factor: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        return (gradient * factor[:, None]).to(gradient.dtype), None, None, None, None


class _TrainedHead(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        targets: torch.Tensor,
        product: Callable[..., torch.Tensor],
    ) -> torch.Tensor:
        found, likely = _probabilities(product(hidden, weight, bias), targets)
        ctx.save_for_backward(hidden, weight, likely, targets)
        ctx.product = product
        return found

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, factor: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        hidden, weight, likely, targets = ctx.saved_tensors
        gradient = _gradient(likely, targets, factor).to(hidden.dtype)
        return (
            ctx.product(gradient, weight.t()) if ctx.needs_input_grad[0] else None,
            ctx.product(gradient.t(), hidden.t()) if ctx.needs_input_grad[1] else None,
            gradient.sum(0) if ctx.needs_input_grad[2] else None,
            None,
            None,
        )
