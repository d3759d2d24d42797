"""Whether more rows are likely to pay: the last step of a learning curve, with the luck of held-out rows and of trainings."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, variance

from shadownb.engine.evals.intervals import difference_of, mean_of, student

Scores = Mapping[str, float]  # of held-out rows, by the row's name
MORE, ENOUGH, UNSURE = "more rows", "enough rows", "can't tell"


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval; ``rows_half`` and ``luck_half`` are what held-out rows and trainings add to half of it.

    Attributes
    ----------
    luck_half
        NaN where each part was trained once: then nothing is known of it, and it is not in the interval.
    """

    value: float
    low: float
    high: float
    rows_half: float
    luck_half: float


@dataclass(frozen=True)
class Verdict:
    """``more rows``, ``enough rows`` or ``can't tell``, why, and the gain that it rests on (None with a single part)."""

    word: str
    reason: str
    gain: Estimate | None = None


def luck(by_part: Sequence[Sequence[Scores]]) -> tuple[float, int]:
    """Return (variance of a score between trainings, its degrees of freedom), pooled over all parts; (NaN, 0) where each is one."""
    found = [variance([fmean(scores.values()) for scores in part]) for part in by_part if len(part) > 1]
    freedom = sum(len(part) - 1 for part in by_part if len(part) > 1)
    if not freedom:
        return math.nan, 0
    weights = [len(part) - 1 for part in by_part if len(part) > 1]
    return sum(value * weight for value, weight in zip(found, weights, strict=True)) / freedom, freedom


def mean_over(part: Sequence[Scores], between: tuple[float, int], clusters: Mapping[str, Hashable] | None) -> Estimate:
    """Return the mean score of a part's trainings."""
    names, means = _per_row(part)
    found = mean_of(means, _clusters(names, clusters))
    luck_half = _half(between, 1 / len(part))
    low, high = _wider(found.value, found.low, found.high, luck_half)
    if found.low >= 0 and found.high <= 1:
        low, high = max(0.0, low), min(1.0, high)
    return Estimate(found.value, low, high, (found.high - found.low) / 2, luck_half)


def gain_between(
    before: Sequence[Scores],
    after: Sequence[Scores],
    between: tuple[float, int],
    clusters: Mapping[str, Hashable] | None,
) -> Estimate:
    """Return how much higher ``after`` scores than ``before`` on the same held-out rows."""
    names, later = _per_row(after)
    known, earlier = _per_row(before)
    places = {name: place for place, name in enumerate(known)}
    both = [(name, score, earlier[places[name]]) for name, score in zip(names, later, strict=True) if name in places]
    found = difference_of(
        [score for _, score, _ in both],
        [score for _, _, score in both],
        _clusters([name for name, _, _ in both], clusters),
    )
    luck_half = _half(between, 1 / len(before) + 1 / len(after))
    low, high = _wider(found.value, found.low, found.high, luck_half)
    return Estimate(found.value, low, high, (found.high - found.low) / 2, luck_half)


def judged(
    sizes: Sequence[int], by_part: Sequence[Sequence[Scores]], worth: float, clusters: Mapping[str, Hashable] | None
) -> Verdict:
    """Return whether more rows are likely to pay.

    What the last step brought is brought to a doubling of the rows. More rows are likely to pay where the whole interval of that is
    above 0, unlikely where all of it is below ``worth``.

    Parameters
    ----------
    sizes
        Rows of each part, rising.
    by_part
        Of each part its trainings' scores.
    worth
        The least gain of a doubling that is worth it, in the unit of the scores.
    """
    if len(sizes) < 2:
        return Verdict(UNSURE, "One part shows no curve: give two fractions or more.")
    between = luck(by_part)
    gain = gain_between(by_part[-2], by_part[-1], between, clusters)
    doublings = math.log2(sizes[-1] / sizes[-2])
    step = Estimate(*(each / doublings for each in (gain.value, gain.low, gain.high, gain.rows_half, gain.luck_half)))
    share = all(0 <= score <= 1 for part in by_part for scores in part for score in scores.values())
    told = f"From {sizes[-2]:,} to {sizes[-1]:,} rows the score changed by {_said(gain, share)}"
    per = "" if math.isclose(doublings, 1, rel_tol=0.05) else f", {_said(step, share)} for twice as many rows"
    if not between[1]:
        return Verdict(
            UNSURE,
            f"{told}{per}. Each part was trained once, and how much of that is luck only another seed can say: seeds=3.",
            step,
        )
    reached = fmean(fmean(scores.values()) for scores in by_part[-1])
    if share and 1 - reached < worth:
        return Verdict(
            ENOUGH, f"{told}{per}; with {100 * reached:.1f} % reached there is less than that to gain.", step
        )
    if step.low > 0:
        return Verdict(MORE, f"{told}{per}: still rising, so more rows of this kind are likely to pay.", step)
    if step.high < worth:
        least = f"{100 * worth:g} points" if share else f"{worth:g}"
        return Verdict(ENOUGH, f"{told}{per}: twice as many rows are unlikely to bring {least}.", step)
    wider = "seeds" if step.luck_half > step.rows_half else "held-out rows"
    return Verdict(
        UNSURE, f"{told}{per}: the interval allows a gain and none. More {wider} would narrow it most.", step
    )


def _said(estimate: Estimate, share: bool) -> str:
    scale, unit, digits = (100, " points", ".1f") if share else (1, "", ".3g")
    value, low, high = (scale * each for each in (estimate.value, estimate.low, estimate.high))
    return f"{value:+{digits}}{unit} ({low:+{digits}} to {high:+{digits}})"


def _per_row(part: Sequence[Scores]) -> tuple[list[str], list[float]]:
    """Return the rows that every training of a part was scored on, with the mean of their scores."""
    names = [name for name in part[0] if all(name in scores for scores in part)]
    return names, [fmean(scores[name] for scores in part) for name in names]


def _clusters(names: Sequence[str], clusters: Mapping[str, Hashable] | None) -> list[Hashable] | None:
    return None if clusters is None else [clusters.get(name, (name,)) for name in names]


def _half(between: tuple[float, int], share: float) -> float:
    value, freedom = between
    return student(freedom) * math.sqrt(value * share) if freedom else math.nan


def _wider(value: float, low: float, high: float, half: float) -> tuple[float, float]:
    """Return an interval with an independent cause of chance more in it."""
    if math.isnan(half):
        return low, high
    return value - math.hypot(value - low, half), value + math.hypot(high - value, half)
