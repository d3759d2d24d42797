"""What a reply is made of: its parts in the order they were written, and the reply put together from them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

Kind = Literal["content", "reasoning", "call", "malformed"]


@dataclass(frozen=True)
class Part:
    """A piece of a reply.

    Attributes
    ----------
    kind
        ``content`` and ``reasoning`` come in many pieces that are joined; ``call`` and ``malformed`` are whole.
    text
        The piece; of a call its markup as it was written, which the first of several calls in one block carries.
    call
        ``{"id", "name", "arguments": dict}``.
    reason
        Why something that looks like a call is none.
    """

    kind: Kind
    text: str
    call: dict[str, Any] | None = None
    reason: str = ""


class Reader(Protocol):
    """Takes one reply apart."""

    @property
    def reasoning_open(self) -> bool:
        """Whether the text so far ends inside the reasoning."""

    def feed(self, text: str) -> list[Part]:
        """Take a piece of the reply and return the parts that are final with it."""

    def finish(self) -> list[Part]:
        """Return what was held back; the reply is over."""


class TextReader:
    """Reads plain text, in which nothing is markup."""

    reasoning_open = False

    def feed(self, text: str) -> list[Part]:
        return [Part("content", text)] if text else []

    def finish(self) -> list[Part]:
        return []


@dataclass(frozen=True)
class ParsedReply:
    """A generated text taken apart.

    Attributes
    ----------
    content
        The text without reasoning and calls.
    tool_calls
        ``{"id", "name", "arguments": dict}`` each, in the order of the text.
    reasoning
        What the model wrote before its answer, to itself.
    malformed_calls
        ``{"text", "reason"}`` of what was meant as a call and cannot be read as one.
    reasoning_open
        Whether the reply ended inside the reasoning.
    """

    content: str
    tool_calls: list[dict[str, Any]] = field(default_factory=list)
    reasoning: str = ""
    malformed_calls: list[dict[str, str]] = field(default_factory=list)
    reasoning_open: bool = False


def collected(parts: Iterable[Part], *, reasoning_open: bool = False) -> ParsedReply:
    """Put a reply together from its parts."""
    texts: dict[str, list[str]] = {"content": [], "reasoning": []}
    calls: list[dict[str, Any]] = []
    malformed: list[dict[str, str]] = []
    for part in parts:
        if part.kind == "call":
            assert part.call is not None
            calls.append(part.call)
        elif part.kind == "malformed":
            malformed.append({"text": part.text, "reason": part.reason})
        else:
            texts[part.kind].append(part.text)
    return ParsedReply("".join(texts["content"]), calls, "".join(texts["reasoning"]), malformed, reasoning_open)


def call_id(position: int, name: str, arguments: dict[str, Any]) -> str:
    """Return ``call_`` and 8 hex digits that depend only on the call and its position in the reply."""
    text = json.dumps([position, name, arguments], sort_keys=True, ensure_ascii=False, default=str)
    return "call_" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
