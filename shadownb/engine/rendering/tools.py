"""Proof that tools reach the model: every schema, call and result of a row must be found in the rendered text.

Templates differ in markup, so the proof looks for the parts (names, argument names, argument values) rather than for
one form, and for calls only inside the turn that makes them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from shadownb.engine.replies.parts import call_id
from shadownb.errors import DataError

if TYPE_CHECKING:
    from shadownb.engine.rendering.layout import Layout

SHORT_ID = 9
SHOWN = 3


class ToolStyle(NamedTuple):
    """How a template wants tool calls: arguments as an object or as JSON text, ids as given or nine characters."""

    arguments: str = "object"
    ids: str = "given"


STYLES = tuple(ToolStyle(arguments, ids) for ids in ("given", "short") for arguments in ("object", "text"))


def has_tools(messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None) -> bool:
    """Whether a conversation uses tools at all."""
    return bool(tools) or any(message.get("tool_calls") or message["role"] == "tool" for message in messages)


def styled(messages: list[dict[str, Any]], style: ToolStyle) -> list[dict[str, Any]]:
    """Return the messages with tool calls in the form a template wants."""
    if style == ToolStyle():
        return messages
    return [_styled_message(message, style) for message in messages]


def _styled_message(message: dict[str, Any], style: ToolStyle) -> dict[str, Any]:
    message = dict(message)
    if style.ids == "short" and "tool_call_id" in message:
        message["tool_call_id"] = _short(message["tool_call_id"])
    if message.get("tool_calls"):
        calls = []
        for number, given in enumerate(message["tool_calls"]):
            function = dict(given["function"])
            call = {**given, "function": function}
            if style.ids == "short":
                call["id"] = _short(call.get("id") or call_id(number, function["name"], function["arguments"]))
            if style.arguments == "text":
                function["arguments"] = json.dumps(function["arguments"], ensure_ascii=False)
            calls.append(call)
        message["tool_calls"] = calls
    return message


def _short(identifier: str) -> str:
    if len(identifier) == SHORT_ID and identifier.isalnum():
        return identifier
    return call_id(0, identifier, {}).removeprefix("call_").rjust(SHORT_ID, "0")


def missing_tools(text: str, tools: list[dict[str, Any]] | None) -> list[str]:
    """Return what of the schemas is not in ``text``: function names and parameter names."""
    missing = []
    for tool in tools or []:
        function = tool["function"]
        if function["name"] not in text:
            missing.append(f"tool {function['name']!r}")
            continue
        parameters = function.get("parameters")
        properties = parameters.get("properties") if isinstance(parameters, dict) else None
        absent = [str(name) for name in properties or {} if not _occurs(str(name), text)]
        missing += [f"parameter {name!r} of tool {function['name']!r}" for name in absent]
    return missing


def missing_calls(text: str, message: dict[str, Any]) -> list[str]:
    """Return what of a turn's calls is not in ``text``, the rendered turn: names, argument names and values."""
    missing = []
    for call in message.get("tool_calls") or []:
        function = call["function"]
        if function["name"] not in text:
            missing.append(f"call to {function['name']!r}")
            continue
        absent = [leaf for leaf in _leaves(function["arguments"]) if not _occurs(leaf, text)]
        missing += [f"argument {leaf!r} of the call to {function['name']!r}" for leaf in absent]
    return missing


def missing_results(text: str, messages: list[dict[str, Any]]) -> list[str]:
    """Return the tool results that are not in ``text``."""
    results = [message["content"] for message in messages if message["role"] == "tool"]
    return [f"tool result {result[:40]!r}" for result in results if not _occurs(result.strip(), text)]


def require_tools(layout: Layout, messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None) -> None:
    """Raise :class:`DataError` if the rendered text leaves out any part of the tools, calls and results."""
    missing = missing_tools(layout.text, tools) + missing_results(layout.text, messages)
    for index, message in enumerate(messages):
        start, end = layout.spans.get(index, (0, len(layout.text)))
        missing += missing_calls(layout.text[start:end], message)
    if missing:
        more = "" if len(missing) <= SHOWN else f" and {len(missing) - SHOWN} more"
        raise DataError(
            f"The rendered text leaves out {'; '.join(missing[:SHOWN])}{more}.",
            why="A model cannot learn or use what it does not see.",
            fix="Rename what the template cannot write, or pass another chat_template.",
            code="tools-not-rendered",
        )


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for key, entry in value.items():
            yield str(key)
            yield from _leaves(entry)
    elif isinstance(value, list):
        for entry in value:
            yield from _leaves(entry)
    else:
        yield value


def _occurs(leaf: Any, text: str) -> bool:
    if isinstance(leaf, str):
        forms = [leaf, json.dumps(leaf, ensure_ascii=False)[1:-1], json.dumps(leaf)[1:-1]]
        return any(form in text for form in forms)
    return json.dumps(leaf) in text or str(leaf) in text
