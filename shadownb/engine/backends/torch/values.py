"""The scalar head of an objective: beside a model's output embeddings, and saying 0 of everything until it is trained."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import normalize

from shadownb.engine.objectives.base import ScalarHead


class Values(nn.Linear):
    """(N, width) to (N,), in 32 bits.

    Attributes
    ----------
    made
        How the objective wants it.
    """

    def __init__(self, width: int, device: torch.device, made: ScalarHead) -> None:
        super().__init__(width, 1, device=device)
        self.made = made

    def reset_parameters(self) -> None:
        """Begin with zeros, and draw nothing from the user's random numbers."""
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)

    @classmethod
    def beside(cls, output: nn.Module, device: torch.device, made: ScalarHead) -> Values:
        """Return a new head beside output embeddings."""
        return cls(int(output.weight.shape[1]), device, made)  # type: ignore[union-attr, index]

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return a value a position."""
        found: torch.Tensor = super().forward(normalize(hidden, dim=-1) if self.made.normalised else hidden)
        return found[:, 0]
