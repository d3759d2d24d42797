"""What one model answered and scored on the items of a suite, and what that comes to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from shadownb.engine.evals.intervals import Mean, mean_of
from shadownb.engine.evals.suites.base import Item
from shadownb.engine.evals.turns import Turn


@dataclass
class Graded:
    """An item with what one model answered and scored, a sample each.

    Attributes
    ----------
    score
        Mean of the samples that were graded; None where none was.
    """

    item: Item
    turns: list[Turn | None] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    verdicts: list[dict[str, Any] | None] = field(default_factory=list)

    @property
    def values(self) -> list[float]:
        """Scores of the samples that were graded."""
        return [verdict["value"] for verdict in self.verdicts if verdict is not None and verdict["value"] is not None]

    @property
    def score(self) -> float | None:
        return fmean(self.values) if self.values else None


@dataclass(frozen=True)
class Cell:
    """One model on one suite.

    Attributes
    ----------
    mean
        Of the items' scores, each the mean of its samples, with a 95 % interval. Items without a verdict are in no mean.
    answered, unanswered, ungraded
        Answers that came, questions that got none, answers that could not be graded.
    outcomes
        How many answers passed, failed, and failed in which way.
    notes
        How many answers were cut at the limit, empty, or hold a malformed call.
    rules
        The mean score by each rule of extraction, where the suite has several.
    by_extraction
        Answers whose verdict another rule of extraction would change.
    """

    suite: str
    side: str
    mean: Mean
    answered: int
    unanswered: int
    ungraded: int
    outcomes: dict[str, int]
    notes: dict[str, int]
    rules: dict[str, float]
    by_extraction: int


def cell_of(suite: str, side: str, graded: Sequence[Graded]) -> Cell:
    """Return what items come to."""
    scored = [each for each in graded if each.score is not None]
    verdicts = [verdict for each in graded for verdict in each.verdicts if verdict is not None]
    turns = [turn for each in graded for turn in each.turns if turn is not None]
    rules: dict[str, list[float]] = {}
    changed = 0
    for verdict in verdicts:
        for rule, value in verdict["rules"].items():
            rules.setdefault(rule, []).append(value)
        changed += any(value != verdict["value"] for value in verdict["rules"].values())
    return Cell(
        suite,
        side,
        mean_of([each.score for each in scored if each.score is not None], clusters(scored)),
        len(turns),
        sum(bool(error) for each in graded for error in each.errors),
        sum(verdict["value"] is None for verdict in verdicts),
        dict(Counter(verdict["outcome"] for verdict in verdicts if verdict["outcome"]).most_common()),
        dict(Counter(note for turn in turns for note in turn.notes).most_common()),
        {rule: fmean(values) for rule, values in rules.items()},
        changed,
    )


def clusters(items: Sequence[Graded]) -> list[Any] | None:
    """Return what items share, an item of its own where it shares nothing; None where none shares anything."""
    if all(each.item.cluster is None for each in items):
        return None
    return [each.item.cluster if each.item.cluster is not None else (each.item.id,) for each in items]
