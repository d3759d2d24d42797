"""Advantages token by token (generalised advantage estimation, Schulman et al., 2016), and what a critic is judged by.

Everything here is in 64 bits and plain numbers of one answer after the other, so that it is the same on every backend.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

Rows = Sequence[Sequence[float]]  # a number a token, of each answer
_EPSILON = 1e-8


def advantages(rewards: Sequence[float], values: Sequence[float], *, gamma: float, lam: float) -> list[float]:
    """Return how much better each token of an answer was than the values said; nothing comes after the last.

    Parameters
    ----------
    rewards
        What each token earned, shape (tokens,).
    values
        What was expected to be earned from each token on, before it was chosen, shape (tokens,).
    gamma, lam
        The discount of a token, and how far rewards are believed rather than later values.
    """
    found = [0.0] * len(rewards)
    after = later = 0.0
    for at in range(len(rewards) - 1, -1, -1):
        surprise = rewards[at] + gamma * after - values[at]
        later = surprise + gamma * lam * later
        found[at], after = later, values[at]
    return found


def to_go(rewards: Sequence[float], gamma: float) -> list[float]:
    """Return what was earned from each token on, discounted, shape (tokens,)."""
    return advantages(rewards, [0.0] * len(rewards), gamma=gamma, lam=1.0)


def whitened(rows: Rows, *, shift: bool = True) -> list[list[float]]:
    """Return numbers of mean 0 and variance 1 over all tokens of all answers; without ``shift`` the mean stays (as trl has it).

    The variance is that of a sample. One number alone has none: it becomes 0, or stays.
    """
    mean, spread = moments(rows)
    kept = 0.0 if shift else mean
    return [[(number - mean) / math.sqrt(spread + _EPSILON) + kept for number in row] for row in rows]


def moments(rows: Rows) -> tuple[float, float]:
    """Return mean and variance (of a sample) over all tokens; 0 where there are too few."""
    numbers = [number for row in rows for number in row]
    if not numbers:
        return 0.0, 0.0
    mean = math.fsum(numbers) / len(numbers)
    if len(numbers) < 2:
        return mean, 0.0
    return mean, math.fsum((number - mean) ** 2 for number in numbers) / (len(numbers) - 1)


def explained_variance(values: Rows, earned: Rows) -> float | None:
    """Return which share of the variance of what was earned the values had foretold: 1 is all, 0 no more than their mean.

    Below 0 they are worse than a constant. None where everything earned the same, so that there was nothing to foretell.
    """
    spread = moments(earned)[1]
    if spread <= _EPSILON:
        return None
    missed = [
        [there - told for there, told in zip(row, said, strict=True)] for row, said in zip(earned, values, strict=True)
    ]
    return 1.0 - moments(missed)[1] / spread
