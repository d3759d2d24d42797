"""What suites have in common whose answers a scorer grades: data from somewhere, a question, an expected answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

from shadownb.engine.evals.suites import places
from shadownb.engine.evals.suites.base import Item, Verdict
from shadownb.engine.evals.turns import Turn
from shadownb.engine.inference.types import Sampling
from shadownb.engine.scoring import Sample, Scoring

_SECONDS = 30.0  # of one answer; a formula may be written so that its simplification does not end


class Scored:
    """A suite whose items are rows, each with a question and an expected answer; others derive from it.

    Attributes
    ----------
    name
        What it is called.
    sources
        (what it is called, a function that reads the rows), tried in order.
    fix
        What to do where none has the data.
    """

    name = ""
    fix = ""
    rules: Sequence[str] = ()
    sampling = Sampling(temperature=0.0, max_new_tokens=512)

    def sources(self) -> Sequence[tuple[str, Callable[[], places.Rows]]]:
        """Return where the rows come from."""
        raise NotImplementedError

    def item(self, number: int, row: Mapping[str, Any]) -> Item:
        """Return the item of a row."""
        raise NotImplementedError

    def scorer(self) -> Callable[..., Any]:
        """Return what grades an answer."""
        raise NotImplementedError

    @cached_property
    def _items(self) -> list[Item]:
        rows = places.first_of(self.sources(), of=self.name, fix=self.fix)
        return [self.item(number, row) for number, row in enumerate(rows)]

    @cached_property
    def _scoring(self) -> Scoring:
        return Scoring(self.scorer())

    def items(self) -> list[Item]:
        """Return all items. Raises :class:`DataError` where its data is not here."""
        return self._items

    def grade(self, asked: Sequence[tuple[Item, Turn]]) -> list[Verdict]:
        """Return the scorer's verdicts."""
        samples = [
            Sample(answer.text, item.expected, str(item.messages[-1]["content"]), item.messages, item.tools, item.row)
            for item, answer in asked
        ]
        scores = self._scoring.score_many(samples, timeout=_SECONDS)
        return [
            Verdict(score.value, score.reason, sample.output, "" if score.value is None else _outcome(score.value))
            for sample, score in zip(samples, scores, strict=True)
        ]


def _outcome(value: float) -> str:
    return "passed" if value >= 1 else "failed"


def asks(question: str) -> list[dict[str, Any]]:
    """Return the conversation of a question."""
    return [{"role": "user", "content": question}]
