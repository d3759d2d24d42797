"""The array functions of losses on torch, and the trained tokens of a batch; see :mod:`shadownb.engine.objectives.arrays`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch.nn.functional import logsigmoid

from shadownb.engine.backends.torch.packed_batch import PackedBatch
from shadownb.engine.objectives.arrays import Need


class TorchOps:
    """Functions of tensors, with those made of numbers on a device."""

    exp = staticmethod(torch.exp)
    log = staticmethod(torch.log)
    log_sigmoid = staticmethod(logsigmoid)
    sigmoid = staticmethod(torch.sigmoid)
    relu = staticmethod(torch.relu)
    abs = staticmethod(torch.abs)
    minimum = staticmethod(torch.minimum)
    mean = staticmethod(torch.mean)
    stop = staticmethod(torch.Tensor.detach)

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def sum(self, x: torch.Tensor, axis: int | None = None) -> torch.Tensor:
        """Return the sum of all, or along one axis."""
        return x.sum() if axis is None else x.sum(dim=axis)

    def where(self, condition: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Return values of ``x`` where the condition holds, else of ``y``."""
        return torch.where(condition, x, y)

    def clip(self, x: torch.Tensor, low: float | None, high: float | None) -> torch.Tensor:
        """Return the values within two limits; None is none."""
        return torch.clamp(x, min=low, max=high)

    def stack(self, parts: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return tensors of one shape along a new first axis."""
        return torch.stack(tuple(parts))

    def numbers(self, values: Any) -> torch.Tensor:
        """Return a tensor of (nested) numbers or bools."""
        return torch.tensor(values, device=self._device)

    def listed(self, x: torch.Tensor) -> Any:
        """Return (nested) Python numbers."""
        return x.tolist()


@dataclass(frozen=True)
class Watched:
    """What a forward pass left at the trained positions, as far as an objective needs it: (N, vocabulary), (N, width), (N,)."""

    needs: frozenset[Need] = frozenset()
    logits: torch.Tensor | None = None
    hidden: torch.Tensor | None = None
    value: torch.Tensor | None = None


class TorchTokens:
    """The trained tokens of a batch, in the order of its targets.

    Attributes
    ----------
    logp
        Shape (N,).
    """

    def __init__(self, logp: torch.Tensor, batch: PackedBatch, watched: Watched | None = None) -> None:
        self.logp = logp
        self.rows = batch.rows
        self._owners = batch.owners
        self._watched = watched or Watched()

    def by_row(self, values: torch.Tensor) -> torch.Tensor:
        """Sum (N,) values to (rows,)."""
        return values.new_zeros(self.rows).index_add(0, self._owners, values)

    def over(self, values: Sequence[float]) -> torch.Tensor:
        """Give each token the number of its row."""
        return self.logp.new_tensor(values)[self._owners]

    def spread(self, values: Sequence[Sequence[Any]]) -> torch.Tensor:
        """Give each token its own number, or its own k, from a list a row."""
        return self._spread(values, self.logp.dtype)

    def _spread(self, values: Sequence[Sequence[Any]], dtype: torch.dtype) -> torch.Tensor:
        found = torch.empty_like(self.logp, dtype=dtype, requires_grad=False)
        for row, places in self._places.items():
            part = torch.tensor(values[row], dtype=dtype, device=found.device)
            if part.shape[1:] != found.shape[1:]:  # the first one says how many numbers a token has
                found = found.new_empty((len(found), *part.shape[1:]))
            found[places] = part
        return found

    def listed(self, values: torch.Tensor) -> list[list[float]]:
        """Return (N,) values as a list a row."""
        empty: list[float] = []
        return [values[self._places[row]].tolist() if row in self._places else empty for row in range(self.rows)]

    @cached_property
    def _places(self) -> dict[int, torch.Tensor]:
        return {row: (self._owners == row).nonzero()[:, 0] for row in set(self._owners.tolist())}

    @property
    def entropy(self) -> torch.Tensor:
        """Shape (N,), in nats."""
        logs = torch.log_softmax(self._logits("entropy"), dim=-1)
        return -(logs.exp() * logs).sum(dim=-1)

    def top_k(self, k: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the k most likely tokens and their log-probabilities, both (N, k)."""
        values, tokens = torch.log_softmax(self._logits("top_k"), dim=-1).topk(k, dim=-1)
        return tokens, values

    def logp_of(self, ids: Sequence[Sequence[Sequence[int]]]) -> torch.Tensor:
        """Return the log-probabilities of k given tokens at each position, shape (N, k)."""
        kept = self._logits("logits" if "logits" in self._watched.needs else "top_k")
        return torch.log_softmax(kept, dim=-1).gather(1, self._spread(ids, torch.long))

    @property
    def logits(self) -> torch.Tensor:
        """Shape (N, vocabulary)."""
        return self._logits("logits")

    @property
    def hidden(self) -> torch.Tensor:
        """Shape (N, width)."""
        return self._asked_for("hidden", self._watched.hidden)

    @property
    def value(self) -> torch.Tensor:
        """Shape (N,)."""
        return self._asked_for("value", self._watched.value)

    def _logits(self, need: Need) -> torch.Tensor:
        return self._asked_for(need, self._watched.logits)

    def _asked_for(self, need: Need, found: torch.Tensor | None) -> torch.Tensor:
        if need not in self._watched.needs or found is None:
            raise AttributeError(f"The forward pass kept no {need}: the objective's needs do not name it.")
        return found
