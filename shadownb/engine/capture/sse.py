"""Server-sent events: taking a recorded body apart, and seeing in passing bytes that the last event has come.

The end is looked for in raw chunks of any size and split, without decoding them: nothing here changes a byte.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from shadownb.engine.jsontext import Unreadable, loads_piece

_LINE_END = re.compile(rb"\r\n|\n|\r")
_BLANK_LINE = re.compile(rb"\r\n\r\n|\n\n|\r\r|\n\r\n")
_LINE_START_KEPT = 64  # bytes; more than any line that ends a stream


class Event(NamedTuple):
    """One event: its name (empty where none was sent), its data, and whether its blank line came."""

    name: str
    data: bytes
    whole: bool = True

    def json(self) -> dict[str, Any]:
        """The data as an object; an empty one where it is none (``[DONE]``, a ping, what a stream broke off in).

        Raises
        ------
        Unreadable
            It is nested too deeply, or it begins as an object and is none: without it the answer has a hole.
        """
        if self.data.lstrip()[:1] not in (b"{", b"["):
            return {}
        try:
            value = loads_piece(self.data)
        except Unreadable as error:
            raise Unreadable(f"in an event {error}") from None
        except ValueError:
            if self.whole and self.data.lstrip()[:1] == b"{":
                raise Unreadable("an event of the stream is no JSON") from None
            return {}
        if isinstance(value, list) and len(value) == 1:  # some gateways send each chunk as a list
            value = value[0]
        return value if isinstance(value, dict) else {}


class EventReader:
    """Takes a stream apart as it comes, in chunks of any size."""

    def __init__(self) -> None:
        self._rest = b""  # the line that is not complete yet
        self._begun = False
        self._name = ""
        self._data: list[bytes] = []

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """Yield the events that are whole with the next chunk."""
        window = self._rest + chunk
        if not self._begun and len(window) < len(codecs.BOM_UTF8):
            self._rest = window
            return
        if not self._begun:
            self._begun, window = True, window.removeprefix(codecs.BOM_UTF8)
        held = len(window) - window.endswith(b"\r")  # perhaps the first half of a line's end
        *lines, last = _LINE_END.split(window[:held])
        self._rest = last + window[held:]
        yield from self._take(lines)

    def finish(self) -> Iterator[Event]:
        """Yield what is left; a last event without its blank line counts as well, as clients take it so."""
        yield from self._take(_LINE_END.split(self._rest.removeprefix(codecs.BOM_UTF8)))
        if self._data:
            yield Event(self._name, b"\n".join(self._data), whole=False)

    def _take(self, lines: Iterable[bytes]) -> Iterator[Event]:
        for line in lines:
            if not line:
                if self._data:
                    yield Event(self._name, b"\n".join(self._data))
                self._name, self._data = "", []
            elif line.startswith(b"data:"):
                self._data.append(line[5:].removeprefix(b" "))
            elif line.startswith(b"event:"):
                self._name = line[6:].strip().decode("utf-8", "replace")


def events(body: bytes) -> Iterator[Event]:
    """Take a whole body apart."""
    reader = EventReader()
    yield from reader.feed(body)
    yield from reader.finish()


_BEGINNINGS = (b"data:", b"event:", b"id:", b"retry:", b":")


def begins_as_stream(beginning: bytes) -> bool | None:
    """Return whether a body is a stream of events by how it begins, whatever its content type says; None where too little came."""
    text = beginning.removeprefix(codecs.BOM_UTF8).lstrip()
    if text.startswith(_BEGINNINGS):
        return True
    return None if any(known.startswith(text) for known in _BEGINNINGS) else False


class EndWatch:
    """Says of passing chunks when the event that ends a stream begins, and when it is complete.

    Parameters
    ----------
    marks
        Beginnings of lines that end a stream, such as ``data: [DONE]`` or ``event: message_stop``.
    types
        Values of the field ``type``, anywhere in an event's data, that do the same. Text that quotes the field is none: in
        it the quotation marks are escaped.
    fields
        Fields that do the same, as they are written.
    """

    def __init__(self, marks: Iterable[bytes], types: Iterable[str] = (), fields: Iterable[bytes] = ()) -> None:
        self._marks = tuple(marks)
        typed = tuple(f'"type":{space}"{each}"'.encode() for each in types for space in ("", " "))
        self._fields = (*typed, *fields)
        self._overlap = max(map(len, self._fields), default=1) - 1
        self._tail = b""  # so much of what came that a field which is split over chunks is found
        longest = max((len(mark) for mark in self._marks), default=1)
        self._needles = tuple({mark.partition(b":")[2].strip() for mark in self._marks})
        self._kept = max(longest, _LINE_START_KEPT)
        self._line = b""  # the beginning of the line that is not complete yet
        self._after = b""  # what came since the end began
        self.begun = False
        self.complete = False

    def feed(self, chunk: bytes) -> None:
        """Look at the next chunk."""
        if self.begun:
            self._see_blank_line(chunk)
            return
        recent = self._tail + chunk
        at = min((found for field in self._fields if (found := recent.find(field)) >= 0), default=-1)
        if at >= 0:
            self.begun = True
            self._see_blank_line(recent[at:])
            return
        self._tail = recent[max(0, len(recent) - self._overlap) :]
        window = self._line + chunk
        if any(needle in window for needle in self._needles):
            line = self._find(window)
            if line is not None:
                self.begun = True
                self._see_blank_line(window[line:])
                return
        start = max(window.rfind(b"\n"), window.rfind(b"\r")) + 1
        # Of a long line only its beginning matters, and of that only what a mark can be compared with. The needle of a
        # mark that is split over chunks is found because the whole beginning of the line is kept.
        self._line = window[start : start + self._kept]

    def _find(self, window: bytes) -> int | None:
        begin = 0
        for line in _LINE_END.split(window):
            found = window.find(line, begin) if line else begin
            if line.startswith(self._marks):
                return found
            begin = found + len(line)
        return None

    def _see_blank_line(self, chunk: bytes) -> None:
        self._after = (self._after + chunk)[-(1 << 16) :] if self.complete else self._after + chunk
        self.complete = self.complete or _BLANK_LINE.search(self._after) is not None
        if self.complete:
            self._after = b""
