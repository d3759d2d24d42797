"""What a critic's values are measured in: its head says how many spreads above the mean a return is, never the return itself.

So rewards of 0.01 and of 100 are learned at one rate, and a head that says 0 says the mean. Mean and spread are those of the
returns so far, older batches counting less (MAPPO's value normalisation: Yu et al., 2022).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from shadownb.engine.objectives.policy.gae import Rows, moments

_KEPT = 0.9  # of the weight of what was seen, at each batch: about the last ten count
_LEAST = 1e-4  # a spread below it is taken for it


@dataclass
class ValueScale:
    """Mean and spread of returns; part of checkpoints.

    Attributes
    ----------
    on
        Whether values are scaled at all; else the head says returns themselves.
    weight
        How much was seen; 0 is nothing yet.
    """

    on: bool = True
    weight: float = 0.0
    mean: float = 0.0
    square: float = 0.0

    @property
    def spread(self) -> float:
        """The standard deviation of what was seen."""
        if not self.on or not self.weight:
            return 1.0
        return max(_LEAST, math.sqrt(max(0.0, self.square - self.mean**2)))

    def look(self, returns: Rows) -> None:
        """Take the returns of a batch into mean and spread."""
        if not self.on or not returns:
            return
        mean, variance = moments(returns)
        self.weight, before = self.weight * _KEPT + 1.0, self.weight * _KEPT
        share = before / self.weight
        self.mean = share * self.mean + (1 - share) * mean
        self.square = share * self.square + (1 - share) * (variance + mean**2)

    def told(self, said: Sequence[float]) -> list[float]:
        """Return the values that a head means by what it says."""
        return [one * self.spread + (self.mean if self.on else 0.0) for one in said]

    def said(self, returns: Sequence[float]) -> list[float]:
        """Return what a head should say of returns."""
        return [(one - (self.mean if self.on else 0.0)) / self.spread for one in returns]

    def state_dict(self) -> dict[str, Any]:
        """Return the state as JSON-compatible values."""
        return asdict(self)
