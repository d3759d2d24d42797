"""Tool calls out of generated text: a small registry of parsers, one for each markup a family of models writes.

A parser says whether its markup occurs in a text and takes it apart. What looks like a call but cannot be decoded
stays in the content: nothing is dropped. To teach another markup, write a class with ``name``, ``matches`` and
``parse`` and pass an instance to :func:`register_parser`.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True)
class ParsedReply:
    """A generated text taken apart.

    Attributes
    ----------
    content
        The text without the calls that were understood.
    tool_calls
        ``{"id", "name", "arguments": dict}`` each, in the order of the text.
    """

    content: str
    tool_calls: list[dict[str, Any]] = field(default_factory=list)


class ReplyParser(Protocol):
    """Takes one markup apart."""

    name: str

    def matches(self, text: str) -> bool:
        """Whether this parser's markup occurs in ``text``."""

    def parse(self, text: str) -> ParsedReply:
        """Return content and calls of ``text``."""


class HermesParser:
    """``<tool_call>{"name": ..., "arguments": ...}</tool_call>``, as Hermes and Qwen models write it.

    The last block may be unclosed (generation ended early): it counts if its JSON is complete.
    """

    name = "hermes"
    _block = re.compile(r"<tool_call>(.*?)(?:</tool_call>|(?=<tool_call>)|\Z)", re.DOTALL)

    def matches(self, text: str) -> bool:
        return "<tool_call>" in text

    def parse(self, text: str) -> ParsedReply:
        calls: list[dict[str, Any]] = []
        kept: list[str] = []
        end = 0
        for block in self._block.finditer(text):
            found = _first_call(block.group(1))
            if found is None:
                continue
            name, arguments = found
            calls.append({"id": call_id(len(calls), name, arguments), "name": name, "arguments": arguments})
            kept.append(text[end : block.start()])
            end = block.end()
        kept.append(text[end:])
        return ParsedReply("".join(kept).strip() if calls else text, calls)


def call_id(position: int, name: str, arguments: dict[str, Any]) -> str:
    """Return ``call_`` and 8 hex digits that depend only on the call and its position in the reply."""
    text = json.dumps([position, name, arguments], sort_keys=True, ensure_ascii=False, default=str)
    return "call_" + hashlib.sha256(text.encode()).hexdigest()[:8]


def _first_call(text: str) -> tuple[str, dict[str, Any]] | None:
    """Return name and arguments of the first JSON object in ``text`` that is a call."""
    decoder = json.JSONDecoder(strict=False)  # models write raw newlines inside strings
    start = text.find("{")
    while start >= 0:
        try:
            value, _ = decoder.raw_decode(text, start)
        except ValueError:
            value = None
        if isinstance(value, dict) and isinstance(value.get("name"), str):
            arguments = _arguments(value.get("arguments", value.get("parameters", {})))
            if arguments is not None:
                return value["name"], arguments
        start = text.find("{", start + 1)
    return None


def _arguments(value: Any) -> dict[str, Any] | None:
    if isinstance(value, str):
        try:
            value = json.loads(value, strict=False) if value.strip() else {}
        except ValueError:
            return None
    if value is None:
        return {}
    return value if isinstance(value, dict) else None


_parsers: list[ReplyParser] = [HermesParser()]


def register_parser(parser: ReplyParser) -> None:
    """Add a parser; it is asked before those already known, and replaces one of the same name."""
    _parsers[:] = [parser, *(known for known in _parsers if known.name != parser.name)]


def parsers() -> tuple[str, ...]:
    """Return the names of the known parsers in the order they are asked."""
    return tuple(parser.name for parser in _parsers)


def parse_reply(text: str) -> ParsedReply:
    """Return content and tool calls of a generated text, by the first parser that finds a call in it."""
    for parser in _parsers:
        if parser.matches(text):
            parsed = parser.parse(text)
            if parsed.tool_calls:
                return parsed
    return ParsedReply(text)
