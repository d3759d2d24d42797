"""The few statistics that a paired comparison needs. Random draws come from a private, seeded generator."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

_RESAMPLES = 10_000
# Resampling indices held at once; bounds the memory for large sets.
_CHUNK = 2_000_000


def bootstrap_interval(values: Sequence[float], *, level: float = 0.95, seed: int = 0) -> tuple[float, float]:
    """Return the percentile bootstrap interval of the mean of ``values``.

    With paired values (one difference a row) this is the paired bootstrap. Returns NaNs for no values.
    """
    import numpy as np

    data = np.asarray(values, dtype=np.float64)
    if data.size == 0:
        return math.nan, math.nan
    generator = np.random.default_rng(seed)
    means = np.empty(_RESAMPLES)
    step = max(1, _CHUNK // data.size)
    for begin in range(0, _RESAMPLES, step):
        count = min(step, _RESAMPLES - begin)
        means[begin : begin + count] = data[generator.integers(0, data.size, (count, data.size))].mean(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def wilson_interval(successes: int, total: int, *, level: float = 0.95) -> tuple[float, float]:
    """Return Wilson's score interval of a share; unlike the bootstrap it has a width at 0 and at 1."""
    if total == 0:
        return math.nan, math.nan
    z = NormalDist().inv_cdf((1 + level) / 2)
    share = successes / total
    middle = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    return max(0.0, middle - half), min(1.0, middle + half)


def mean_interval(values: Sequence[float]) -> tuple[float, float]:
    """Return a 95 % interval of the mean: Wilson's where every value is 0 or 1, else the bootstrap's."""
    if all(v in (0, 1) for v in values):
        return wilson_interval(int(sum(values)), len(values))
    return bootstrap_interval(values)


def sign_test(wins: int, losses: int) -> float:
    """Return the exact two-sided p-value of ``wins`` against ``losses`` under even odds.

    On scores of 0 and 1 this is McNemar's exact test. Rows without a change say nothing and are left out.
    """
    changed = wins + losses
    ways = tail = 1
    for k in range(min(wins, losses)):
        ways = ways * (changed - k) // (k + 1)
        tail += ways
    # Dividing whole numbers keeps this exact where 2.0**changed would overflow.
    return min(1.0, float(2 * tail / 2**changed))
