"""Comparison: the outcome of answering the same rows with base and tuned weights and others, and how sure it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import TYPE_CHECKING, Any

from shadownb.engine.evals.report import comparison_html, comparison_text
from shadownb.engine.evals.sides import Rented
from shadownb.engine.evals.statistics import bootstrap_interval, mean_interval, sign_test
from shadownb.engine.evals.turns import Turn
from shadownb.engine.inference.types import Sampling
from shadownb.errors import ConfigError, quoted

if TYPE_CHECKING:
    import pandas as pd

GREEDY = Sampling(temperature=0.0)


@dataclass(frozen=True)
class Answer:
    """What one side answered to a row, and what that scored.

    Attributes
    ----------
    notes
        What the score does not say: that it was cut at the limit, is empty, holds a malformed call, or never left its reasoning.
    outcome
        Where tools were offered: ``called``, ``abstained`` or ``malformed``.
    """

    text: str
    score: float
    reason: str = ""
    notes: tuple[str, ...] = ()
    outcome: str | None = None


@dataclass(frozen=True)
class ComparedRow:
    """One held-out row: what was asked, what was expected, and what each side answered and scored.

    Base and tuned are the first and the second side, whatever these are called.

    Attributes
    ----------
    base_notes, tuned_notes
        As of an :class:`Answer`.
    outcomes
        Of base and tuned, where tools were offered: ``called``, ``abstained`` or ``malformed``.
    others
        Answers of the further sides, in their order.
    """

    index: int
    messages: list[dict[str, Any]]
    expected: str
    base: str
    tuned: str
    base_score: float
    tuned_score: float
    base_reason: str = ""
    tuned_reason: str = ""
    base_notes: tuple[str, ...] = ()
    tuned_notes: tuple[str, ...] = ()
    outcomes: tuple[str, str] | None = None
    others: tuple[Answer, ...] = ()

    @classmethod
    def of(cls, index: int, messages: list[dict[str, Any]], expected: str, given: Sequence[Answer]) -> ComparedRow:
        """Return the row of two or more answers."""
        base, tuned, *others = given
        outcomes = (base.outcome, tuned.outcome) if base.outcome is not None and tuned.outcome is not None else None
        return cls(
            index, messages, expected, base.text, tuned.text, base.score, tuned.score, base.reason, tuned.reason,
            base.notes, tuned.notes, outcomes, tuple(others),
        )  # fmt: skip

    @property
    def answers(self) -> tuple[Answer, ...]:
        """Of all sides, in their order."""
        of_base, of_tuned = self.outcomes or (None, None)
        return (
            Answer(self.base, self.base_score, self.base_reason, self.base_notes, of_base),
            Answer(self.tuned, self.tuned_score, self.tuned_reason, self.tuned_notes, of_tuned),
            *self.others,
        )

    @property
    def difference(self) -> float:
        """Tuned score minus base score."""
        return self.tuned_score - self.base_score

    @property
    def prompt(self) -> str:
        """Content of the last user message."""
        users = [m for m in self.messages if m.get("role") == "user"]
        return Turn.of_message((users or self.messages)[-1]).text if self.messages else ""


@dataclass(frozen=True)
class UnscoredRow:
    """A row that is in no mean: why, and what each side answered where it was asked."""

    index: int
    reason: str
    base: str = ""
    tuned: str = ""


@dataclass(frozen=True)
class Comparison:
    """The scores of the base, the tuned model and others on the same rows; the result of :func:`shadownb.compare`.

    Attributes
    ----------
    rows
        The compared rows with answers and scores, in the order of the data set.
    scorer
        Name of the scorer.
    sampling
        The sampling that all models used.
    seconds
        How many seconds generating and scoring took.
    skipped
        Number of rows without an expected answer.
    left_out
        (row, reason) of each row that the model cannot answer, because it is too long or the template refuses it.
    unscored
        Rows that could not be answered or scored, with the reason; they are in no mean.
    reused
        Number of answers that were reused from an earlier comparison.
    sides
        Names of the models that answered. ``base``, ``tuned`` and ``difference`` refer to the first two.
    rented
        For each endpoint: model, address, tokens, dollars, failures, repeated requests.

    Examples
    --------
    >>> comparison = snb.compare(model, rows, "exact", max_new_tokens=16)
    >>> comparison.base, comparison.tuned, comparison.difference
    (0.0, 1.0, 1.0)
    >>> comparison.base_interval, comparison.tuned_interval
    ((0.0, 0.242...), (0.757..., 1.0))
    >>> comparison.interval  # all twelve rows changed alike
    (1.0, 1.0)
    >>> comparison.wins, comparison.losses, comparison.ties, comparison.p_value
    (12, 0, 0, 0.00048828125)
    >>> comparison.regressions()
    []
    >>> comparison.to_frame()[["prompt", "expected", "tuned", "tuned_score"]].head(1)
                    prompt  expected     tuned  tuned_score
    0  Where is my parcel?  shipping  shipping          1.0
    >>> comparison.to_dict()["rows"]
    12
    """

    rows: tuple[ComparedRow, ...]
    scorer: str = "score"
    sampling: Sampling = GREEDY
    seconds: float = 0.0
    skipped: int = 0
    left_out: tuple[tuple[int, str], ...] = ()
    unscored: tuple[UnscoredRow, ...] = ()
    reused: int = 0
    sides: tuple[str, ...] = ("base", "tuned")
    rented: tuple[Rented, ...] = ()
    _intervals: dict[str, tuple[float, float]] = field(default_factory=dict, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[ComparedRow]:
        return iter(self.rows)

    def _scores(self, side: str) -> list[float]:
        return [getattr(row, side) for row in self.rows]

    def _interval(self, name: str, make: Callable[[], tuple[float, float]]) -> tuple[float, float]:
        if name not in self._intervals:
            self._intervals[name] = make()
        return self._intervals[name]

    @property
    def base(self) -> float:
        """Mean score of the base weights."""
        return fmean(self._scores("base_score"))

    @property
    def tuned(self) -> float:
        """Mean score of the tuned weights."""
        return fmean(self._scores("tuned_score"))

    @property
    def difference(self) -> float:
        """Mean difference of the scores, tuned minus base."""
        return fmean(self._scores("difference"))

    @property
    def base_interval(self) -> tuple[float, float]:
        """95 % confidence interval of the base's mean score (Wilson, 1927, for 0/1 scores; else bootstrap)."""
        return self._interval("base", lambda: mean_interval(self._scores("base_score")))

    @property
    def tuned_interval(self) -> tuple[float, float]:
        """95 % confidence interval of the tuned mean score (Wilson for 0/1 scores, else bootstrap)."""
        return self._interval("tuned", lambda: mean_interval(self._scores("tuned_score")))

    @property
    def interval(self) -> tuple[float, float]:
        """95 % paired bootstrap interval of the difference (percentiles of 10,000 resamples with a fixed seed).

        It has no width if all rows changed by the same amount.
        """
        return self._interval("difference", lambda: bootstrap_interval(self._scores("difference")))

    def mean(self, side: str) -> float:
        """Return a model's mean score; ``side`` is its name in ``sides``.

        Examples
        --------
        >>> snb.compare(model, rows, "exact", max_new_tokens=16).mean("tuned")
        1.0
        """
        return fmean(self._scores_of(side))

    def mean_interval(self, side: str) -> tuple[float, float]:
        """Return the 95 % confidence interval of a model's mean score (Wilson for 0/1 scores, else bootstrap).

        Examples
        --------
        >>> snb.compare(model, rows, "exact", max_new_tokens=16).mean_interval("tuned")
        (0.757..., 1.0)
        """
        return self._interval(f"mean {side}", lambda: mean_interval(self._scores_of(side)))

    def gap(self, side: str, to: str) -> tuple[float, tuple[float, float]]:
        """Return the mean difference of the scores, ``side`` minus ``to``, and its 95 % paired bootstrap interval.

        Examples
        --------
        >>> comparison = snb.compare(model, rows, "exact", max_new_tokens=16)
        >>> comparison.gap("tuned", to="base") == (comparison.difference, comparison.interval)
        True
        """
        gaps = [a - b for a, b in zip(self._scores_of(side), self._scores_of(to), strict=True)]
        return fmean(gaps), self._interval(f"gap {side} {to}", lambda: bootstrap_interval(gaps))

    def _scores_of(self, side: str) -> list[float]:
        if side not in self.sides:
            raise ConfigError(f"side={side!r} was not compared.", fix=f"Give {quoted(self.sides)}.")
        place = self.sides.index(side)
        return [row.answers[place].score for row in self.rows]

    @property
    def wins(self) -> int:
        """Number of rows where the tuned model scored higher."""
        return sum(row.difference > 0 for row in self.rows)

    @property
    def losses(self) -> int:
        """Number of rows where the tuned model scored lower."""
        return sum(row.difference < 0 for row in self.rows)

    @property
    def ties(self) -> int:
        """Number of rows where both scored the same."""
        return len(self.rows) - self.wins - self.losses

    @property
    def p_value(self) -> float:
        """p-value of an exact two-sided sign test of wins against losses (for 0/1 scores: McNemar's test)."""
        return sign_test(self.wins, self.losses)

    def worst(self, k: int = 5) -> list[ComparedRow]:
        """Return the ``k`` rows where the tuned model scored lowest; of equal ones, those that got worse come first.

        Examples
        --------
        >>> comparison = snb.compare(model, rows, "exact", max_new_tokens=16)
        >>> [row.prompt for row in comparison.worst(2)]
        ['Where is my parcel?', 'The parcel is late.']
        """
        return sorted(self.rows, key=lambda row: (row.tuned_score, row.difference, row.index))[:k]

    def regressions(self) -> list[ComparedRow]:
        """Return the rows where the tuned model scored lower than the base, the largest drop first."""
        return sorted((row for row in self.rows if row.difference < 0), key=lambda row: (row.difference, row.index))

    def to_frame(self) -> pd.DataFrame:
        """Return a pandas DataFrame with one line per compared row."""
        import pandas as pd

        names = ["index", "prompt", "expected", "base", "tuned", "base_score", "tuned_score", "difference"]
        names += ["base_reason", "tuned_reason", "base_notes", "tuned_notes"]
        frame = pd.DataFrame([{name: getattr(row, name) for name in names} for row in self.rows], columns=names)
        for place, side in enumerate(self.sides[2:]):
            for field_, suffix in (("text", ""), ("score", "_score"), ("reason", "_reason"), ("notes", "_notes")):
                frame[f"{side}{suffix}"] = [getattr(row.others[place], field_) for row in self.rows]
        return frame

    def to_dict(self) -> dict[str, Any]:
        """Return the summary as JSON values, without the rows."""
        return {
            "scorer": self.scorer,
            "rows": len(self),
            "skipped": self.skipped,
            "left_out": [list(entry) for entry in self.left_out],
            "base": self.base,
            "base_interval": list(self.base_interval),
            "tuned": self.tuned,
            "tuned_interval": list(self.tuned_interval),
            "difference": self.difference,
            "interval": list(self.interval),
            "wins": self.wins,
            "losses": self.losses,
            "ties": self.ties,
            "p_value": self.p_value,
            "sides": {
                side: {"mean": self.mean(side), "interval": list(self.mean_interval(side))} for side in self.sides
            },
            "rented": [each.to_dict() for each in self.rented],
        }

    def __str__(self) -> str:
        return comparison_text(self)

    def __repr__(self) -> str:
        means = ", ".join(f"{side}={self.mean(side):.3f}" for side in self.sides)
        return f"Comparison({len(self)} rows, {means})"

    def _repr_html_(self) -> str:
        return comparison_html(self)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(str(self))
