"""Scorers, checked before anything is generated, and asked so that one row that cannot be judged stays one row."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any

from shadownb.engine.evals.cases import Case
from shadownb.engine.evals.turns import Turn
from shadownb.errors import ConfigError, DataError

_TRIED = 3  # references that a scorer is tried on; a judge that costs money is not asked about each


class Unscorable(Exception):
    """Why a row has no score."""


class Judge:
    """Asks a scorer in the way it takes its arguments."""

    def __init__(self, scorer: Callable[..., Any]) -> None:
        if not callable(scorer):
            raise ConfigError(
                f"scorer={scorer!r} cannot be called.",
                fix="Give snb.Exact(), snb.JsonExact() or a function (output, expected).",
            )
        self._scorer = scorer
        self.name = str(getattr(scorer, "name", None) or getattr(scorer, "__name__", None) or type(scorer).__name__)
        self._takes_prompt = _takes_prompt(scorer, self.name)

    def unfit(self, cases: Sequence[Case]) -> dict[int, str]:
        """Return why references cannot be scored, by the row's number; asked before anything is generated.

        Raises
        ------
        DataError
            None of them can.
        ConfigError
            The scorer gives no number for the first references against themselves.
        """
        check = getattr(self._scorer, "check", None)
        reasons: dict[int, str] = {}
        if callable(check):
            for case in cases:
                try:
                    check(case.expected)
                except Exception as error:
                    reasons[case.index] = _told(error)
        fit = [case for case in cases if case.index not in reasons]
        if not fit:
            raise DataError(
                f"None of the {len(cases)} rows can be scored by {self.name}.",
                why=f"Row {cases[0].index}: {reasons[cases[0].index]}.",
                fix="Choose a scorer that fits the references, for example snb.Exact().",
            )
        failed: list[Unscorable] = []
        for case in fit[:_TRIED]:
            try:
                self.score(case, case.reference)
                return reasons
            except Unscorable as error:
                failed.append(error)
        raise ConfigError(
            f"The scorer {self.name} gave no score for row {fit[0].index}: {failed[0]}.",
            why="It was tried on references as if they were answers, before anything was generated.",
            fix="Return a finite number or a Score for every output, 0 for one that cannot be judged.",
        )

    def score(self, case: Case, answer: Turn) -> tuple[float, str]:
        """Return value and reason. Raises :class:`Unscorable`."""
        prompt = {"prompt": Turn.of_message(case.messages[-1]).text} if self._takes_prompt else {}
        try:
            score = self._scorer(answer.text, case.expected, **prompt)
        except Exception as error:
            raise Unscorable(f"the scorer raised {_told(error)}") from error
        value = getattr(score, "value", score)
        try:
            number = float(value)
        except (TypeError, ValueError, OverflowError):
            raise Unscorable(f"the scorer returned {value!r}, not a number") from None
        if not math.isfinite(number):
            raise Unscorable(f"the scorer gave {number} for row {case.index}")
        return number, str(getattr(score, "reason", "") or "")


def _told(error: Exception) -> str:
    text = str(error).splitlines()[0] if str(error) else ""
    return text if isinstance(error, ValueError) and text else f"{type(error).__name__}: {text}".rstrip(": ")


def _takes_prompt(scorer: Callable[..., Any], name: str) -> bool:
    """Return whether a scorer takes ``prompt=``. Raises ConfigError where it takes no output and expected answer."""
    try:
        signature = inspect.signature(scorer)
    except (TypeError, ValueError):  # some functions written in C do not say
        return False
    for prompt in ({"prompt": ""}, {}):
        try:
            signature.bind("output", "expected", **prompt)
            return bool(prompt)
        except TypeError:
            continue
    raise ConfigError(
        f"The scorer {name}{signature} cannot be called as scorer(output, expected).",
        fix="Let it take the output and the expected answer, and prompt= if it needs the question.",
    )
