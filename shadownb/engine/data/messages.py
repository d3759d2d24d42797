"""One form for conversations: every source's messages, tool calls and tool schemas become the same plain dicts.

A canonical message has ``role`` and a string ``content``; where they apply also ``tool_calls``
(``{"id"?, "type": "function", "function": {"name", "arguments": dict}}``), ``tool_call_id``, ``name``,
``reasoning_content`` and ``weight`` (0 keeps an assistant turn out of the loss). Arguments that arrive as JSON text
are parsed, so that no template encodes them twice. What cannot be brought into this form raises :class:`RowProblem`.
"""

from __future__ import annotations

from typing import Any

from shadownb.engine.jsontext import loads

ROLES = ("system", "user", "assistant", "tool")

_ROLE_NAMES = {
    **{role: role for role in ROLES},
    "developer": "system",
    "human": "user",
    "gpt": "assistant",
    "model": "assistant",
    "chatgpt": "assistant",
    "function": "tool",
    "observation": "tool",
    "function_call": "assistant",
}
_KEPT_STRINGS = ("name", "tool_call_id", "reasoning_content")


class RowProblem(ValueError):
    """The reason one row cannot be used; a report or an error carries its text."""


def canonical_messages(value: Any, *, what: str = "messages", allow_empty: bool = False) -> list[dict[str, Any]]:
    """Return ``value`` as canonical messages.

    Parameters
    ----------
    value
        A list of messages with ``role``/``content`` or ``from``/``value`` keys, or JSON text of one.
    what
        The name of the column, for the reason.
    allow_empty
        Accept assistant messages without text, as a chat that goes on may hold them; rows to train may not.

    Raises
    ------
    RowProblem
        If it is not a list of messages, or a message lacks a known role or usable content.
    """
    value = from_json_text(value)
    if not isinstance(value, (list, tuple)):
        raise RowProblem(f"{what} is {_kind(value)}, not a list of messages")
    if not value:
        raise RowProblem(f"{what} is empty")
    return [_message(item, f"{what}[{number}]", allow_empty) for number, item in enumerate(value)]


def _message(item: Any, where: str, allow_empty: bool) -> dict[str, Any]:
    if not isinstance(item, dict):
        raise RowProblem(f"{where} is {_kind(item)}, not a message with role and content")
    named = item.get("role", item.get("from"))
    if named is None or named == "":
        raise RowProblem(f"{where} has no role")
    role = _ROLE_NAMES.get(named) if isinstance(named, str) else None
    if role is None:
        raise RowProblem(f"{where} has the unknown role {named!r} (known: {', '.join(ROLES)})")
    content = item.get("content", item.get("value"))
    raw_calls = item.get("tool_calls")
    if named == "function_call":
        raw_calls, content = content, None
    calls = canonical_tool_calls(raw_calls, where) if raw_calls not in (None, [], "") else []
    if calls and role != "assistant":
        raise RowProblem(f"{where} has tool_calls, but its role is {role!r}")
    missing_ok = bool(calls) or (allow_empty and role == "assistant")
    message: dict[str, Any] = {"role": role, "content": _content(content, where, missing_ok)}
    if calls:
        message["tool_calls"] = calls
    elif role == "assistant" and not allow_empty and not message["content"].strip():
        raise RowProblem(f"{where} is an assistant message without text")
    for key in _KEPT_STRINGS:
        if isinstance(item.get(key), str):
            message[key] = item[key]
    weight = item.get("weight")
    if weight is not None:
        if weight not in (0, 1):
            raise RowProblem(f"{where} has weight {weight!r}; it must be 0 or 1")
        message["weight"] = int(weight)
    return message


def _content(content: Any, where: str, missing_ok: bool) -> str:
    if isinstance(content, str):
        return content
    if content is None:
        if missing_ok:
            return ""
        raise RowProblem(f"{where} has no content")
    if isinstance(content, (list, tuple)) and content:
        texts = [part.get("text") for part in content if isinstance(part, dict) and part.get("type", "text") == "text"]
        strings = [text for text in texts if isinstance(text, str)]
        if len(strings) == len(content):
            return "".join(strings)
        raise RowProblem(f"{where} has content parts that are not text")
    raise RowProblem(f"{where} has content of type {type(content).__name__}, not text")


def canonical_tool_calls(value: Any, where: str = "tool_calls") -> list[dict[str, Any]]:
    """Return tool calls with dict arguments; ids are kept where there are any. Raises :class:`RowProblem`."""
    value = from_json_text(value)
    if isinstance(value, dict):
        value = [value]
    if not isinstance(value, (list, tuple)):
        raise RowProblem(f"{where} has tool_calls of type {type(value).__name__}, not a list")
    calls = []
    for item in value:
        function = item.get("function", item) if isinstance(item, dict) else None
        name = function.get("name") if isinstance(function, dict) else None
        if not isinstance(function, dict) or not isinstance(name, str) or not name:
            raise RowProblem(f"{where} has a tool call without a name")
        arguments = function.get("arguments", function.get("parameters"))
        call: dict[str, Any] = {"id": item["id"]} if isinstance(item.get("id"), str) else {}
        call["type"] = "function"
        call["function"] = {"name": name, "arguments": _arguments(arguments, name, where)}
        calls.append(call)
    return calls


def _arguments(value: Any, name: str, where: str) -> dict[str, Any]:
    if value is None or value == "":
        return {}
    if isinstance(value, str):
        try:
            value = loads(value)
        except ValueError:
            raise RowProblem(f"{where}: the arguments of the call to {name!r} are not valid JSON") from None
    if not isinstance(value, dict):
        raise RowProblem(f"{where}: the arguments of the call to {name!r} are {_kind(value)}, not an object")
    return value


def canonical_tools(value: Any) -> list[dict[str, Any]]:
    """Return tool schemas as ``{"type": "function", "function": {"name", ...}}``. Raises :class:`RowProblem`."""
    value = from_json_text(value)
    if value is None or value == "":
        return []
    if isinstance(value, dict):
        value = [value]
    if not isinstance(value, (list, tuple)):
        raise RowProblem(f"tools is {_kind(value)}, not a list of tool schemas")
    tools = []
    for number, entry in enumerate(value):
        item = from_json_text(entry)
        function = item.get("function", item) if isinstance(item, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str) or not function["name"]:
            raise RowProblem(f"tools[{number}] has no name")
        function = {key: part for key, part in function.items() if key != "type"}
        tools.append({"type": "function", "function": function})
    return tools


def from_json_text(value: Any) -> Any:
    """Return the list or dict that a text cell holds as JSON (as CSV and parquet exports do), else ``value``."""
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        try:
            return loads(value)
        except ValueError:
            return value
    return value


def is_message_list(value: Any) -> bool:
    """Whether ``value``, or the JSON text it is, looks like messages."""
    value = from_json_text(value)
    return (
        isinstance(value, (list, tuple))
        and len(value) > 0
        and all(isinstance(item, dict) and ("role" in item or "from" in item) for item in value)
    )


def _kind(value: Any) -> str:
    names = {str: "text", list: "a list", tuple: "a list", dict: "an object", type(None): "missing"}
    return names.get(type(value), f"of type {type(value).__name__}")
