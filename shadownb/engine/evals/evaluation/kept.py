"""The answers and verdicts that an evaluation's folder holds, item by item."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from shadownb.engine.evals.evaluation.contents import Contents
from shadownb.engine.evals.evaluation.folder import EvaluationFolder
from shadownb.engine.evals.evaluation.graded import Cell, Graded
from shadownb.engine.evals.evaluation.parts import by_part, matrix
from shadownb.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    import pandas as pd


class KeptAnswers:
    """What models answered and how that was graded; what it comes to is in :mod:`~shadownb.engine.evals.evaluation.evaluation`."""

    def __init__(self, folder: EvaluationFolder) -> None:
        self._folder = folder
        self._contents = Contents(folder)
        self.name = folder.name
        self.path: Path = folder.path
        self.samples = self._contents.samples
        self.sides = self._contents.sides

    @classmethod
    def open(cls, name: str) -> Self:
        """Return the evaluation of a name. Raises :class:`DataError` where there is none.

        Examples
        --------
        >>> _ = snb.evaluate(model, snb.suites.rows(rows[:3], snb.Exact(), name="queues"), name="first", max_new_tokens=8)
        >>> snb.Evaluation.open("first")
        Evaluation('first', 2 sides, 1 suites)
        """
        return cls(EvaluationFolder.named(name))

    @property
    def suites(self) -> tuple[str, ...]:
        """What was asked."""
        return self._contents.suites

    @property
    def refused(self) -> dict[str, str]:
        """Why suites could not be asked or graded, by name."""
        return self._contents.refused

    @property
    def ended(self) -> bool:
        """Whether all that was asked for was done."""
        return self._contents.ended

    @property
    def status(self) -> str:
        """``working`` (somebody evaluates now), ``complete``, or ``incomplete``: it goes on when it is called again.

        Complete is also one in which an endpoint gave no answer to some items; those are asked again when it is called again.

        Examples
        --------
        >>> snb.evaluate(model, snb.suites.rows(rows[:3], snb.Exact(), name="queues"), max_new_tokens=8).status
        'complete'
        """
        if self._folder.is_owned:
            return "working"
        self._contents.items  # noqa: B018  how it ended is read with it
        return "complete" if self.ended else "incomplete"

    @property
    def origins(self) -> dict[str, dict[str, Any]]:
        """Where each side comes from: its model, run and step, or the address of its endpoint, as far as they are known.

        Examples
        --------
        >>> found = snb.evaluate(model, snb.suites.rows(rows[:3], snb.Exact(), name="queues"), max_new_tokens=8)
        >>> found.origins["tuned"]["run"] == model.trained[0]
        True
        """
        return {side: dict(self._contents.spec.get("origins", {}).get(side, {})) for side in self.sides}

    def items(self, suite: str, side: str) -> list[Graded]:
        """Return the items of a suite with what a model answered and scored.

        Examples
        --------
        >>> found = snb.evaluate(model, snb.suites.rows(rows, snb.Exact(), name="queues"), max_new_tokens=8)
        >>> first = found.items("queues", "tuned")[0]
        >>> first.item.messages[-1]["content"], first.turns[0].text, first.score
        ('Where is my parcel?', 'shipping', 1.0)

        Raises
        ------
        ConfigError
            It was not asked this suite, or there is no such side.
        """
        return list(self._of(suite, side).values())

    def left_out(self, suite: str) -> list[str]:
        """Return in sentences which of your rows a suite does not ask, and why.

        Examples
        --------
        >>> mine = snb.suites.rows([*rows, {"messages": [{"role": "user", "content": "Hello"}]}], snb.Exact(), name="queues")
        >>> found = snb.evaluate(model, mine, max_new_tokens=8)
        >>> found.left_out("queues")
        ['1 row is left out (no assistant turn that could be the reference answer)']
        """
        return list(self._contents.spec["suites"].get(suite, {}).get("left_out", ()))

    def _of(self, suite: str, side: str) -> dict[str, Graded]:
        for what, value, known in (("suite", suite, self.suites), ("side", side, self.sides)):
            if value not in known:
                refused = self.refused.get(value)
                raise ConfigError(
                    f"{what}={value!r} is not in this evaluation.{did_you_mean(value, list(known))}",
                    why=refused or "",
                    fix=f"It has {', '.join(known)}.",
                )
        return self._contents.items[suite, side]

    def sampling(self, suite: str) -> dict[str, Any]:
        """Return how a suite was answered: temperature, top_p, max_new_tokens and so on.

        Examples
        --------
        >>> found = snb.evaluate(model, snb.suites.rows(rows, snb.Exact(), name="queues"), max_new_tokens=8)
        >>> found.sampling("queues")["max_new_tokens"]
        8
        """
        self._of(suite, self.sides[0])
        return dict(self._contents.spec["suites"][suite]["sampling"])

    def by_part(self, suite: str, side: str) -> dict[str, Cell]:
        """Return the outcome of one model on each part of a suite: its languages, tasks or databases.

        Examples
        --------
        >>> found = snb.evaluate(model, snb.suites.rows(rows, snb.Exact(), name="queues"), max_new_tokens=8)
        >>> found.by_part("queues", "tuned")  # your own rows are one part
        {}
        """
        return by_part(suite, side, self.items(suite, side))

    def matrix(self, suite: str, side: str) -> pd.DataFrame:
        """Return scores by problem (lines) and part (columns) of a suite that asks each problem in several languages.

        NaN stands where a part has no such problem or no verdict of it; empty for suites whose parts share no problem.

        Examples
        --------
        >>> found = snb.evaluate(model, snb.suites.rows(rows, snb.Exact(), name="queues"), max_new_tokens=8)
        >>> found.matrix("queues", "tuned").empty
        True
        """
        return matrix(self.items(suite, side))

    def tables(self) -> dict[tuple[str, str], str]:
        """Return the tables that suites' own tools make, such as lm-eval's, by suite and side.

        Examples
        --------
        >>> found = snb.evaluate(model, snb.suites.rows(rows, snb.Exact(), name="queues"), max_new_tokens=8)
        >>> found.tables()  # your own rows have no other tool
        {}
        """
        return {(suite, side): table for suite in self.suites for side, table in self._folder.tables(suite).items()}

    def to_frame(self) -> pd.DataFrame:
        """Return one line an answer as a pandas DataFrame: suite, side, item, sample, score, outcome, extracted, answer.

        Examples
        --------
        >>> found = snb.evaluate(model, snb.suites.rows(rows, snb.Exact(), name="queues"), max_new_tokens=8)
        >>> found.to_frame().groupby("side").score.mean().to_dict()
        {'base': 0.0, 'tuned': 1.0}
        """
        from shadownb.engine.evals.evaluation.frames import frame

        return frame(self)
