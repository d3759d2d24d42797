"""One form for conversations: every source's messages become the same plain dicts.

A canonical message has ``role`` and a string ``content``; where they apply also ``tool_calls``
(``{"id"?, "type": "function", "function": {"name", "arguments": dict}}``), ``tool_call_id``, ``name``,
``reasoning_content`` and ``weight`` (0 keeps an assistant turn out of the loss). What cannot be brought into this form raises
:class:`RowProblem`; keys that mean nothing here are noted as unread.
"""

from __future__ import annotations

from typing import Any

from shadownb.engine.messages.calls import canonical_tool_calls, looks_like_call
from shadownb.engine.messages.texts import RowProblem, joined
from shadownb.engine.messages.values import (
    REASONINGS,
    Unread,
    from_json_text,
    is_empty,
    is_switch,
    plain_name,
    verdict_of,
    word_for,
)

ROLES = ("system", "user", "assistant", "tool")

_ROLE_NAMES = {
    **{role: role for role in ROLES},
    **dict.fromkeys(("developer",), "system"),
    **dict.fromkeys(("human", "prompter"), "user"),
    **dict.fromkeys(("gpt", "model", "chatgpt", "bot", "chatbot", "ai", "function_call", "tool_call"), "assistant"),
    **dict.fromkeys(("function", "observation", "tool_response", "function_response", "ipython"), "tool"),
}
_CALL_ROLES = ("function_call", "tool_call")
_ROLE_KEYS, _CONTENT_KEYS = ("role", "from"), ("content", "value", "text")
_CALL_KEYS = ("tool_calls", "function_call")
_WEIGHT_KEYS = ("weight", "train", "training", "trainable", "loss")
_REASONING_PARTS = ("thinking", "reasoning")


def canonical_messages(
    value: Any, *, what: str = "messages", allow_empty: bool = False, unread: Unread | None = None
) -> list[dict[str, Any]]:
    """Return ``value`` as canonical messages.

    Parameters
    ----------
    value
        A list of messages with ``role``/``content`` or ``from``/``value`` keys, or JSON text of one.
    what
        The name of the column, for the reason.
    allow_empty
        Accept assistant messages without text, as a chat that goes on may hold them; rows to train may not.
    unread
        Takes what is not read, named as in ``messages[].audio``.

    Raises
    ------
    RowProblem
        If it is not a list of messages, or a message lacks a known role or usable content.
    """
    value = from_json_text(value)
    if not isinstance(value, (list, tuple)):
        raise RowProblem(f"{what} is {word_for(value)}, not a list of messages")
    if not value:
        raise RowProblem(f"{what} is empty")
    unread = Unread() if unread is None else unread
    return [_Message(item, what, f"{what}[{n}]", unread).canonical(allow_empty) for n, item in enumerate(value)]


