"""What a scorer is shown of a prompt and a completion, whichever form these come in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from shadownb.engine.messages.calls import call_arguments
from shadownb.engine.scoring.answers import without_reasoning
from shadownb.engine.scoring.base import Sample

EXPECTED = (
    "expected",
    "answer",
    "final_answer",
    "solution",
    "ground_truth",
    "reference",
    "target",
    "label",
    "completion",
)
"""Columns that may hold the expected answer, the first that is there counts; these are what public data sets call it."""


def sample_of(prompt: Any, completion: Any, row: Mapping[str, Any], expected: str | None = None) -> Sample | None:
    """Return what a scorer is shown, or None where the row has no expected answer.

    Parameters
    ----------
    prompt, completion
        A text, or a list of messages.
    row
        The columns of the row.
    expected
        The column of the expected answer; None: the first of :data:`EXPECTED`.
    """
    column = expected if expected is not None else next((name for name in EXPECTED if name in row), None)
    if column is None or row.get(column) is None:
        return None
    return shown(prompt, completion, row, text_of(row[column]))


def shown(prompt: Any, completion: Any, row: Mapping[str, Any], expected: str) -> Sample:
    """Return what a scorer is shown where the expected answer is known."""
    whole = text_of(completion)
    messages = list(prompt) if _is_messages(prompt) else [{"role": "user", "content": text_of(prompt)}]
    return Sample(
        output=without_reasoning(whole),
        expected=expected,
        prompt=text_of(prompt),
        messages=messages,
        tools=row.get("tools"),
        row=row,
        completion=whole,
        given=completion,
        given_prompt=prompt,
    )


def text_of(value: Any) -> str:
    """Return a text, the text of the last of some messages (calls behind it as one JSON list), or a value as JSON."""
    if isinstance(value, str):
        return value
    if _is_messages(value):
        return _message_text(value[-1])
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _is_messages(value: Any) -> bool:
    return (
        isinstance(value, list | tuple) and bool(value) and all(isinstance(m, Mapping) and "role" in m for m in value)
    )


def _message_text(message: Mapping[str, Any]) -> str:
    content = message.get("content") or ""
    if not isinstance(content, str):
        content = "".join(part.get("text") or "" for part in content if isinstance(part, Mapping))
    calls = [_call(call.get("function") or call) for call in message.get("tool_calls") or ()]
    return "\n".join(part for part in (content, json.dumps(calls, ensure_ascii=False) if calls else "") if part)


def _call(function: Mapping[str, Any]) -> dict[str, Any]:
    try:
        arguments: Any = call_arguments(function.get("arguments"))
    except ValueError:  # shown as it was written
        arguments = function.get("arguments")
    return {"name": function.get("name"), "arguments": arguments}
