"""Small helpers for text that arrives in pieces."""

from __future__ import annotations

import re
from collections.abc import Iterable

_SPACE = " \t\r\n"


def held_back(text: str, marks: Iterable[str]) -> int:
    """Return how many characters at the end of ``text`` may be the beginning of one of ``marks``."""
    marks = list(marks)
    longest = min(len(text), max((len(mark) for mark in marks), default=1) - 1)
    for size in range(longest, 0, -1):
        if any(mark.startswith(text[-size:]) for mark in marks):
            return size
    return 0


class Flow:
    """A text whose white space at the ends is dropped where it stands beside markup, and kept where there is none.

    Attributes
    ----------
    marked
        Whether there is any markup in the reply.
    started
        Whether anything but white space was said.
    """

    def __init__(self) -> None:
        self.marked = False
        self.started = False
        self._held = ""
        self._gap = ""

    def add(self, piece: str) -> str:
        """Take a piece and return what can be shown."""
        text = self._held + piece
        shown = text.rstrip(_SPACE)
        self._held = text[len(shown) :]
        if not shown:
            return ""
        if self._gap or (self.marked and not self.started):
            shown = self._gap + shown.lstrip(_SPACE)
            self._gap = ""
        self.started = True
        return shown

    def again(self) -> None:
        """Begin another text of the same kind; a blank line goes between them."""
        self._held = ""
        self._gap = "\n\n" if self.started else ""

    def end(self) -> str:
        """Return the white space at the end that belongs to the text."""
        held, self._held = self._held, ""
        return "" if self.marked else held


class Code:
    """Follows whether a text is inside a code fence or between single backticks.

    Attributes
    ----------
    line_empty
        Whether the line so far is only white space.
    """

    def __init__(self) -> None:
        self._line = ""
        self._fenced = False

    def add(self, piece: str) -> None:
        for number, line in enumerate(piece.split("\n")):
            if number:
                self._fenced ^= self._is_fence()
                self._line = ""
            self._line += line

    def _is_fence(self) -> bool:
        return self._line.lstrip().startswith("```")

    @property
    def open(self) -> bool:
        if self._fenced:
            return not self._is_fence()
        ticks = self._line.count("`") - 3 * self._line.count("```")
        return self._is_fence() or ticks % 2 == 1

    @property
    def line_empty(self) -> bool:
        return not self._line.strip()


_OPEN_TAG = re.compile(r"<(?:\w+:)?(?:parameter[= ][^>]*|arg_value)>")
_CLOSE_TAG = re.compile(r"</(?:\w+:)?(?:parameter|arg_value)>")
_QUOTES = ('<|"|>', "<escape>")
_STRINGS = {
    '"': re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL),
    "'": re.compile(r"'(?:[^'\\]|\\.)*'", re.DOTALL),
}


def inside_string(body: str) -> bool:
    """Whether the body of a call breaks off inside a string or a value, so that a marker there is part of it."""
    quote = next((mark for mark in _QUOTES if mark in body), None)
    if quote is not None:
        return body.count(quote) % 2 == 1
    if _OPEN_TAG.search(body):
        opened = [m.end() for m in _OPEN_TAG.finditer(body)]
        closed = [m.end() for m in _CLOSE_TAG.finditer(body)]
        return not closed or closed[-1] < opened[-1]
    begins = body.lstrip()[:1]
    quotes = {"{": '"', "[": "\"'"}.get(begins, "")
    if begins == "[" and body.lstrip()[1:].lstrip()[:1] in ("{", '"', "]"):
        quotes = '"'
    at = 0
    while at < len(body):
        if body[at] in quotes:
            string = _STRINGS[body[at]].match(body, at)
            if string is None:
                return True
            at = string.end()
        else:
            at += 1
    return False
