"""Exact comparison of JSON objects."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, NoReturn

from shadownb.engine.jsontext import unique_keys
from shadownb.engine.scoring.base import Score

_SHOWN = 60


def _show(value: Any) -> str:
    """Render a value for a reason, cut to a readable length."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def _no_constant(name: str) -> NoReturn:
    """Refuse NaN and the infinities, which JSON does not have."""
    raise ValueError(f"{name} is not JSON")


def _strip(text: str) -> str:
    """Remove surrounding JSON whitespace, and no other character."""
    return text.strip(" \t\r\n")


def _parse(text: str) -> Any:
    """Parse strict JSON, raising ValueError for everything else."""
    try:
        return json.loads(_strip(text), object_pairs_hook=unique_keys, parse_constant=_no_constant)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def same_json(left: Any, right: Any) -> bool:
    """Compare two JSON values, keeping true apart from 1 and 1 from 1.0."""
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same_json(left[key], right[key]) for key in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same_json, left, right))
    return bool(left == right)


class JsonExact:
    """Scores 1.0 if the output is the expected JSON object and nothing else, else 0.0.

    The whole output has to parse as one strict JSON object. Whitespace around it and inside it
    does not count, nor does the order of the keys. A code fence, a sentence before or after
    the object, a key that appears twice, or a value of another type makes the score 0.0.

    Parameters
    ----------
    keys : iterable of str or None, optional
        The keys to compare. The output must then have exactly these keys, and keys of the
        expected object outside this set are ignored. By default the keys of the expected
        object are used.

    Examples
    --------
    >>> score = snb.JsonExact()
    >>> score('{"urgency": "low"}', '{"urgency": "low"}').value
    1.0
    >>> score('{"urgency": "high"}', '{"urgency": "low"}').reason
    'urgency: got "high", expected "low"'
    """

    name: str = "json_exact"

    def __init__(self, keys: Iterable[str] | None = None) -> None:
        if isinstance(keys, str):
            raise TypeError(f"keys must be a collection of strings, not the string {keys!r}")
        self.keys: tuple[str, ...] | None = None if keys is None else tuple(dict.fromkeys(keys))

    def __repr__(self) -> str:
        return f"JsonExact(keys={self.keys!r})"

    def __call__(self, output: str, expected: str, prompt: str | None = None) -> Score:
        """Compare one output with the expected object, as :class:`Scorer` says; ``prompt`` is not looked at.

        Returns
        -------
        Score
            1.0 for an exact match, else 0.0 with a reason that names what differs.

        Raises
        ------
        ValueError
            If `expected` is not a JSON object or lacks one of `keys`: the data is at fault then,
            and not the output.
        """
        want = self._reference(expected)
        if not _strip(output):
            return Score(0.0, "the output is empty")
        try:
            got = _parse(output)
        except ValueError as error:
            return Score(0.0, self._unparsed(output, error))
        if not isinstance(got, dict):
            return Score(0.0, f"not an object: {_show(got)}")
        problems = [f"missing key {_show(key)}" for key in want if key not in got]
        problems += [f"unexpected key {_show(key)}" for key in got if key not in want]
        problems += [
            f"{key}: got {_show(got[key])}, expected {_show(want[key])}"
            for key in want
            if key in got and not same_json(got[key], want[key])
        ]
        if problems:
            return Score(0.0, "; ".join(problems))
        return Score(1.0, "exact match")

    def check(self, expected: str) -> None:
        """Raise ValueError if an expected answer is not a JSON object, so that this is known before answers are generated.

        Examples
        --------
        >>> snb.JsonExact().check('{"urgency": "low"}')
        >>> snb.JsonExact().check("low")
        Traceback (most recent call last):
            ...
        ValueError: the expected answer is not valid JSON: Expecting value: line 1 column 1 (char 0)
        """
        self._reference(expected)

    def _reference(self, expected: str) -> dict[str, Any]:
        """Parse the expected answer and reduce it to the compared keys."""
        try:
            want = _parse(expected)
        except ValueError as error:
            raise ValueError(f"the expected answer is not valid JSON: {error}") from error
        if not isinstance(want, dict):
            raise ValueError(f"the expected answer is not a JSON object: {_show(want)}")
        if self.keys is None:
            return want
        missing = [key for key in self.keys if key not in want]
        if missing:
            raise ValueError(f"the expected answer lacks {', '.join(map(_show, missing))}")
        return {key: want[key] for key in self.keys}

    @staticmethod
    def _unparsed(output: str, error: ValueError) -> str:
        """Say why an output is not JSON."""
        text = _strip(output)
        if text.startswith("```"):
            return "not JSON: wrapped in a code fence"
        if isinstance(error, json.JSONDecodeError):
            if error.msg == "Extra data":
                return f"not JSON: text after the object: {_show(text[error.pos :])}"
            if not text.startswith(("{", "[")):
                return f"not JSON: starts with {_show(text)}"
        return f"not JSON: {error}"
