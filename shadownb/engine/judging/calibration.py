"""A judge measured by people: how far they agree, what moves it, and means with intervals that hold although a judge errs.

People judge some items, the judge all of them. Where people say right or wrong, the judge's verdicts make two groups of items, and
the share of right ones in each is known from people, with Wilson's interval; the mean over all is put together from these by how
large the groups are (post-stratification), and so is its interval, limit by limit (MOVER, Zou and Donner 2008). Where people give
grades, the judge's scores carry the mean and people's differences from them correct it (prediction-powered inference with the
weight that makes it narrowest, Angelopoulos and others 2023). ``benchmarks/judge_coverage.py`` has how often both hold.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from shadownb.engine.evals.intervals import student
from shadownb.engine.evals.statistics import wilson_interval
from shadownb.errors import ConfigError, DataError

_FEWEST = 8  # verdicts of people; of fewer an interval says nothing
_Z = 1.959964  # 97.5 % of the normal distribution
_CHANCE = 0.05


@dataclass(frozen=True)
class Calibration:
    """What people's verdicts say of a judge, and of what it judged.

    Attributes
    ----------
    people, items
        How many items people judged, of how many the judge did.
    agreement, kappa
        Share of items on which both say the same, right or wrong by the threshold; the same beyond what chance would give
        (Cohen), None where both say the same of all.
    mean, interval
        Mean of the items as people would judge all of them, with 95 %.
    judge_mean, people_mean, people_interval
        What the judge alone says, and what people's items alone say: without the judge it would be no narrower.
    length
        Rank correlation of how much the judge is over people with how long the answer is, -1 to 1: above 0 it favours long
        answers. None without lengths, or where nothing differs.
    by_chance
        Whether such an agreement comes about by chance in more than 5 % of the cases: the judge is no better than a coin then.

    Examples
    --------
    >>> said = [0.9, 0.8, 0.9, 0.1, 0.2, 0.1, 0.9, 0.1, 0.7, 0.3]
    >>> clicks = {0: 1, 1: 1, 2: 0, 3: 0, 4: 0, 5: 0, 6: 1, 7: 0, 8: 1}
    >>> found = snb.judging.calibrate(said, clicks)
    >>> round(found.agreement, 2), found.by_chance
    (0.89, False)
    """

    people: int
    items: int
    agreement: float
    kappa: float | None
    mean: float
    interval: tuple[float, float]
    judge_mean: float
    people_mean: float
    people_interval: tuple[float, float]
    length: float | None
    by_chance: bool
    _judge: tuple[float, ...] = ()
    _people: tuple[float, ...] = ()
    _rest: tuple[float, ...] = ()
    _threshold: float = 0.5

    @property
    def width(self) -> float:
        """How wide the interval is.

        Examples
        --------
        >>> snb.judging.calibrate([0.9, 0.1] * 50, dict(enumerate([1, 0] * 6))).width < 0.5
        True
        """
        return self.interval[1] - self.interval[0]

    def more_clicks(self, width: float) -> int | None:
        """Return how many more items people have to judge until the interval is this wide, about; None where all are not enough.

        Raises
        ------
        ConfigError
            ``width`` is not above 0 and below 1.

        Examples
        --------
        >>> found = snb.judging.calibrate([0.9, 0.1] * 50, dict(enumerate([1, 0] * 6)))
        >>> found.more_clicks(0.5)
        0
        """
        if not 0 < width < 1:
            raise ConfigError(f"width={width!r} is no width.", fix="Give a number above 0 and below 1, such as 0.1.")
        judge, people, rest = map(np.array, (self._judge, self._people, self._rest))
        for more in sorted({0, *(round(self.people * (1.1**n - 1)) for n in range(80)), len(rest)}):
            if more <= len(rest):
                factor = (self.people + more) / self.people
                low, high = _interval(judge, people, rest, self._threshold, factor)[1]
                if high - low <= width:
                    return more
        return None

    def __str__(self) -> str:
        low, high = self.interval
        alone = self.people_interval
        lines = [
            f"{self.people} of {self.items:,} items were judged by people, who agree with the judge on {self.agreement:.0%}"
            + (f" (kappa {self.kappa:.2f})" if self.kappa is not None else ""),
            f"mean {self.mean:.3f} ({low:.3f} to {high:.3f}); the judge alone says {self.judge_mean:.3f}, "
            f"people's items alone {self.people_mean:.3f} ({alone[0]:.3f} to {alone[1]:.3f})",
        ]
        if self.by_chance:
            lines.append("The judge is no better than chance here.")
        if self.length is not None and abs(self.length) > 0.3:
            lines.append(
                f"It favours {'long' if self.length > 0 else 'short'} answers (rank correlation {self.length:+.2f})."
            )
        return "\n".join(lines)


def calibrate(
    judge: Sequence[float | None],
    people: Mapping[int, Any] | Sequence[Any],
    *,
    lengths: Sequence[float] | None = None,
    threshold: float = 0.5,
) -> Calibration:
    """Measure a judge by people's verdicts on some of the same items.

    Parameters
    ----------
    judge
        The judge's score of each item, 0 to 1; None where it gave none. Such an item is left out.
    people
        Their verdict by the number of the item, or one for each item with None where nobody judged: True and False, or 0 to 1. The
        items have to be drawn by chance, not the ones that looked wrong.
    lengths
        How long each answer is, in any unit.
    threshold
        The least score that counts as right.

    Raises
    ------
    DataError
        People have judged fewer than 8 of the items.
    ConfigError
        A score or verdict is no number from 0 to 1, or there are not as many lengths as items.

    Examples
    --------
    >>> found = snb.judging.calibrate([0.9, 0.1] * 50, dict(enumerate([1, 0] * 6)))
    >>> found.people, found.items, round(found.mean, 2)
    (12, 100, 0.5)
    """
    given = dict(people) if isinstance(people, Mapping) else dict(enumerate(people))
    if lengths is not None and len(lengths) != len(judge):
        raise ConfigError(f"lengths= has {len(lengths)} numbers for {len(judge)} items.")
    unknown = [at for at in given if not isinstance(at, int) or not 0 <= at < len(judge)]
    if unknown:
        raise ConfigError(f"people= judges item {unknown[0]!r}, and there are {len(judge)}.")
    scores = {at: _checked("judge", at, score) for at, score in enumerate(judge) if score is not None}
    verdicts = {at: _checked("people", at, v) for at, v in given.items() if v is not None and at in scores}
    if len(verdicts) < _FEWEST:
        raise DataError(
            f"People have judged {len(verdicts)} of {len(scores)} items.",
            fix=f"At least {_FEWEST} are needed, drawn by chance.",
        )
    places = sorted(verdicts)
    f = np.array([scores[at] for at in places])
    y = np.array([verdicts[at] for at in places])
    rest = np.array([score for at, score in scores.items() if at not in verdicts])
    right, said = y >= threshold, f >= threshold
    mean, interval = _interval(f, y, rest, threshold)
    binary = bool(np.isin(y, (0, 1)).all())
    alone = wilson_interval(int(y.sum()), len(y)) if binary else _plain(y)
    over = None if lengths is None else _ranks(f - y, np.array([lengths[at] for at in places]))
    return Calibration(
        len(y),
        len(scores),
        float((right == said).mean()),
        _kappa(right, said),
        mean,
        interval,
        float(np.concatenate([f, rest]).mean()),
        float(y.mean()),
        alone,
        over,
        _chance_of(right, said) > _CHANCE,
        tuple(f),
        tuple(y),
        tuple(rest),
        threshold,
    )


def _checked(name: str, at: int, value: Any) -> float:
    number = float(value) if isinstance(value, bool | int | float | np.generic) else math.nan
    if not 0 <= number <= 1:
        raise ConfigError(f"{name}= says {value!r:.40} of item {at}, which is no number from 0 to 1.")
    return number


def _interval(f: Any, y: Any, rest: Any, threshold: float, factor: float = 1.0) -> tuple[float, tuple[float, float]]:
    """Return mean and interval; ``factor`` is how many times as many verdicts of people there would be."""
    if np.isin(y, (0, 1)).all():
        return _in_strata(f >= threshold, y, rest >= threshold, factor)
    return _powered(f, y, rest, factor)


def _in_strata(f: Any, y: Any, rest: Any, factor: float) -> tuple[float, tuple[float, float]]:
    everything = np.concatenate([f, rest])
    share = float(everything.mean())
    mean, below, above, parts = 0.0, 0.0, 0.0, []
    for weight, members in ((share, f), (1 - share, ~f)):
        count, right = members.sum() * factor, (y * members).sum() * factor
        low, high, part = 0.0, 1.0, 0.5
        if count:
            part = float(right / count)
            centre, reach = (
                (part + _Z**2 / (2 * count)),
                _Z * math.sqrt(part * (1 - part) / count + _Z**2 / (4 * count**2)),
            )
            low, high = (centre - reach) / (1 + _Z**2 / count), (centre + reach) / (1 + _Z**2 / count)
        mean += weight * part
        below += (weight * (part - low)) ** 2
        above += (weight * (high - part)) ** 2
        parts.append(part)
    of_share = _Z**2 * share * (1 - share) / len(everything) * (parts[0] - parts[1]) ** 2
    return mean, (max(0.0, mean - math.sqrt(below + of_share)), min(1.0, mean + math.sqrt(above + of_share)))


def _powered(f: Any, y: Any, rest: Any, factor: float) -> tuple[float, tuple[float, float]]:
    count, others = len(y), max(1, len(rest))
    pool = rest if len(rest) > 1 else f
    spread = float(pool.var(ddof=1)) if len(pool) > 1 else 0.0
    weight = 0.0
    if spread > 0:
        weight = float(np.clip(np.cov(y, f)[0, 1] / ((1 + count / others) * spread), 0, 1))
    left = y - weight * f
    mean = float(weight * pool.mean() + left.mean())
    variance = float(left.var(ddof=1)) / (count * factor) + weight**2 * spread / others
    reach = student(max(1, round(count * factor) - 2)) * math.sqrt(variance)
    return mean, (max(0.0, mean - reach), min(1.0, mean + reach))


def _plain(y: Any) -> tuple[float, float]:
    reach = student(len(y) - 1) * math.sqrt(float(y.var(ddof=1)) / len(y))
    return max(0.0, float(y.mean()) - reach), min(1.0, float(y.mean()) + reach)


def _kappa(one: Any, other: Any) -> float | None:
    chance = float(one.mean() * other.mean() + (1 - one.mean()) * (1 - other.mean()))
    return None if chance >= 1 else (float((one == other).mean()) - chance) / (1 - chance)


def _chance_of(people: Any, judge: Any) -> float:
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


def _ranks(one: Any, other: Any) -> float | None:
    """Return Spearman's rank correlation, ties at their mean rank; None where one of them is the same for all."""
    ranks = [_mean_ranks(values) for values in (one, other)]
    if any(rank.std() == 0 for rank in ranks):
        return None
    return float(np.corrcoef(*ranks)[0, 1])


def _mean_ranks(values: Any) -> Any:
    _, place, count = np.unique(np.round(values, 12), return_inverse=True, return_counts=True)
    ends = np.cumsum(count)
    return ((ends - count + ends - 1) / 2)[place]
