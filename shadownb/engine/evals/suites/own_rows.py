"""A user's own rows as a suite: held-out conversations, each with the answer it should get, and a scorer."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

from shadownb.engine.evals.cases import Case, cases_of
from shadownb.engine.evals.judging import Judge
from shadownb.engine.evals.suites.base import Item, Verdict
from shadownb.engine.evals.turns import Turn
from shadownb.engine.inference.types import Sampling
from shadownb.engine.jsontext import dumps
from shadownb.errors import ConfigError

_SECONDS = 120.0  # of one call of a scorer; a judge that is asked over the network takes some


class Rows:
    """Rows with an answer, scored by any scorer.

    Examples
    --------
    >>> snb.suites.rows(rows, snb.Exact(), name="queues")
    Rows('queues', 12 items)

    Parameters
    ----------
    dataset
        Whatever holds conversations that end in an assistant turn; the turns before it are asked, it is the reference.
    scorer
        As for :func:`shadownb.compare`.
    name
        What it is called in tables, gates and the folder; the scorer's name by default.
    cluster
        A column whose value rows of one source share (a customer, a document), so that the interval knows.
    max_new_tokens
        Longest answer in tokens.

    Attributes
    ----------
    skipped : int
        Rows without a reference answer.
    options : dict
        The scorer's name: rows under one name have the scores of one scorer.
    left_out : tuple of str
        The same in sentences, with lines of a file that could not be read.
    unfit : dict
        Rows whose reference the scorer cannot compare with, and why; they are not asked.

    Raises
    ------
    DataError
        No row can be asked, or the scorer can judge none of the references.
    ConfigError
        The scorer cannot be called, gives no number for the references, or no row has the column ``cluster``.
    """

    rules: Sequence[str] = ()

    def __init__(
        self,
        dataset: Any,
        scorer: Callable[..., Any] | str,
        *,
        name: str | None = None,
        cluster: str | None = None,
        max_new_tokens: int = 256,
    ) -> None:
        self._judge = Judge(scorer)
        self._cases, self.skipped = cases_of(dataset)
        self.unfit = self._judge.unfit(self._cases)
        self.left_out = _left_out(dataset, self.skipped, self.unfit)
        self.name = name or (
            self._judge.name if self._judge.name.isidentifier() else "rows"
        )  # that of a lambda is none
        self.options = {"scorer": self._judge.name}
        self.sampling = Sampling(temperature=0.0, max_new_tokens=max_new_tokens)
        if cluster is not None and not any(cluster in case.row for case in self._cases):
            columns = dict.fromkeys(column for case in self._cases for column in case.row)
            raise ConfigError(
                f"cluster={cluster!r} is no column of the rows.", fix=f"They have {', '.join(columns) or 'none'}."
            )
        self._of = {self._id(case): case for case in self._cases if case.index not in self.unfit}
        self._cluster = cluster

    def __repr__(self) -> str:
        return f"Rows({self.name!r}, {len(self._of)} items)"

    def _id(self, case: Case) -> str:
        asked = dumps([case.messages, case.tools, case.expected]).encode("utf-8", "surrogatepass")
        return f"{case.index}-{hashlib.sha256(asked).hexdigest()[:8]}"

    def items(self) -> list[Item]:
        """Return the rows that can be asked and judged."""
        return [
            Item(name, case.messages, case.expected, case.tools, self._source(case), case.row)
            for name, case in self._of.items()
        ]

    def _source(self, case: Case) -> str | None:
        found = case.row.get(self._cluster) if self._cluster is not None else None
        return None if found is None else str(found)

    def grade(self, asked: Sequence[tuple[Item, Turn]]) -> list[Verdict]:
        """Return the scorer's verdicts; one that takes too long gives none."""
        scores = self._judge.score_many([(self._of[item.id], answer) for item, answer in asked], timeout=_SECONDS)
        return [
            Verdict(score.value, score.reason, answer.text, "" if score.value is None else _outcome(score.value))
            for score, (_, answer) in zip(scores, asked, strict=True)
        ]


def _left_out(dataset: Any, skipped: int, unfit: dict[int, str]) -> tuple[str, ...]:
    """Return in sentences which rows are not asked."""
    bad = getattr(getattr(dataset, "report", None), "bad", ())
    count = skipped + sum(each.index is None for each in bad)
    told = []
    if count:
        why = str(bad[0]) if bad else "no assistant turn that could be the reference answer"
        told.append(f"{_rows(count)} left out ({why})")
    if unfit:
        row, why = next(iter(unfit.items()))
        told.append(
            f"{_rows(len(unfit))} left out, because the scorer cannot compare with the reference (row {row}: {why})"
        )
    return tuple(told)


def _rows(count: int) -> str:
    return "1 row is" if count == 1 else f"{count} rows are"


def _outcome(value: float) -> str:
    return "passed" if value >= 1 else "failed"
