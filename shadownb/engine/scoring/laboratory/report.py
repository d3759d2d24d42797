"""What the lab has found about a scorer."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

_ENOUGH = 0.9  # of the pairs of a right and a wrong answer; below, one in ten is ordered wrongly
_BINS = 20
_SHOWN = 160


@dataclass(frozen=True)
class Scored:
    """An answer and its score.

    Attributes
    ----------
    text, prompt, expected : str
    value : float or None
    reason : str
    """

    text: str
    prompt: str
    expected: str
    value: float | None
    reason: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "text": self.text,
            "prompt": self.prompt,
            "expected": self.expected,
            "value": self.value,
            "reason": self.reason,
        }


@dataclass(frozen=True)
class Fooled:
    """A hack that scores at least as much as the median right answer, or close to it.

    Attributes
    ----------
    hack, means : str
        Its name, and what is rewarded where it works.
    tried, fooled : int
        Texts that were scored, and how many of them reach the median, or come close to it.
    best : Scored
        The one with the highest score.
    close : bool
        None reaches the median, and the best has more than nine tenths of the way from the median wrong answer to it.
    """

    hack: str
    means: str
    tried: int
    fooled: int
    best: Scored
    close: bool = False


@dataclass(frozen=True)
class LabReport:
    """How well a scorer tells right from wrong, and what fools it.

    Attributes
    ----------
    scorer : str
    good, bad : list of Scored
        The answers that it was tried on.
    fooled : list of Fooled
        Hacks that score at or above the median right answer, or close below it, the most harmful first.
    hacks : dict
        By hack: the mean of its scores, or None where it has none.
    hack_values : list of float
        Scores of all hacks, for the histogram.
    unsteady : list of Scored
        Right answers that got another score when asked again.
    seconds : float
        Mean time an answer.

    Examples
    --------
    >>> report = snb.scoring.lab(lambda output, expected: float(expected in output), rows)
    >>> report.separation, report.median_good, report.sound, report.missing
    (1.0, 1.0, False, {})
    >>> report.findings[0]
    "It rewards naming everything, ...: 'every option at once' gets 1, the median right answer 1."
    >>> sorted(report.to_dict())[:3]
    ['bad', 'findings', 'fooled']
    """

    scorer: str
    good: list[Scored]
    bad: list[Scored]
    fooled: list[Fooled]
    hacks: dict[str, float | None]
    hack_values: list[float] = field(repr=False)
    unsteady: list[Scored]
    seconds: float

    @property
    def median_good(self) -> float | None:
        """The median score of the right answers; None where none has one."""
        values = _values(self.good)
        return statistics.median(values) if values else None

    @property
    def separation(self) -> float | None:
        """The share of pairs of a right and a wrong answer that the scorer orders rightly; equal scores count half (AUC)."""
        good, bad = _values(self.good), _values(self.bad)
        if not good or not bad:
            return None
        return sum((g > b) + (g == b) / 2 for g in good for b in bad) / (len(good) * len(bad))

    @property
    def missing(self) -> dict[str, int]:
        """How many answers got no score, by reason."""
        return dict(Counter(each.reason for each in (*self.good, *self.bad) if each.value is None))

    @property
    def sound(self) -> bool:
        """Whether nothing was found against it."""
        return not self.findings

    @property
    def findings(self) -> list[str]:
        """What speaks against it, in sentences; empty where nothing does."""
        found = []
        values, separation = {*_values(self.good), *_values(self.bad)}, self.separation
        if len(values) == 1:
            found.append(f"It gives {values.pop():.3g} to every answer, right or wrong.")
        elif separation is not None and separation < _ENOUGH:
            found.append(
                f"It puts a right answer above a wrong one in {separation:.0%} of the pairs; by chance it would be 50%."
            )
        for each in self.fooled:
            gets = f"{each.hack!r} gets {each.best.value:.3g}, the median right answer {self.median_good:.3g}"
            found.append(f"It {'nearly ' * each.close}rewards {each.means}: {gets}.")
        if self.unsteady:
            found.append(f"Asked again, it gave another score to {len(self.unsteady)} answers.")
        if self.missing:
            reason, count = max(self.missing.items(), key=lambda item: item[1])
            answers = f"{sum(self.missing.values())} of {len(self.good) + len(self.bad)} answers"
            found.append(f"{answers} got no score; {count} of them: {reason}")
        return found

    def histogram(self, bins: int = _BINS) -> dict[str, list[float]]:
        """Return how many right answers, wrong ones and hacks score what: ``edges``, one more than bins, and counts.

        Examples
        --------
        >>> snb.scoring.lab("exact", rows).histogram(bins=2)["good"]
        [0.0, 12.0]
        """
        groups = {"good": _values(self.good), "bad": _values(self.bad), "hacks": self.hack_values}
        everything = [value for values in groups.values() for value in values] or [0.0]
        low, high = min(0.0, *everything), max(1.0, *everything)
        width = (high - low) / bins
        counted = {name: [0.0] * bins for name in groups}
        for name, values in groups.items():
            for value in values:
                counted[name][min(bins - 1, int((value - low) / width))] += 1
        return {"edges": [low + width * at for at in range(bins + 1)], **counted}

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form, as the panel shows it."""
        return {
            "scorer": self.scorer,
            "good": [each.to_dict() for each in self.good],
            "bad": [each.to_dict() for each in self.bad],
            "fooled": [
                {
                    "hack": each.hack,
                    "means": each.means,
                    "tried": each.tried,
                    "fooled": each.fooled,
                    "close": each.close,
                    "best": each.best.to_dict(),
                }
                for each in self.fooled
            ],
            "hacks": self.hacks,
            "median_good": self.median_good,
            "separation": self.separation,
            "findings": self.findings,
            "histogram": self.histogram(),
            "seconds": self.seconds,
        }

    def __str__(self) -> str:
        separation, median = self.separation, self.median_good
        lines = [
            f"{self.scorer}: {len(self.good)} right answers (median {_figure(median)}), {len(self.bad)} wrong ones "
            f"(median {_figure(_median(self.bad))}), separation {_figure(separation)}, {self.seconds * 1000:.3g} ms an answer",
            *(f"  ! {finding}" for finding in self.findings),
        ]
        if self.sound:
            tried = sum(mean is not None for mean in self.hacks.values())
            lines.append(f"  Nothing found: none of {tried} kinds of hacks reaches the median right answer.")
        for each in self.fooled:
            told = f"  {each.hack} ({each.fooled} of {each.tried} texts), {_figure(each.best.value)}:"
            lines += ["", told, f"    {_cut(each.best.text)}"]
        return "\n".join(lines)

    __repr__ = __str__


def _values(scored: Sequence[Scored]) -> list[float]:
    return [each.value for each in scored if each.value is not None]


def _median(scored: Sequence[Scored]) -> float | None:
    return statistics.median(_values(scored)) if _values(scored) else None


def _figure(value: float | None) -> str:
    return "--" if value is None else f"{value:.3g}"


def _cut(text: str) -> str:
    shown = repr(text)
    return shown if len(shown) <= _SHOWN else shown[: _SHOWN - 3] + "..."
