"""What a row has beside its question and its conversation, for whoever scores answers to it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeVar

from shadownb.engine.data.base import CheckedRows
from shadownb.engine.data.columns import CONVERSATIONS, PROMPTS, RESPONSES
from shadownb.engine.messages import is_message_list
from shadownb.engine.messages.texts import shown
from shadownb.engine.messages.values import plain_name

AS_TEXT = "asked as text"
Rows = TypeVar("Rows", bound=CheckedRows)


def beside_question(row: Mapping[Any, Any], canonical: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of a row that are neither its question nor its conversation, as far as JSON can say them.

    A conversation's last answer is there as ``completion`` where the row has no answer of its own. ``asked as text`` says whether
    the question is a text, or messages: scorers get it in the form that the row has.
    """
    found = {str(name): value for name, value in row.items() if plain_name(str(name)) not in (*PROMPTS, *CONVERSATIONS)}
    found = {name: value for name, value in found.items() if _is_json(value)}
    messages = canonical.get("messages") or []
    if messages and messages[-1]["role"] == "assistant" and not any(plain_name(name) in RESPONSES for name in found):
        found["completion"] = messages[-1]["content"]
    asked = [value for name, value in row.items() if plain_name(str(name)) in (*PROMPTS, *CONVERSATIONS)]
    return {**found, AS_TEXT: not any(is_message_list(value) for value in asked)}


def refusing_nothing(data: Rows) -> Rows:
    """Return the same rows, of which none is refused for a column that is not read: whoever scores answers reads those."""
    left = {column.name for column in data.report.unread if column.refuses and "[]" not in column.name}
    names = list(dict.fromkeys(str(name) for row in data.rows for name in row if shown(str(name)) in left))
    if not names:
        return data
    reading = data.reading
    return data.read_as(format=reading.format, columns=reading.columns, ignore=[*reading.ignore, *names])


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True
