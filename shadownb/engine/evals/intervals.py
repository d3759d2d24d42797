"""How sure a mean is, and a difference: intervals that hold what they say also for few items, clusters and shares near 0 or 1.

``benchmarks/coverage.py`` draws data sets of which the truth is known and counts how often it lies inside; what was chosen
here was chosen by that table.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shadownb.engine.evals.statistics import sign_test
from shadownb.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np

LEVEL = 0.95
POWER = 0.8


@dataclass(frozen=True)
class Mean:
    """A mean with its interval.

    Attributes
    ----------
    value, low, high
        The mean and its 95 % interval, in the unit of the scores. NaN where there is no item.
    items
        How many items it is of.
    clusters
        How many groups of items that share a source there are; items where none do.
    effective
        How many independent items would be as sure. Below ``items`` where those of a cluster are alike.
    """

    value: float
    low: float
    high: float
    items: int
    clusters: int
    effective: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f}, {self.items} items)"


@dataclass(frozen=True)
class Difference:
    """What one side scored more than another on the same items.

    Attributes
    ----------
    value, low, high
        Mean of the items' differences and its 95 % interval.
    items, clusters
        As of a :class:`Mean`.
    wins, losses, ties
        Items on which it scored higher, lower, the same.
    p_value
        Exact two-sided sign test of wins against losses; of clusters' mean differences where items share a source.
    items_needed
        How many items would show a difference of this size in four of five tries; None where none was seen.
    """

    value: float
    low: float
    high: float
    items: int
    clusters: int
    wins: int
    losses: int
    p_value: float
    items_needed: int | None

    @property
    def ties(self) -> int:
        """Items on which both scored the same."""
        return self.items - self.wins - self.losses

    def __str__(self) -> str:
        return f"{self.value:+.3f} ({self.low:+.3f} to {self.high:+.3f}; {self.wins} better, {self.losses} worse)"


def mean_of(scores: Sequence[float], clusters: Sequence[Hashable] | None = None) -> Mean:
    """Return the mean of items' scores with a 95 % interval.

    Scores between 0 and 1 get Wilson's interval for as many independent items as the scatter of the clusters' means is worth
    (shares of several samples an item, and items that share a source, too); others Student's of the clusters.

    Parameters
    ----------
    scores
        One a item; the mean of its samples where there are several.
    clusters
        Of each item what it shares with others (a source text, a database); None: each stands alone.

    Raises
    ------
    ConfigError
        ``clusters`` are not one an item.
    """
    import numpy as np

    values = np.asarray(scores, dtype=np.float64)
    count = len(values)
    if count == 0:
        return Mean(math.nan, math.nan, math.nan, 0, 0, 0.0)
    sums, sizes = _clustered(values, clusters)
    groups, mean = len(sizes), float(values.mean())
    variance = _variance_of_mean(sums - mean * sizes, count)
    t = student(groups - 1)
    if values.min() < 0 or values.max() > 1:
        half = t * math.sqrt(variance) if groups > 1 else math.inf
        plain = float(values.var(ddof=1)) / count if count > 1 else math.nan
        effective = count if variance <= 0 or math.isnan(plain) else min(count, count * plain / variance)
        return Mean(mean, mean - half, mean + half, count, groups, float(effective))
    binary = bool(np.all((values == 0) | (values == 1)))
    if binary and groups == count:
        effective, quantile = float(count), _z()
    else:
        # A share whose items all agree has no scatter to see; its clusters are then what is independent.
        within = mean * (1 - mean)
        effective = within / variance if variance > 0 and within > 0 else float(groups)
        effective, quantile = max(1.0, effective if not binary else min(effective, float(count))), t
    low, high = _wilson(mean, effective, quantile)
    return Mean(mean, low, high, count, groups, effective)


def difference_of(
    scores: Sequence[float], others: Sequence[float], clusters: Sequence[Hashable] | None = None
) -> Difference:
    """Return how much higher ``scores`` are than ``others``, item by item, with a 95 % interval.

    Student's interval of the clusters' differences, to which one win and one loss of the largest size seen are added (Bonett and
    Price 2012 for pairs of 0 and 1), without which a comparison in which little changed looks surer than it is.

    Raises
    ------
    ConfigError
        They are not of the same items.
    """
    import numpy as np

    if len(scores) != len(others):
        raise ConfigError(
            f"{len(scores)} scores cannot be paired with {len(others)}.",
            fix="Give both sides' scores of the same items.",
        )
    gaps = np.asarray(scores, dtype=np.float64) - np.asarray(others, dtype=np.float64)
    count = len(gaps)
    if count == 0:
        return Difference(math.nan, math.nan, math.nan, 0, 0, 0, 0, 1.0, None)
    sums, sizes = _clustered(gaps, clusters)
    wins, losses = int((gaps > 0).sum()), int((gaps < 0).sum())
    value = float(gaps.mean())
    largest = float(np.abs(gaps).max()) or 1.0
    padded = np.concatenate([sums, [largest, -largest]])
    padded_sizes = np.concatenate([sizes, [1.0, 1.0]])
    middle = float(padded.sum() / padded_sizes.sum())
    variance = _variance_of_mean(padded - middle * padded_sizes, float(padded_sizes.sum()))
    half = student(len(padded) - 1) * math.sqrt(variance)
    # Shares differ by at most 1.
    most = 1.0 if min(*scores, *others) >= 0 and max(*scores, *others) <= 1 else math.inf
    signs = np.sign(sums)
    p_value = sign_test(int((signs > 0).sum()), int((signs < 0).sum()))
    return Difference(
        value,
        max(-most, middle - half),
        min(most, middle + half),
        count,
        len(sizes),
        wins,
        losses,
        p_value,
        items_needed(gaps, abs(value)) if value else None,
    )


def items_needed(gaps: Any, difference: float) -> int | None:
    """Return how many items show a difference of this size in four of five tries, at 95 %; None where nothing scatters."""
    import numpy as np

    values = np.asarray(gaps, dtype=np.float64)
    spread = float(values.var(ddof=1)) if len(values) > 1 else 0.0
    if spread <= 0 or difference <= 0:
        return None
    return math.ceil((_z() + _quantile(POWER)) ** 2 * spread / difference**2)


def pass_at_k(right: int, samples: int, k: int) -> float:
    """Return the chance that one of ``k`` samples of a problem is right, of which ``right`` of ``samples`` were.

    Without bias: 1 - C(samples - right, k) / C(samples, k) (Chen et al. 2021).

    Raises
    ------
    ConfigError
        There are fewer samples than ``k``.
    """
    if not 1 <= k <= samples:
        raise ConfigError(f"k={k} of {samples} samples.", fix=f"Ask for k from 1 to {samples}, or draw more samples.")
    return 1.0 - math.comb(samples - right, k) / math.comb(samples, k)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values that hold for all of several comparisons together (Holm 1979), in their order."""
    order = sorted(range(len(p_values)), key=lambda place: p_values[place])
    corrected, before = [1.0] * len(p_values), 0.0
    for rank, place in enumerate(order):
        before = max(before, min(1.0, (len(p_values) - rank) * p_values[place]))
        corrected[place] = before
    return corrected


