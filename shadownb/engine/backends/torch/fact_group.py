"""Experts of a few facts that are trained together: what lies below them is computed once, and each has Adam of its own.

Only what is added behind the last block's feed-forward network is trained, so the input of that and the stream that it is added
to are the same at every step and for every expert. A step is two thin batched products, the last norm and the output head.
Gradients are of the sum of each expert's own mean loss, so who is trained beside it changes nothing of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.functional import cross_entropy, pad

from shadownb.engine.backends.torch.kernels import head_loss, onednn_linear

_BETAS, _EPS = (0.9, 0.999), 1e-8
_POSITIONS = 512  # whose logits are computed at once


@dataclass(frozen=True)
class Seen:
    """What one unit's trained positions see, n of them.

    Attributes
    ----------
    inner
        What the last feed-forward layer reads, shape (n, inner).
    stream
        The last block's output, shape (n, hidden).
    targets
        The next tokens, shape (n,).
    """

    inner: torch.Tensor
    stream: torch.Tensor
    targets: torch.Tensor


class FactGroup:
    """Experts of units, stacked: ``down`` (units, rank, inner) and ``up`` (units, hidden, rank)."""

    def __init__(self, seen: Sequence[Seen], tail: Tail, down: torch.Tensor, up: torch.Tensor, scale: float) -> None:
        self.down, self.up = nn.Parameter(down), nn.Parameter(up)
        self._tail, self._scale, self._seen = tail, scale, list(seen)
        self.moments = {name: torch.zeros_like(p) for name, p in self._moments()}

    def _moments(self) -> list[tuple[str, torch.Tensor]]:
        parts = (("down", self.down), ("up", self.up))
        return [(f"{kind}.{name}", p.detach()) for name, p in parts for kind in ("mean", "square")]

    def compute(self) -> torch.Tensor:
        """Leave the gradients; returns each expert's mean loss, shape (units,)."""
        self.down.grad = self.up.grad = None
        losses = [self._part(part) for part in self._parts()]
        return torch.cat(losses)

    def _parts(self) -> list[slice]:
        """Return the experts in runs whose positions are computed at once."""
        parts, start, size = [], 0, 0
        for number, seen in enumerate(self._seen):
            if size and size + len(seen.targets) > _POSITIONS:
                parts.append(slice(start, number))
                start, size = number, 0
            size += len(seen.targets)
        return [*parts, slice(start, len(self._seen))]

    def _part(self, part: slice) -> torch.Tensor:
        seen = self._seen[part]
        counts = [len(each.targets) for each in seen]
        most = max(counts)
        inner = torch.stack([pad(each.inner, (0, 0, 0, most - n)) for each, n in zip(seen, counts, strict=True)])
        there = torch.arange(most, device=inner.device)[None] < torch.tensor(counts, device=inner.device)[:, None]
        added = (inner @ self.down[part].mT @ self.up[part].mT)[there] * self._scale
        stream, targets = (torch.cat([getattr(each, name) for each in seen]) for name in ("stream", "targets"))
        nll = self._tail.nll(stream + added, targets)
        losses = torch.stack([each.mean() for each in torch.split(nll, counts)])  # type: ignore[no-untyped-call]
        losses.sum().backward()  # type: ignore[no-untyped-call]
        return losses.detach()

    @torch.no_grad()
    def update(self, rate: float, done: int) -> float:
        """Move every expert by Adam, the ``done + 1``-th time; returns the norm of all gradients."""
        square = 0.0
        for name, parameter in (("down", self.down), ("up", self.up)):
            gradient = parameter.grad
            assert gradient is not None
            square += float(gradient.square().sum())
            mean, second = self.moments[f"mean.{name}"], self.moments[f"square.{name}"]
            mean.lerp_(gradient, 1 - _BETAS[0])
            second.lerp_(gradient.square(), 1 - _BETAS[1])
            ahead, spread = (1 - beta ** (done + 1) for beta in _BETAS)
            parameter.sub_(rate / ahead * mean / ((second / spread).sqrt() + _EPS))
        self.down.grad = self.up.grad = None
        return math.sqrt(square)


class Tail:
    """What a model does behind its blocks: the last norm and the output embeddings."""

    def __init__(self, norm: nn.Module, head: Any) -> None:
        self._norm, self._head = norm, head

    def __call__(self, stream: torch.Tensor) -> torch.Tensor:
        """Return the logits of a stream of shape (n, hidden)."""
        logits: torch.Tensor = self._head(self._read(stream))
        return logits

    def nll(self, stream: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the negative log-probability of each target behind a stream, shape (n,), in 32 bits."""
        weight, bias = getattr(self._head, "weight", None), getattr(self._head, "bias", None)
        if type(self._head) is not nn.Linear or weight is None:  # quantised, or with something of its own
            return cross_entropy(self(stream).float(), targets, reduction="none")
        onednn = not onednn_linear.refused(weight.dtype, weight.device)
        return head_loss.computed(self._read(stream), weight, bias, targets, onednn=onednn)

    def _read(self, stream: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self._norm(stream.to(self._head.weight.dtype))
        return found
