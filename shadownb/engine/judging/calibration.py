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

from shadownb.engine.evals.statistics import wilson_interval
from shadownb.engine.judging.agreement import Interval, Position, chance_of, kappa_of, rank_correlation
from shadownb.engine.judging.corrected import corrected, plain
from shadownb.errors import ConfigError, DataError

_FEWEST = 8  # verdicts of people; of fewer an interval says nothing
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
    agreement_interval, kappa_interval, length_interval
        95 % of each.
    mean, interval
        Mean of the items as people would judge all of them, with 95 %.
    judge_mean, people_mean, people_interval
        What the judge alone says, and what people's items alone say: without the judge it would be no narrower.
    length
        Rank correlation of the judge's score with how long the answer is, what people say held equal, -1 to 1: above 0 it
        favours long answers. None without lengths, or where nothing differs.
    position
        What standing first was worth, where groups were judged; else None.
    by
        Whose verdicts these are, in words: ``people``, or for example ``grades of the suite``.
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
    interval: Interval
    judge_mean: float
    people_mean: float
    people_interval: Interval
    length: float | None
    by_chance: bool
    agreement_interval: Interval = (0.0, 1.0)
    kappa_interval: Interval | None = None
    length_interval: Interval | None = None
    position: Position | None = None
    by: str = "people"
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
                low, high = corrected(judge, people, rest, self._threshold, factor)[1]
                if high - low <= width:
                    return more
        return None

    def sentences(self) -> list[str]:
        """Return what was found, a sentence each, with 95 % intervals in brackets.

        Examples
        --------
        >>> found = snb.judging.calibrate([0.9, 0.1] * 50, dict(enumerate([1, 0] * 6)))
        >>> print(found.sentences()[0])
        12 of 100 items were judged by people, who agree with the judge on 100% (76% to 100%), kappa 1.00 (0.52 to 1.00).
        """
        (low, high), alone, (least, most) = self.interval, self.people_interval, self.agreement_interval
        beyond = ""
        if self.kappa is not None and self.kappa_interval is not None:
            beyond = f", kappa {self.kappa:.2f} ({self.kappa_interval[0]:.2f} to {self.kappa_interval[1]:.2f})"
        of_people = self.by == "people"
        who = "were judged by people, who" if of_people else f"have {self.by}, which"
        whole = "As people would judge all, the mean is" if of_people else f"With {self.by} for all, the mean is"
        told = [
            f"{self.people} of {self.items:,} items {who} agree with the judge on {self.agreement:.0%} "
            f"({least:.0%} to {most:.0%}){beyond}.",
            f"{whole} {self.mean:.3f} ({low:.3f} to {high:.3f}); the judge alone says {self.judge_mean:.3f}, "
            f"those {self.people} items alone {self.people_mean:.3f} ({alone[0]:.3f} to {alone[1]:.3f}).",
        ]
        if self.by_chance:
            told.append("The judge is no better than chance here.")
        if self.length is not None and self.length_interval is not None:
            figures = f"rank correlation {self.length:+.2f} ({self.length_interval[0]:+.2f} to {self.length_interval[1]:+.2f})"
            if self.length_interval[0] > 0 or self.length_interval[1] < 0:
                told.append(f"It favours {'long' if self.length > 0 else 'short'} answers: {figures}.")
            else:
                told.append(f"No bias by length was seen: {figures}.")
        if self.position is not None:
            told.append(str(self.position))
        return told

    def __str__(self) -> str:
        return "\n".join(self.sentences())


def calibrate(
    judge: Sequence[float | None],
    people: Mapping[int, Any] | Sequence[Any],
    *,
    lengths: Sequence[float] | None = None,
    threshold: float = 0.5,
    position: Position | None = None,
    by: str = "people",
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
    position
        What standing first was worth, as :attr:`JudgedGroups.position` has it; it is only said with the rest.
    by
        Whose verdicts these are, for the sentences.

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
    mean, interval = corrected(f, y, rest, threshold)
    binary = bool(np.isin(y, (0, 1)).all())
    alone = wilson_interval(int(y.sum()), len(y)) if binary else plain(y)
    over = None if lengths is None else rank_correlation(f, np.array([lengths[at] for at in places]), y)
    kappa = kappa_of(right, said)
    return Calibration(
        len(y),
        len(scores),
        float((right == said).mean()),
        kappa[0] if kappa else None,
        mean,
        interval,
        float(np.concatenate([f, rest]).mean()),
        float(y.mean()),
        alone,
        over[0] if over else None,
        chance_of(right, said) > _CHANCE,
        wilson_interval(int((right == said).sum()), len(y)),
        kappa[1] if kappa else None,
        over[1] if over else None,
        position,
        by,
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