def _clustered(values: np.ndarray, clusters: Sequence[Hashable] | None) -> tuple[np.ndarray, np.ndarray]:
    """Return each cluster's sum and size."""
    import numpy as np

    if clusters is None:
        return values, np.ones(len(values))
    if len(clusters) != len(values):
        raise ConfigError(f"{len(clusters)} clusters for {len(values)} items.", fix="Give one a item.")
    places: dict[Hashable, int] = {}
    of = np.asarray([places.setdefault(cluster, len(places)) for cluster in clusters])
    return np.bincount(of, weights=values), np.bincount(of).astype(np.float64)


def _variance_of_mean(residuals: np.ndarray, count: float) -> float:
    """Return the variance of a mean from the sums of the clusters' residuals."""
    groups = len(residuals)
    return float((residuals**2).sum()) / count**2 * groups / (groups - 1) if groups > 1 else 0.0


def _wilson(share: float, count: float, z: float) -> tuple[float, float]:
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(max(0.0, share * (1 - share) / count + z * z / (4 * count * count)))
    return max(0.0, middle - half), min(1.0, middle + half)


def _quantile(chance: float) -> float:
    from statistics import NormalDist

    return NormalDist().inv_cdf(chance)


def _z() -> float:
    return _quantile((1 + LEVEL) / 2)


def student(freedom: int) -> float:
    """Return Student's quantile for a 95 % interval; without a degree of freedom nothing is known."""
    from scipy import special

    return float(special.stdtrit(freedom, (1 + LEVEL) / 2)) if freedom > 0 else math.inf
