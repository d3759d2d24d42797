"""Proof that tools reach the model: every schema, call and result of a row must be found in the rendered text.

Templates differ in markup, so the proof looks for the parts (names, argument names, argument values) rather than for
one form, and for calls only inside the turn that makes them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from shadownb.errors import DataError

if TYPE_CHECKING:
    from shadownb.engine.rendering.layout import Layout

SHOWN = 3


def has_tools(messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None) -> bool:
    """Whether a conversation uses tools at all."""
    return bool(tools) or any(message.get("tool_calls") or message["role"] == "tool" for message in messages)


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
        quoted = leaf.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")  # as LFM2 writes Python's strings
        python = [quoted, quoted.replace("'", "\\'"), repr(leaf)[1:-1], quoted.replace("\t", "\\t").replace("'", "\\'")]
        forms = [leaf, json.dumps(leaf, ensure_ascii=False)[1:-1], json.dumps(leaf)[1:-1], *python]
        return any(form in text for form in forms)
    return json.dumps(leaf) in text or str(leaf) in text
