"""What the rewards of answers mean for each: how much better it is than what it is compared with.

An answer that nothing could score (None) is in no mean and no spread, and has the advantage 0; trl's trainers do so since 1.16.
The formulas of ``group`` and ``rloo`` are theirs, spreads with Bessel's correction and 1e-4 under the fraction; ``reinforce_pp`` is
REINFORCE++ (Hu et al., 2025), which compares with the whole batch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, stdev

Rewards = Sequence[Sequence["float | None"]]  # of each group, one an answer
_EPSILON = 1e-4
_EQUAL = 1e-8  # a spread that is rounding


def advantages(groups: Rewards, *, estimator: str = "group", scale: str = "group") -> list[list[float]]:
    """Return the advantage of each answer of each group.

    Parameters
    ----------
    estimator
        ``group``: less the mean of the group. ``rloo``: less the mean of the others in it. ``reinforce_pp``: less the mean of the
        batch.
    scale
        Whose spread it is divided by: ``group``, ``batch`` or ``none``.
    """
    known = [reward for group in groups for reward in group if reward is not None]
    batch = (fmean(known), spread(known)) if known else (0.0, 0.0)
    return [_of_group(group, batch, estimator, scale) for group in groups]


def spread(rewards: Sequence[float | None]) -> float:
    """Return the standard deviation (of a sample) of the rewards that are known; 0 of fewer than two."""
    known = [reward for reward in rewards if reward is not None]
    return stdev(known) if len(known) > 1 else 0.0


def is_flat(rewards: Sequence[float | None]) -> bool:
    """Whether a group's rewards do not differ, so that it teaches nothing."""
    return spread(rewards) <= _EQUAL


def _of_group(group: Sequence[float | None], batch: tuple[float, float], estimator: str, scale: str) -> list[float]:
    known = [reward for reward in group if reward is not None]
    alone = estimator == "reinforce_pp"
    if not known or (not alone and (len(known) < 2 or is_flat(group))):
        return [0.0] * len(group)
    by = {"group": spread(known), "batch": batch[1], "none": None}[scale]
    found = []
    for reward in group:
        if reward is None:
            found.append(0.0)
            continue
        others = (math.fsum(known) - reward) / (len(known) - 1) if estimator == "rloo" else fmean(known)
        baseline = batch[0] if alone else others
        advantage = reward - baseline
        found.append(advantage if by is None else advantage / (by + _EPSILON))
    return found
