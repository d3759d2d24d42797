"""When two messages are the same turn: the part of a message that decides whether a call goes on with a conversation.

Clients send an answer back in another form than they got it: without or with other ids, arguments as JSON text instead of
an object, content parts instead of a string, null fields added or dropped, reasoning left out, white space cut off. None
of that makes it another turn. What does: role, text, what is not text, the tools called with which arguments, and which
call a tool's result answers.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from shadownb.engine.jsontext import loads

ROLES = {"developer": "system", "function": "tool", "human": "user", "ai": "assistant", "model": "assistant"}

_TEXT_PARTS = ("text", "input_text", "output_text")
_HIDDEN_PARTS = ("thinking", "redacted_thinking", "reasoning")
_UNSEEN_PARTS = (*_HIDDEN_PARTS, "reference")  # of an answer: no part of what it says
_ARGUMENTS = ("arguments", "args", "parameters", "input")
_NOT_IDENTITY = ("cache_control", "annotations", "id")
_SIZE = 16  # bytes: two different histories among 10^9 collide with a chance below 10^-20


def role_of(message: Mapping[str, Any]) -> str:
    """Return the role under its one name (``developer`` is ``system``)."""
    role = message.get("role") or "user"
    return ROLES.get(role, role) if isinstance(role, str) else str(role)


def text_of(content: Any) -> str:
    """Return the text of a message's content, whether it is a string, parts, or missing; what is not text is left out."""
    if isinstance(content, str):
        return content
    if isinstance(content, Mapping):
        content = [content]
    if isinstance(content, (list, tuple)):
        return "".join(text for part in content if (text := _part_text(part)) is not None)
    return "" if content is None else str(content)


def message_text(message: Mapping[str, Any]) -> str:
    """Return the text of a message; that of a refusal where there is no content."""
    return text_of(message.get("content")) or str(message.get("refusal") or "")


def visible_content(message: Mapping[str, Any]) -> Any:
    """Return the content of an answer without reasoning parts; the text of a refusal where there is none."""
    content = message.get("content")
    if isinstance(content, (list, tuple)):
        return [part for part in content if not _is_part(part, _UNSEEN_PARTS)] or ""
    return content or str(message.get("refusal") or "")


def reasoning_of(message: Mapping[str, Any]) -> str:
    """Return the reasoning of a message under whichever of the usual names it stands; "" where there is none."""
    for key in ("reasoning_content", "reasoning", "thinking"):
        value = message.get(key)
        if isinstance(value, str) and value:
            return value
    parts = message.get("content")
    hidden = [part for part in parts if _is_part(part, _HIDDEN_PARTS)] if isinstance(parts, (list, tuple)) else []
    return "".join(map(_thought, hidden))


def calls_of(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the tool calls of a message as ``{"id", "name", "arguments"}``, arguments parsed where they are JSON."""
    return [{**call, "arguments": _parsed(call["arguments"])} for call in calls_as_sent(message)]


def calls_as_sent(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the same with arguments as they are, mostly text."""
    given = message.get("tool_calls")
    if not given and isinstance(message.get("function_call"), Mapping):
        given = [{"function": message["function_call"]}]
    if not given or not isinstance(given, (list, tuple)):
        return []
    calls = []
    for item in given:
        if not isinstance(item, dict):
            continue
        inner = item.get("function")
        function = inner if isinstance(inner, dict) else item
        arguments = next((function[key] for key in _ARGUMENTS if key in function), None)
        calls.append({"id": item.get("id"), "name": str(function.get("name") or ""), "arguments": arguments})
    return calls


def _part_text(part: Any) -> str | None:
    if isinstance(part, str):
        return part
    if not isinstance(part, Mapping):
        return None
    kind = part.get("type", "text")
    if kind == "refusal":
        return str(part.get("refusal") or "")
    text = part.get("text")
    return text if kind in _TEXT_PARTS and isinstance(text, str) else None


def _is_part(part: Any, kinds: tuple[str, ...]) -> bool:
    return isinstance(part, Mapping) and part.get("type") in kinds


def _thought(part: Any) -> str:
    """Return the text of a reasoning part, also of one that holds parts itself."""
    if isinstance(part, (list, tuple)):
        return "".join(map(_thought, part))
    if isinstance(part, Mapping):
        return _thought(part.get("thinking") or part.get("text") or part.get("content") or part.get("summary"))
    return "" if part is None else str(part)


def _parsed(arguments: Any) -> Any:
    if arguments is None or arguments == "":
        return {}
    if isinstance(arguments, str):
        try:
            return loads(arguments)
        except ValueError:
            return arguments.strip()
    return arguments


def _plain(value: Any) -> Any:
    """Return ``value`` without what does not count: null fields, ids, cache marks; whole floats as integers."""
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items() if v is not None and k not in _NOT_IDENTITY}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _arguments(value: Any) -> str:
    # Inside arguments every key counts (an id is data there); only the way numbers are written does not.
    text = _json(value)
    return _json(_whole(value)) if ".0" in text else text


