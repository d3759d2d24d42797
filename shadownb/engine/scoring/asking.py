"""Asking a scorer: by name, object or function, with what it takes, and so that what it gets wrong is never a score."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

from shadownb.engine import registry
from shadownb.engine.scoring.base import SHOWN, Sample, Score
from shadownb.errors import ConfigError


class ScorerFailed(Exception):
    """Why a scorer gave no verdict: it raised, or returned no finite number."""


class Scoring:
    """A scorer as it is asked, whatever it was given as.

    Parameters
    ----------
    scorer
        A scorer, a function ``(output, expected)``, or the name of one in the registry.

    Raises
    ------
    ConfigError
        It cannot be called in this way, or none goes by this name.
    """

    def __init__(self, scorer: Callable[..., Any] | str) -> None:
        self._scorer = _registered(scorer) if isinstance(scorer, str) else scorer
        if not callable(self._scorer):
            raise ConfigError(
                f"scorer={scorer!r} cannot be called.",
                fix="Give snb.Exact(), snb.JsonExact(), a function (output, expected), or the name of a registered scorer.",
            )
        names = (getattr(self._scorer, "name", None), scorer, getattr(self._scorer, "__name__", None))
        self.name = next((name for name in names if isinstance(name, str) and name), type(self._scorer).__name__)
        self._takes = _takes(self._scorer, self.name)

    def refusal(self, expected: str) -> str | None:
        """Return why an expected answer cannot be compared with; None where it can, or where the scorer does not say."""
        check = getattr(self._scorer, "check", None)
        if callable(check):
            try:
                check(expected)
            except Exception as error:
                return _told(error)
        return None

    def ask(self, sample: Sample) -> Score:
        """Return the verdict, of None where the scorer gives a reason for having none. Raises :class:`ScorerFailed`."""
        shown = {name: getattr(sample, name) for name in self._takes}
        try:
            given = self._scorer(sample.output, sample.expected, **shown)
        except Exception as error:
            raise ScorerFailed(f"the scorer raised {_told(error)}") from error
        value, reason = getattr(given, "value", given), str(getattr(given, "reason", "") or "")
        if value is None and reason:
            return Score(None, reason)
        try:
            number = float(value)
        except (TypeError, ValueError, OverflowError):
            raise ScorerFailed(f"the scorer returned {value!r}, not a number") from None
        if not math.isfinite(number):
            raise ScorerFailed(f"the scorer gave {number}")
        return Score(number, reason)

    def score(self, sample: Sample) -> Score:
        """Return the verdict; of None, with the reason, where there is none for whatever reason."""
        try:
            return self.ask(sample)
        except ScorerFailed as error:
            return Score(None, str(error))


def _registered(name: str) -> Any:
    found = registry.resolve("scorer", name)
    if not isinstance(found, type):
        return found
    try:
        return found()
    except TypeError as error:
        raise ConfigError(
            f"scorer={name!r} is a class that cannot be made without arguments: {error}.",
            fix=f"Make it yourself: scorer={found.__name__}(...).",
        ) from None


def _takes(scorer: Callable[..., Any], name: str) -> tuple[str, ...]:
    """Return which of :data:`SHOWN` a scorer takes. Raises ConfigError where it takes no output and expected answer."""
    try:
        signature = inspect.signature(scorer)
    except (TypeError, ValueError):  # some functions written in C do not say
        return ()
    kinds = {parameter.name: parameter.kind for parameter in signature.parameters.values()}
    anything = inspect.Parameter.VAR_KEYWORD in kinds.values()
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    # Of (a, prompt) the second is the expected answer, whatever it is called.
    others = set(list(kinds)[2:]) | {known for known, kind in kinds.items() if kind is inspect.Parameter.KEYWORD_ONLY}
    taken = tuple(shown for shown in SHOWN if (shown in others and kinds[shown] in by_name) or anything)
    try:
        signature.bind("output", "expected", **dict.fromkeys(taken))
    except TypeError:
        raise ConfigError(
            f"The scorer {name}{signature} cannot be called as scorer(output, expected).",
            fix=f"Let it take the output and the expected answer, and of {', '.join(SHOWN)} what it needs.",
        ) from None
    return taken


def _told(error: Exception) -> str:
    text = str(error).splitlines()[0] if str(error) else ""
    return text if isinstance(error, ValueError) and text else f"{type(error).__name__}: {text}".rstrip(": ")
