"""In which form a template wants its messages: what an OpenAI client would send, in the variants that templates read.

Canonical messages stay what they are; a styled copy is what a template gets.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from shadownb.engine.replies.parts import call_id

SHORT_ID = 9
REASONING_KEYS = ("reasoning_content", "thinking", "reasoning")
_NOT_SHOWN = ("weight", *REASONING_KEYS)


class Style(NamedTuple):
    """How a template wants messages.

    Attributes
    ----------
    arguments
        Those of a tool call as an ``object`` or as JSON ``text``.
    ids
        Those of tool calls as ``given``, or ``short``: nine characters.
    content
        A ``string``, or ``blocks``: a list with one text block, as templates of models that see pictures read it.
    reasoning
        The key under which a turn's reasoning is read.
    """

    arguments: str = "object"
    ids: str = "given"
    content: str = "string"
    reasoning: str = REASONING_KEYS[0]


TOOL_STYLES = tuple(Style(arguments, ids) for ids in ("given", "short") for arguments in ("object", "text"))


def styled(messages: list[dict[str, Any]], style: Style) -> list[dict[str, Any]]:
    """Return canonical messages in the form a template wants, results in the order of their calls.

    Many templates write neither the id nor the name of a tool result, so that only its place says which call it answers.
    """
    return [_styled(message, style) for message in _in_order_of_calls(messages)]


def reasoning_of(message: dict[str, Any]) -> str:
    """Return a turn's reasoning without the white space around it; empty where there is none."""
    return str(message.get("reasoning_content") or "").strip()


def _styled(given: dict[str, Any], style: Style) -> dict[str, Any]:
    message = {key: value for key, value in given.items() if key not in _NOT_SHOWN}
    if reasoning_of(given):
        message[style.reasoning] = given["reasoning_content"]
    if style.content == "blocks":
        message["content"] = [{"type": "text", "text": given["content"]}]
    if style.ids == "short" and "tool_call_id" in message:
        message["tool_call_id"] = _short(message["tool_call_id"])
    if message.get("tool_calls"):
        message["tool_calls"] = [_styled_call(number, call, style) for number, call in enumerate(message["tool_calls"])]
    return message


def _styled_call(number: int, given: dict[str, Any], style: Style) -> dict[str, Any]:
    function = dict(given["function"])
    call = {**given, "function": function}
    if style.ids == "short":
        call["id"] = _short(call.get("id") or call_id(number, function["name"], function["arguments"]))
    if style.arguments == "text":
        function["arguments"] = json.dumps(function["arguments"], ensure_ascii=False)
    return call


def _short(identifier: str) -> str:
    if len(identifier) == SHORT_ID and identifier.isalnum():
        return identifier
    return call_id(0, identifier, {}).removeprefix("call_").rjust(SHORT_ID, "0")


def _in_order_of_calls(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    ordered: list[dict[str, Any]] = []
    places: dict[str, int] = {}
    results: list[dict[str, Any]] = []
    for message in [*messages, {"role": ""}]:
        if message["role"] == "tool":
            results.append(message)
            continue
        known = [places.get(str(result.get("tool_call_id"))) for result in results]
        if None not in known and len(set(known)) == len(known):
            results.sort(key=lambda result: places[str(result.get("tool_call_id"))])
        ordered += [*results, message]
        results = []
        places = {str(call.get("id")): place for place, call in enumerate(message.get("tool_calls") or [])}
    return ordered[:-1]
