"""Tool calls, compared by structure."""

from __future__ import annotations

import re
from typing import Any

from shadownb.engine import jsontext
from shadownb.engine.messages.calls import call_arguments
from shadownb.engine.scoring.answers import plain
from shadownb.engine.scoring.base import Score
from shadownb.engine.scoring.json_exact import same_json

_TAGGED = re.compile(r"<tool_call>(.*?)</tool_call>", re.S)
_MARKUP = re.compile(r"</?tool_call>|\[TOOL_CALLS\]")


class ToolCall:
    """Score an answer by the calls that it makes: names, arguments and how many.

    Calls are read from a JSON list behind the text, as the answers of a model come to a scorer, from ``<tool_call>`` blocks, or
    from an answer that is one object with ``name`` and ``arguments``. Where no call is expected, making none is right.

    Parameters
    ----------
    partial
        Give a call with the right name the share of its arguments that are right; each argument and each call too many counts as
        wrong. False: 1.0 where all is right, else 0.0.

    Examples
    --------
    >>> said = '[{"name": "look", "arguments": {"city": "Rome", "days": 1}}]'
    >>> snb.scoring.ToolCall()(said, '[{"name": "look", "arguments": {"city": "Oslo", "days": 1}}]')
    Score(value=0.5, reason='arguments of look')
    """

    name: str = "tool_call"

    def __init__(self, *, partial: bool = True) -> None:
        self.partial = partial

    def __repr__(self) -> str:
        return f"ToolCall(partial={self.partial})"

    def __call__(self, output: str, expected: str) -> Score:
        """Return the score of an answer."""
        wanted = calls_of(plain(expected))
        if wanted is None:
            raise ValueError(f"the expected calls cannot be read: {expected[:60]!r}")
        given = calls_of(plain(output))
        if given is None:
            return Score(0.0, "a call that cannot be read")
        if not wanted:
            return Score(
                float(not given), f"calls {given[0]['name']}, and none is meant" if given else "no call, as expected"
            )
        if not given:
            return Score(0.0, f"no call; expected {wanted[0]['name']}")
        left, total, wrong = list(given), 0.0, []
        for call in wanted:
            best = max(
                (each for each in left if each["name"] == call["name"]),
                key=lambda each: _share(each, call),
                default=None,
            )
            share = 0.0 if best is None else _share(best, call)
            if best is not None:
                left.remove(best)
            total += share
            wrong += [f"{call['name']} is not called" if best is None else f"arguments of {call['name']}"] * (share < 1)
        wrong += [f"{call['name']} is called and not meant" for call in left]
        value = total / max(len(wanted), len(given))
        return Score(
            value if self.partial else float(not wrong), "; ".join(map(str, wrong))[:120] or "the calls that were meant"
        )


def calls_of(text: str) -> list[dict[str, Any]] | None:
    """Return the calls of an answer, ``{"name", "arguments"}``; None where it has what was meant as a call and is none."""
    if _MARKUP.search(text):
        blocks = _TAGGED.findall(text)
        found = [_calls(block) for block in blocks]
        rest = _MARKUP.search(_TAGGED.sub("", text))
        return None if rest or not all(found) else [call for calls in found for call in calls or ()]
    stripped = text.strip()
    whole = _calls(stripped)
    if whole is not None:
        return whole
    _, newline, last = stripped.rpartition("\n")
    return (_calls(last) or []) if newline else []


def _calls(text: str) -> list[dict[str, Any]] | None:
    """Return calls where a text is JSON of one or several and nothing else."""
    try:
        value = jsontext.loads_piece(text.strip(), unique=True)
    except ValueError:
        return None
    values = value if isinstance(value, list) else [value]
    if not all(map(_is_call, values)):
        return None
    try:
        return [_call(each) for each in values]
    except ValueError:  # arguments that are no object
        return None


def _is_call(value: Any) -> bool:
    inner = value.get("function", value) if isinstance(value, dict) else None
    return (
        isinstance(inner, dict)
        and isinstance(inner.get("name"), str)
        and set(inner) <= {"name", "arguments", "parameters"}
    )


def _call(value: dict[str, Any]) -> dict[str, Any]:
    inner = value.get("function", value)
    return {"name": inner["name"], "arguments": call_arguments(inner.get("arguments", inner.get("parameters")))}


def _share(given: dict[str, Any], wanted: dict[str, Any]) -> float:
    ours, theirs = wanted["arguments"], given["arguments"]
    fields = {**ours, **theirs}
    if not fields:
        return 1.0
    # The name alone is no half of a call: a wrong argument does a wrong thing.
    return sum(field in ours and field in theirs and _same(ours[field], theirs[field]) for field in fields) / len(
        fields
    )


def _same(left: Any, right: Any) -> bool:
    """Compare as JSON does, where 1 and 1.0 are one number."""
    numbers = [isinstance(each, int | float) and not isinstance(each, bool) for each in (left, right)]
    return bool(left == right) if all(numbers) else same_json(left, right)
