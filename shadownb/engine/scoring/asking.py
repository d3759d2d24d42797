"""Asking a scorer: by name, object or function, with what it takes, and so that what it gets wrong is never a score."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from shadownb.engine.scoring import batches, limits
from shadownb.engine.scoring.base import SHOWN, Sample, Score
from shadownb.engine.scoring.finding import find
from shadownb.errors import ConfigError


class ScorerFailed(Exception):
    """Why a scorer gave no verdict: it raised, took too long, or returned no finite number."""


class Scoring:
    """A scorer as it is asked, whatever it was given as.

    Parameters
    ----------
    scorer
        A scorer, a function ``(output, expected)``, one of a whole batch ``(prompts, completions, **columns)``, either of them
        ``async`` or not, the name of one in the registry, or ``"module:attribute"``.
    expected
        The column of a row that has the expected answer; None: the first of :data:`EXPECTED` that it has.

    Attributes
    ----------
    name : str
    in_batches : bool
        Whether it is asked about many answers in one call.
    needs_expected : bool
        Whether it cannot be asked without an expected answer.

    Raises
    ------
    ConfigError
        It cannot be called in this way, or none goes by this name.
    """

    def __init__(self, scorer: Callable[..., Any] | str, *, expected: str | None = None) -> None:
        self._scorer = find(scorer) if isinstance(scorer, str) else scorer
        if isinstance(self._scorer, type) or not callable(self._scorer):
            raise ConfigError(
                f"scorer={scorer!r} cannot be called.",
                fix="Give snb.Exact(), snb.JsonExact(), a function (output, expected), or the name of a registered scorer.",
            )
        names = (getattr(self._scorer, "name", None), scorer, getattr(self._scorer, "__name__", None))
        self.name = next((name for name in names if isinstance(name, str) and name), type(self._scorer).__name__)
        self.expected = expected
        self.in_batches = batches.takes_batches(self._scorer)
        self._takes = () if self.in_batches else _takes(self._scorer, self.name)
        said = getattr(self._scorer, "needs_expected", None)
        self.needs_expected = bool(said) if said is not None else not self.in_batches and _needs_expected(self._scorer)

    def __repr__(self) -> str:
        return f"Scoring({self.name})"

    def refusal(self, expected: str) -> str | None:
        """Return why an expected answer cannot be compared with; None where it can, or where the scorer does not say."""
        check = getattr(self._scorer, "check", None)
        if callable(check):
            try:
                check(expected)
            except Exception as error:
                return told(error)
        return None

    def ask(self, sample: Sample) -> Score:
        """Return the verdict, of None where the scorer gives a reason for having none. Raises :class:`ScorerFailed`."""
        if self.in_batches:
            score = self._of_batch([sample])[0]
            if score.value is None and score.reason.startswith(_FAILED):
                raise ScorerFailed(score.reason)
            return score
        try:
            given = limits.finished(self._call(sample))
        except Exception as error:
            raise ScorerFailed(f"{_FAILED} raised {told(error)}") from error
        return verdict(given)

    def score(self, sample: Sample) -> Score:
        """Return the verdict; of None, with the reason, where there is none for whatever reason."""
        try:
            return self.ask(sample)
        except ScorerFailed as error:
            return Score(None, str(error))

    def score_many(self, samples: Sequence[Sample], *, timeout: float | None = None) -> list[Score]:
        """Return the verdicts, in order; what a scorer gets wrong is of None, with the reason, and spares the others.

        Parameters
        ----------
        timeout
            Seconds that one call may take: for one answer, or for all where the scorer takes them together. The calls of an
            ``async`` scorer go on side by side.
        """
        many = getattr(self._scorer, "score_many", None)
        if callable(many):
            found: list[Score] = many(samples, timeout=timeout)
            return found
        if self.in_batches:
            late = [Score(None, _late(timeout))] * len(samples)
            return limits.each([lambda: self._of_batch(samples, timeout)], timeout, late=lambda _: late)[0]
        if inspect.iscoroutinefunction(self._scorer) or inspect.iscoroutinefunction(type(self._scorer).__call__):
            calls = [partial(self._call, sample) for sample in samples]
            return [self._read(given, timeout) for given in limits.together(calls, timeout)]
        return limits.each(
            [partial(self.score, sample) for sample in samples],
            timeout,
            late=lambda ended: Score(None, _late(timeout) if ended else f"{_FAILED} is still at another answer"),
        )

    def _call(self, sample: Sample) -> Any:
        shown = {name: getattr(sample, name) for name in self._takes}
        return self._scorer(sample.output, sample.expected, **shown)

    def _read(self, given: Any, timeout: float | None) -> Score:
        """Return what a call gave, or the exception in its place, as a verdict."""
        if isinstance(given, TimeoutError):
            return Score(None, _late(timeout))
        if isinstance(given, Exception):
            return Score(None, f"{_FAILED} raised {told(given)}")
        try:
            return verdict(given)
        except ScorerFailed as error:
            return Score(None, f"{error}")

    def _of_batch(self, samples: Sequence[Sample], timeout: float | None = None) -> list[Score]:
        try:
            given = limits.finished(batches.call(self._scorer, self.name, samples), timeout)
        except ConfigError:  # it wants a column that is not there: nothing of this run could be scored
            raise
        except TimeoutError:
            return [Score(None, _late(timeout))] * len(samples)
        except Exception as error:
            return [Score(None, f"{_FAILED} raised {told(error)}")] * len(samples)
        try:
            values = list(given)
        except TypeError:
            return [Score(None, f"{_FAILED} returned {given!r:.60}, not a list of numbers")] * len(samples)
        if len(values) != len(samples):
            return [Score(None, f"{_FAILED} returned {len(values)} values for {len(samples)} answers")] * len(samples)
        return [self._read(value, timeout) for value in values]


_FAILED = "the scorer"


def verdict(given: Any) -> Score:
    """Return what a scorer returned as a Score. Raises :class:`ScorerFailed` where it is no verdict."""
    value, reason = getattr(given, "value", given), str(getattr(given, "reason", "") or "")
    if value is None and reason:
        return Score(None, reason)
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):  # the last is torch's, for a tensor of several numbers
        raise ScorerFailed(f"{_FAILED} returned {value!r:.60}, not a number") from None
    if not math.isfinite(number):
        raise ScorerFailed(f"{_FAILED} gave {number}")
    return Score(number, reason)


def told(error: Exception) -> str:
    """Return one line about an error: its own text where that is written for people."""
    text = str(error).splitlines()[0] if str(error) else ""
    return text if isinstance(error, ValueError) and text else f"{type(error).__name__}: {text}".rstrip(": ")


def _late(timeout: float | None) -> str:
    return f"{_FAILED} took longer than {timeout or math.inf:g} s"


def _needs_expected(scorer: Callable[..., Any]) -> bool:
    try:
        parameters = list(inspect.signature(scorer).parameters.values())
    except (TypeError, ValueError):
        return True
    return len(parameters) < 2 or parameters[1].default is inspect.Parameter.empty


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
            fix=f"Let it take the output and the expected answer, and of {', '.join(SHOWN)} what it needs; or the prompts and "
            "completions of a whole batch: scorer(prompts, completions, **columns).",
        ) from None
    return taken