def _whole(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _whole(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_whole(entry) for entry in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


_json = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str).encode


def _content_key(message: Mapping[str, Any], role: str) -> str:
    content = message.get("content")
    if isinstance(content, str) and content:
        return content.strip() if role == "assistant" else content
    if isinstance(content, (list, tuple)):
        shown = visible_content(message) or []
        if any(_part_text(part) is None for part in shown):
            return "parts:" + _json(_plain(shown))
        text = text_of(shown) or str(message.get("refusal") or "")
    elif isinstance(content, Mapping):
        return "parts:" + _json(_plain(content))
    else:
        text = message_text(message)
    return text.strip() if role == "assistant" else text  # clients strip an answer before they send it back


class PathHash:
    """The hash of a conversation, message by message; equal hashes mean the same turns in the same order.

    Parameters
    ----------
    seed
        Keeps conversations of different sessions apart.
    """

    def __init__(self, seed: str = "") -> None:
        self._hash = hashlib.blake2b(seed.encode(errors="surrogatepass"), digest_size=_SIZE).digest()
        self._open: list[Any] = []  # ids of the latest tool calls, in order
        self._results = 0
        self.answers = -1  # which of them the message pushed last answers; -1 for other messages than results

    def copy(self) -> PathHash:
        """Return an independent hash that goes on from here."""
        other = PathHash.__new__(PathHash)
        other._hash, other._open, other._results = self._hash, list(self._open), self._results
        other.answers = self.answers
        return other

    def push(self, message: Mapping[str, Any]) -> bytes:
        """Take one message and return the hash of the conversation up to and with it."""
        role = role_of(message)
        key = [role, _content_key(message, role)]
        self.answers = -1
        if role == "assistant":
            calls = calls_of(message)
            key += [f"{call['name']}({_arguments(call['arguments'])})" for call in calls]
            self._open, self._results = [call["id"] for call in calls], 0
        elif role == "tool":
            self.answers = self._position(message)
            key.append(str(self.answers))
        elif message.get("name"):
            key.append(str(message["name"]))
        # Lengths keep parts apart: no text can pass for two.
        data = "".join([f"{len(part)}:{part}" for part in key]).encode(errors="surrogatepass")
        self._hash = hashlib.blake2b(self._hash + data, digest_size=_SIZE).digest()
        return self._hash

    def _position(self, message: Mapping[str, Any]) -> int:
        """Return which of the latest tool calls a result answers: by its id, or by its order where ids say nothing."""
        identifier = message.get("tool_call_id")
        at = self._open.index(identifier) if identifier is not None and identifier in self._open else self._results
        self._results += 1
        return at


def task_messages(messages: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return what was asked for: the messages before the first answer, without system text (it may hold the date)."""
    found: list[Mapping[str, Any]] = []
    for message in messages:
        role = role_of(message)
        if role == "assistant" and found:
            break
        if role not in ("system", "assistant", "tool"):
            found.append(message)
    return found


def task_text(messages: Iterable[Mapping[str, Any]]) -> str:
    """Return the text of :func:`task_messages`."""
    return "\n\n".join(message_text(message).strip() for message in task_messages(messages))


def task_hash(messages: Iterable[Mapping[str, Any]]) -> str:
    """Return the hash that tells tasks apart, as hexadecimal text; the same for every attempt at one task."""
    path = PathHash("task")
    digest = b""
    for message in task_messages(messages):
        digest = path.push(message)
    return digest.hex()
