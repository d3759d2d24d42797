"""Scorers, checked before anything is generated, and asked so that one row that cannot be judged stays one row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from shadownb.engine.evals.cases import Case
from shadownb.engine.evals.turns import Turn
from shadownb.engine.scoring import Sample, Score, ScorerFailed, Scoring
from shadownb.errors import ConfigError, DataError

_TRIED = 3  # references that a scorer is tried on; a judge that costs money is not asked about each


class Unscorable(Exception):
    """Why a row has no score."""


class Judge:
    """Asks a scorer about the answers of cases."""

    def __init__(self, scorer: Callable[..., Any] | str) -> None:
        self._scoring = Scoring(scorer)
        self.name = self._scoring.name

    def unfit(self, cases: Sequence[Case]) -> dict[int, str]:
        """Return why references cannot be scored, by the row's number; asked before anything is generated.

        Raises
        ------
        DataError
            None of them can.
        ConfigError
            The scorer gives no number for the first references against themselves, and no reason for it.
        """
        found = {case.index: self._scoring.refusal(case.expected) for case in cases}
        reasons = {index: reason for index, reason in found.items() if reason is not None}
        fit = [case for case in cases if case.index not in reasons]
        if not fit:
            raise DataError(
                f"None of the {len(cases)} rows can be scored by {self.name}.",
                why=f"Row {cases[0].index}: {reasons[cases[0].index]}.",
                fix="Choose a scorer that fits the references, for example snb.Exact().",
            )
        failed: list[ScorerFailed] = []
        for case in fit[:_TRIED]:
            try:
                self._scoring.ask(_sample(case, case.reference))
                return reasons
            except ScorerFailed as error:
                failed.append(error)
        raise ConfigError(
            f"The scorer {self.name} gave no score for row {fit[0].index}: {failed[0]}.",
            why="It was tried on references as if they were answers, before anything was generated.",
            fix="Return a finite number or a Score for every output; Score(None, reason) for one that cannot be judged.",
        )

    def score(self, case: Case, answer: Turn) -> tuple[float, str]:
        """Return value and reason. Raises :class:`Unscorable`."""
        score = self._scoring.score(_sample(case, answer))
        if score.value is None:
            raise Unscorable(score.reason)
        return score.value, score.reason

    def score_many(self, asked: Sequence[tuple[Case, Turn]], *, timeout: float) -> list[Score]:
        """Return the verdict of each answer, of None where there is none; ``timeout`` is of one call, in seconds."""
        return self._scoring.score_many([_sample(case, answer) for case, answer in asked], timeout=timeout)


def _sample(case: Case, answer: Turn) -> Sample:
    prompt = Turn.of_message(case.messages[-1]).text
    return Sample(answer.text, case.expected, prompt, case.messages, case.tools, case.row)
