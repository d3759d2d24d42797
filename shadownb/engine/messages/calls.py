"""Tool calls and tool schemas of every source as the same plain dicts; arguments that are JSON text are parsed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from shadownb.engine.jsontext import RepeatedKey, loads_piece
from shadownb.engine.messages.texts import RowProblem, json_value
from shadownb.engine.messages.values import Unread, from_json_text, word_for

_ARGUMENTS = ("arguments", "parameters", "args", "input")
_TAGGED = re.compile(r"<tool_call>\s*(\{.*?\})\s*</tool_call>", re.DOTALL)


def looks_like_call(value: Any) -> bool:
    """Whether a value is a tool call: a name and arguments."""
    if not isinstance(value, Mapping):
        return False
    function = value.get("function", value)
    return (
        isinstance(function, Mapping)
        and isinstance(function.get("name"), str)
        and any(isinstance(function.get(key), (Mapping, str)) for key in _ARGUMENTS[:1])
    )


def looks_like_schema(value: Any) -> bool:
    """Whether a value is the schema of a tool: a name and what its arguments are."""
    if not isinstance(value, Mapping):
        return False
    function = value.get("function", value)
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        return False
    parameters = from_json_text(function.get("parameters", function.get("input_schema")))
    return value.get("type") == "function" or (
        isinstance(parameters, Mapping) and ("properties" in parameters or parameters.get("type") == "object")
    )


def canonical_tool_calls(value: Any, where: str = "tool_calls", unread: Unread | None = None) -> list[dict[str, Any]]:
    """Return tool calls with dict arguments; ids are kept where there are any. Raises :class:`RowProblem`."""
    value = from_json_text(value)
    if isinstance(value, dict):
        value = [value]
    if not isinstance(value, (list, tuple)):
        raise RowProblem(f"{where} has tool_calls of type {type(value).__name__}, not a list")
    calls = []
    for entry in value:
        item = from_json_text(entry)
        function = (from_json_text(item.get("function")) or item) if isinstance(item, dict) else None
        name = function.get("name") if isinstance(function, dict) else None
        if not isinstance(function, dict) or not isinstance(name, str) or not name:
            raise RowProblem(f"{where} has a tool call without a name")
        key = next((key for key in _ARGUMENTS if key in function), "arguments")
        call: dict[str, Any] = {"id": item["id"]} if isinstance(item.get("id"), str) else {}
        call["type"] = "function"
        call["function"] = {"name": name, "arguments": _arguments(function.get(key), name, where)}
        calls.append(json_value(call, where))
        if unread is not None:
            said = [*(["id"] if "id" in call else []), *_plain_type(item)]
            if function is not item:
                unread.keys("tool_calls[]", item, ("function", *said))
            unread.keys(
                "tool_calls[].function", function, ("name", key, *(said if function is item else _plain_type(function)))
            )
    return calls


def _plain_type(held: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the key that says no more than that this is a function."""
    return ("type",) if held.get("type") in (None, "function") else ()


def call_arguments(value: Any) -> dict[str, Any]:
    """Return the arguments of a call, which most write as JSON text; nothing is a call without any.

    Raises
    ------
    ValueError
        They are no JSON object; says what they are.
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        return {}
    if isinstance(value, str):
        try:
            value = loads_piece(value, unique=True)
        except RepeatedKey as error:
            raise ValueError(f"in its arguments {error}") from None
        except ValueError:
            raise ValueError("its arguments are not valid JSON") from None
    if not isinstance(value, dict):
        raise ValueError(f"its arguments are {word_for(value)}, not an object")
    return value


def _arguments(value: Any, name: str, where: str) -> dict[str, Any]:
    try:
        return call_arguments(value)
    except ValueError as error:
        raise RowProblem(f"{where}: in the call to {name!r} {error}") from None


def tagged_calls(content: str) -> tuple[str, list[dict[str, Any]]] | None:
    """Return (text beside, calls) of an answer that writes its calls between ``<tool_call>`` tags; None where it does not."""
    found = [from_json_text(match[1]) for match in _TAGGED.finditer(content)]
    if not found or not all(looks_like_call(call) for call in found):
        return None
    rest = _TAGGED.sub("", content)
    return None if "<tool_call>" in rest else (rest.strip(), found)


def canonical_tools(value: Any, unread: Unread | None = None, what: str = "tools") -> list[dict[str, Any]]:
    """Return tool schemas as ``{"type": "function", "function": {"name", ...}}``. Raises :class:`RowProblem`."""
    value = from_json_text(value)
    if value is None or value == "":
        return []
    if isinstance(value, dict):
        value = [value]
    if not isinstance(value, (list, tuple)):
        raise RowProblem(f"{what} is {word_for(value)}, not a list of tool schemas")
    tools = []
    for number, entry in enumerate(value):
        item = from_json_text(entry)
        function = (from_json_text(item.get("function")) or item) if isinstance(item, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str) or not function["name"]:
            raise RowProblem(f"{what}[{number}] has no name")
        if unread is not None and function is not item:
            unread.keys(f"{what}[]", item, ("function", *_plain_type(item)))
        function = {key: part for key, part in function.items() if key not in _plain_type(function)}
        if "parameters" in function:
            function["parameters"] = _schema(from_json_text(function["parameters"]))
        tools.append(json_value({"type": "function", "function": function}, f"{what}[{number}]"))
    return tools


def _schema(parameters: Any) -> Any:
    """Return parameters as a JSON schema; xlam's rows give the properties alone."""
    if not isinstance(parameters, dict) or "properties" in parameters or isinstance(parameters.get("type"), str):
        return parameters
    named = {name: entry for name, entry in parameters.items() if entry is not None}
    bare = bool(named) and all(
        isinstance(entry, dict) and ({"type", "description"} & entry.keys()) for entry in named.values()
    )
    return {"type": "object", "properties": parameters} if bare else parameters
