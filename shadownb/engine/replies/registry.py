"""Parsers for markups that are not known here, added by whoever knows them.

To teach another markup, write a class with ``name``, ``matches`` and ``parse`` and pass an instance to
:func:`register_parser`. It sees the whole reply, so a stream shows nothing before the end once one is registered.
"""

from __future__ import annotations

from typing import Protocol

from shadownb.engine.replies.channels import ChannelReader
from shadownb.engine.replies.families import Markup
from shadownb.engine.replies.parts import ParsedReply, Part
from shadownb.engine.replies.reader import MarkupReader
from shadownb.engine.replies.schema import Tools


class ReplyParser(Protocol):
    """Takes one markup apart."""

    name: str

    def matches(self, text: str) -> bool:
        """Whether this parser's markup occurs in ``text``."""

    def parse(self, text: str) -> ParsedReply:
        """Return content and calls of ``text``."""


_parsers: list[ReplyParser] = []


def register_parser(parser: ReplyParser) -> None:
    """Add a parser; it is asked before those already known, and replaces one of the same name."""
    _parsers[:] = [parser, *(known for known in _parsers if known.name != parser.name)]


def parsers() -> tuple[str, ...]:
    """Return the names of the registered parsers in the order they are asked."""
    return tuple(parser.name for parser in _parsers)


class WholeReader:
    """Asks the registered parsers when the reply is whole; where none finds a call, the template's own markup is read."""

    def __init__(self, markup: Markup, *, tail: str = "", tools: Tools = None) -> None:
        self._text = ""
        self._own = (ChannelReader if markup.channels else MarkupReader)(markup, tail=tail, tools=tools)

    @property
    def reasoning_open(self) -> bool:
        return self._own.reasoning_open

    def feed(self, text: str) -> list[Part]:
        self._text += text
        return []

    def finish(self) -> list[Part]:
        for parser in _parsers:
            if parser.matches(self._text):
                parsed = parser.parse(self._text)
                if parsed.tool_calls:
                    said = [Part("reasoning", parsed.reasoning)] if parsed.reasoning else []
                    said += [Part("content", parsed.content)] if parsed.content else []
                    return said + [
                        Part("call", "" if n else self._text, call) for n, call in enumerate(parsed.tool_calls)
                    ]
        return [*self._own.feed(self._text), *self._own.finish()]