class _Message:
    """One message while it is read: its keys by their plain names, without those to ignore."""

    def __init__(self, item: Any, what: str, where: str, unread: Unread) -> None:
        if not isinstance(item, dict):
            raise RowProblem(f"{where} is {word_for(item)}, not a message with role and content")
        self.where, self.what, self.unread = where, what, unread
        self.left: dict[Any, Any] = {}
        self._given: dict[Any, Any] = {}
        for key, value in item.items():
            plain = plain_name(key) if isinstance(key, str) else key
            if f"{what}[].{key}" in unread.ignore or (plain in self.left and key != plain):
                unread.add(f"{what}[].{key}", value)
                continue
            if plain in self.left:  # of Content and content the second is meant
                unread.add(f"{what}[].{self._given[plain]}", self.left[plain])
            self.left[plain], self._given[plain] = value, key

    def canonical(self, allow_empty: bool) -> dict[str, Any]:
        where = self.where
        role, named = self._role()
        content = self._first(_CONTENT_KEYS)
        raw_calls = content if named in _CALL_ROLES else self._first(_CALL_KEYS)
        if named in _CALL_ROLES:
            content = None
        calls = [] if raw_calls in (None, [], "") else canonical_tool_calls(raw_calls, where, self.unread)
        if calls and role != "assistant":
            raise RowProblem(f"{where} has tool_calls, but its role is {role!r}")
        reasoning = self._first(REASONINGS, str) if role == "assistant" else None
        if role == "assistant" and is_empty(content) and isinstance(self.left.get("refusal"), str):
            content = self.left.pop("refusal")
        missing_ok = bool(calls) or (allow_empty and role == "assistant")
        text, thought = self._content(content, missing_ok, parts=role == "assistant" and reasoning is None)
        message: dict[str, Any] = {"role": role, "content": joined(text, where)}
        if calls:
            message["tool_calls"] = calls
        elif role == "assistant" and not allow_empty and not text.strip():
            raise RowProblem(f"{where} is an assistant message without text")
        for key in ("name", "tool_call_id"):
            if isinstance(self.left.get(key), str):
                message[key] = joined(self.left.pop(key), where)
        if (reasoning := reasoning or thought) is not None:
            message["reasoning_content"] = joined(reasoning, where)
        weight = self._weight(role)
        if weight is not None:
            message["weight"] = weight
        for key, value in self.left.items():
            self.unread.add(f"{self.what}[].{self._given[key]}", value)
        return message

    def _role(self) -> tuple[str, str]:
        named = self._first(_ROLE_KEYS)
        if named is None or named == "":
            raise RowProblem(f"{self.where} has no role")
        word = named.strip().lower() if isinstance(named, str) else ""
        if word not in _ROLE_NAMES:
            raise RowProblem(f"{self.where} has the unknown role {named!r} (known: {', '.join(ROLES)})")
        return _ROLE_NAMES[word], word

    def _first(self, keys: tuple[str, ...], kind: type = object) -> Any:
        """Take the first of the keys that holds something; the same value under another of them says nothing new."""
        there = [key for key in keys if self.left.get(key) is not None and isinstance(self.left[key], kind)]
        there = [key for key in there if key not in REASONINGS or not is_switch(self.left[key])]
        chosen = next((key for key in there if not is_empty(self.left[key])), there[0] if there else None)
        value = self.left.get(chosen) if chosen is not None else None
        for key in there:
            if self.left[key] == value:
                del self.left[key]
        return value

    def _content(self, content: Any, missing_ok: bool, *, parts: bool) -> tuple[str, str | None]:
        """Return (text, reasoning) of a content: a string, parts, or missing; reasoning only where ``parts`` may have it."""
        where = self.where
        if isinstance(content, str):
            return content, None
        if is_empty(content) and not (isinstance(content, (list, tuple)) and content):
            if missing_ok:
                return "", None
            raise RowProblem(f"{where} has no content")
        if isinstance(content, dict) and "text" in content:
            content = [content]
        if not isinstance(content, (list, tuple)):
            raise RowProblem(f"{where} has content of type {type(content).__name__}, not text")
        texts: list[str] = []
        thoughts: list[str] = []
        for part in content:
            kind = part.get("type", "text") if isinstance(part, dict) else "text" if isinstance(part, str) else None
            held = part if isinstance(part, dict) else {"text": part}
            key = str(kind) if parts and kind in _REASONING_PARTS and isinstance(held.get(str(kind)), str) else "text"
            if kind not in ("text", "input_text", "output_text", *(_REASONING_PARTS if parts else ())):
                raise RowProblem(f"{where} has content parts that are not text")
            if not isinstance(held.get(key), str):
                raise RowProblem(f"{where} has content parts that are not text")
            (thoughts if kind in _REASONING_PARTS else texts).append(held[key])
            self.unread.keys(f"{self.what}[].content[]", held, ("type", key))
        return "".join(texts), "".join(thoughts) if thoughts else None

    def _weight(self, role: str) -> int | None:
        """Return whether a turn counts in the loss, from whichever of the usual flags say so."""
        flags: set[bool] = set()
        for key in _WEIGHT_KEYS:
            value = self.left.get(key)
            flag = verdict_of(value)
            if key == "weight" and value is not None and flag is None:
                raise RowProblem(f"{self.where} has weight {value!r}; it must be 0 or 1")
            # Users' turns are never trained; that somebody wants one trained is told as unread.
            if flag is not None and not (role != "assistant" and flag and key != "weight"):
                del self.left[key]
                flags.add(flag)
        if len(flags) > 1:
            raise RowProblem(f"{self.where} says that it is trained, and that it is not")
        return int(flags.pop()) if flags else None


def is_message_list(value: Any) -> bool:
    """Whether ``value``, or the JSON text it is, looks like messages."""
    value = from_json_text(value)
    return (
        isinstance(value, (list, tuple))
        and len(value) > 0
        and all(isinstance(item, dict) and any(plain_name(str(key)) in _ROLE_KEYS for key in item) for item in value)
    )


def is_call_list(value: Any) -> bool:
    """Whether ``value``, or the JSON text it is, is a list of tool calls."""
    value = from_json_text(value)
    return isinstance(value, (list, tuple)) and len(value) > 0 and all(looks_like_call(item) for item in value)
