"""How far two agree, beyond chance, and what moves a judge: kappa, Fisher's test, ranks, what standing first is worth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from shadownb.engine.evals.intervals import student
from shadownb.engine.evals.statistics import wilson_interval

Z = 1.959964  # 97.5 % of the normal distribution
_SAME = 1e-6  # of ranks, which are whole or half
_RANKS = 1.06  # variance of a rank correlation's z times n - 3 (Fieller and others, 1957), or n - 4 beside something held equal

Interval = tuple[float, float]


@dataclass(frozen=True)
class Position:
    """What standing first was worth to an answer, whatever it said.

    Attributes
    ----------
    value, interval
        Mean score of what stood first minus that of what stood last, and 95 % (Student's); above 0 the judge favours the first.
    groups
        Over so many groups that were shown in two orders or more.

    Examples
    --------
    >>> print(snb.judging.Position(0.2, (0.1, 0.3), 12))
    It favours what stands first: +0.20 (+0.10 to +0.30) against what stands last, over 12 groups.
    """

    value: float
    interval: Interval
    groups: int

    def __str__(self) -> str:
        low, high = self.interval
        figures = f"{self.value:+.2f} ({low:+.2f} to {high:+.2f}) against what stands last, over {self.groups} groups."
        if low > 0 or high < 0:
            return f"It favours what stands {'first' if low > 0 else 'last'}: {figures}"
        return f"No bias by position was seen: what stands first gets {figures}"


def position_of(differences: Sequence[float]) -> Position | None:
    """Return what standing first was worth, of the differences between first and last in each group; None of fewer than two."""
    if len(differences) < 2:
        return None
    values = np.array(differences)
    reach = student(len(values) - 1) * float(values.std(ddof=1)) / math.sqrt(len(values))
    return Position(float(values.mean()), (float(values.mean()) - reach, float(values.mean()) + reach), len(values))


def kappa_of(one: Any, other: Any) -> tuple[float, Interval] | None:
    """Return Cohen's kappa with 95 % (Wilson's interval of the agreement, chance taken as it is); None where chance gives all."""
    chance = float(one.mean() * other.mean() + (1 - one.mean()) * (1 - other.mean()))
    if chance >= 1:
        return None
    same = one == other
    low, high = wilson_interval(int(same.sum()), len(same))
    value, below, above = ((share - chance) / (1 - chance) for share in (float(same.mean()), low, high))
    return value, (max(-1.0, below), above)


def chance_of(people: Any, judge: Any) -> float:
    """Return how likely so many agreements are where the judge knows nothing: Fisher's exact test, one-sided."""
    total, right, said = len(people), int(people.sum()), int(judge.sum())
    both = int((people & judge).sum())
    ways = math.comb(total, said)
    return (
        sum(
            math.comb(right, k) * math.comb(total - right, said - k)
            for k in range(both, min(right, said) + 1)
            if said - k <= total - right
        )
        / ways
    )


def rank_correlation(one: Any, other: Any, given: Any) -> tuple[float, Interval] | None:
    """Return Spearman's rank correlation of two beside a third that is held equal, with 95 %; ties at their mean rank.

    Wrong answers are often longer, and a judge that gives 2 to them and 8 to right ones is further above people where these say 0:
    without what people say held equal, that would look like a liking for length. None where nothing differs beside it.
    """
    held = _mean_ranks(given)
    left = [_beside(_mean_ranks(values), held) for values in (one, other)]
    if any(rest.std() < _SAME for rest in left):
        return None
    value = float(np.corrcoef(*left)[0, 1])
    reach = Z * math.sqrt(_RANKS / max(1, len(one) - 4))
    z = math.atanh(min(0.999999, max(-0.999999, value)))
    return value, (math.tanh(z - reach), math.tanh(z + reach))


def _beside(values: Any, held: Any) -> Any:
    """Return what is left of values once a line through ``held`` is taken off."""
    if held.std() == 0:
        return values - values.mean()
    slope = float(np.cov(values, held)[0, 1] / held.var(ddof=1))
    return values - values.mean() - slope * (held - held.mean())


def _mean_ranks(values: Any) -> Any:
    _, place, count = np.unique(np.round(values, 12), return_inverse=True, return_counts=True)
    ends = np.cumsum(count)
    return ((ends - count + ends - 1) / 2)[place]
