"""What a suite is: items that are asked, and how their answers are graded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from shadownb.engine.evals.turns import Turn
from shadownb.engine.inference.types import Sampling

NO_TOOLCHAIN = "no toolchain"
"""The outcome of an answer that cannot be graded on this machine."""


@dataclass(frozen=True)
class Item:
    """One question of a suite.

    Examples
    --------
    >>> snb.suites.Item("capital", [{"role": "user", "content": "Capital of France?"}], "Paris").expected
    'Paris'

    Attributes
    ----------
    id
        Its name within the suite, the same in every version of its data.
    messages
        The conversation that is asked.
    expected
        The reference answer as text, to show it beside an answer; empty where there is none.
    tools
        Schemas of the tools that are offered.
    cluster
        What it shares with other items (a source text, a database); None: nothing. Items of a cluster count as one source when
        intervals are computed.
    row
        What grading needs beside.
    part
        The part of the suite that it belongs to (a language, a task, a database), by which results are told apart, too; empty
        where there are none.
    """

    id: str
    messages: list[dict[str, Any]]
    expected: str = ""
    tools: list[dict[str, Any]] | None = None
    cluster: str | None = None
    row: Mapping[str, Any] = field(default_factory=dict)
    part: str = ""


@dataclass(frozen=True)
class Verdict:
    """How one answer was graded.

    Examples
    --------
    >>> snb.suites.Verdict(1.0, "the same number", "42", "passed").value
    1.0

    Attributes
    ----------
    value
        The score; None where the answer could not be graded: it is in no mean, and is graded again by the next call.
    reason
        Why, in a line.
    extracted
        The part of the answer that was graded.
    outcome
        ``passed``, ``failed``, or how it failed in the suite's own words (``timed out``, ``no answer``, ``other result``).
    rules
        The score by each other rule of extraction, where the suite knows several; see :attr:`Suite.rules`.
    """

    value: float | None
    reason: str = ""
    extracted: str = ""
    outcome: str = ""
    rules: Mapping[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form that an evaluation keeps."""
        return {
            "value": self.value,
            "reason": self.reason,
            "extracted": self.extracted,
            "outcome": self.outcome,
            "rules": dict(self.rules),
        }


@runtime_checkable
class Suite(Protocol):
    """Items and how their answers are graded. Made by :func:`shadownb.engine.evals.suites.get` from a name, or by a user.

    Examples
    --------
    >>> isinstance(snb.suites.rows(rows, snb.Exact()), snb.suites.Suite)
    True

    Attributes
    ----------
    name
        What it is called in tables and gates; lower case, without blanks.
    sampling
        How it is answered by default.
    rules
        Names of the ways in which the graded part is taken out of an answer; the first is the one that counts. Empty where
        there is one way alone.
    options : Mapping[str, Any]
        Where there are any: what decides the scores beside items and sampling, as plain values (a scorer, few-shot examples). An
        evaluation goes on with the same ones alone, and the leaderboard ranks those of the same ones.
    """

    @property
    def name(self) -> str:
        """What it is called."""

    @property
    def sampling(self) -> Sampling:
        """How it is answered by default."""

    @property
    def rules(self) -> Sequence[str]:
        """The ways in which the graded part is taken out of an answer."""

    def items(self) -> Sequence[Item]:
        """Return all items, in an order that never changes.

        Raises
        ------
        DataError
            Its data is not here; says where it looked and how to get it.
        """

    def grade(self, asked: Sequence[tuple[Item, Turn]]) -> list[Verdict]:
        """Return a verdict for each answer; what cannot be graded has a value of None.

        Raises
        ------
        ShadowError
            Nothing can be graded on this machine: a toolchain or a sandbox is missing. That is no failed item.
        """


@runtime_checkable
class Measured(Protocol):
    """A suite that measures weights and asks no question."""

    def measure(self, model: Any, use: Any, items: Sequence[Item]) -> list[Verdict]:
        """Return a verdict for each item; of None, with the reason, where this model cannot be measured.

        Parameters
        ----------
        model, use
            As of a :class:`~shadownb.engine.evals.evaluation.contenders.Contender`.
        """


@runtime_checkable
class Tabled(Protocol):
    """A suite with a tool of its own that makes a table, shown beside ours."""

    def table(self, use: Any) -> str:
        """Return the tool's table of what was measured last of these weights; nothing where nothing was."""
