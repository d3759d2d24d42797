"""Call: one recorded request and its answer, with everything large read and rebuilt only when it is asked for.

The fields come from one small row, so that a page of a hundred calls is cheap. ``request``, ``messages``, ``choices``,
``response_message`` and the like read the stored bytes and rebuild the answer by the call's dialect, once.
"""

from __future__ import annotations

import html
import json
import zlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from shadownb.engine.jsontext import MAX_DEPTH, Unreadable, check_depth, dumps, loads

if TYPE_CHECKING:
    import sqlite3

    from shadownb.engine.capture.dialects.base import Dialect
    from shadownb.engine.capture.feedback import Score
    from shadownb.engine.ports.capture_store import CaptureStore

Status = Literal["ok", "error", "cut", "client_gone", "unread"]
STATUSES: tuple[Status, ...] = ("ok", "error", "cut", "client_gone", "unread")
MOST_CHOICES = 1024
"""Answers to one request that are read; OpenAI's API gives 128 at most."""


_BODIES = ("packed_request", "packed_response", "packed_frames")
BODIES = "request AS packed_request, response AS packed_response, frames AS packed_frames"
"""How bodies are read with the columns of calls."""

Body = tuple[bytes, bytes, list[list[float]]]


@dataclass(eq=False, repr=False)
class Call:
    """One call of an agent to a model.

    Attributes
    ----------
    id, seq
        Name of the call, and its position in the store: a cursor for ``store.calls(after=seq)``.
    session
        What keeps interleaved episodes apart: ``x-session-id``, a conversation id or a trace id; None where none was sent.
    parent
        Id of the recorded call that ``previous_response_id``, or the conversation of the request, goes on from.
    dialect
        ``chat``, ``completions``, ``responses`` or ``messages``.
    model, response_model
        What was asked for, and what the answer says it came from.
    route
        ``upstream`` or ``local``.
    started_at
        Seconds since 1970, when the request had been read; ``first_byte_s`` and ``duration_s`` count from there.
    usage
        ``prompt_tokens``, ``completion_tokens``, ``total_tokens``, and where known ``cached_tokens``,
        ``cache_write_tokens`` (``cache_write_1h_tokens`` of them for an hour), ``reasoning_tokens``; None where the answer does
        not say.
    cost
        US dollars by the price table; None where the model or its usage is unknown, never 0 for that reason.
    status
        ``ok``; ``error`` (an answer of 4xx or 5xx, or none at all); ``cut`` (it broke off); ``client_gone``; ``unread``
        (it went through, but what was sent cannot be read; see :attr:`unread`).
    finish_reason
        Of the first choice, in the words of the dialect.
    error
        ``{"message", ...}`` where something went wrong.
    retry_of
        Id of the call that this one repeats, where the client says that it is a retry.
    title
        The beginning of the last user message.
    """

    id: str
    seq: int = 0
    session: str | None = None
    parent: str | None = None
    dialect: str = "chat"
    model: str | None = None
    response_model: str | None = None
    response_id: str | None = None
    route: str = "upstream"
    stream: bool = False
    started_at: float = 0.0
    first_byte_s: float | None = None
    duration_s: float | None = None
    usage: dict[str, Any] | None = None
    cost: float | None = None
    status: Status = "ok"
    http_status: int | None = None
    finish_reason: str | None = None
    error: dict[str, Any] | None = None
    retry_of: str | None = None
    title: str = ""
    stored_bytes: int = 0
    redacted: bool = False
    headers: dict[str, str] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)
    store: CaptureStore[Call] | None = field(default=None, repr=False)

    @classmethod
    def from_row(cls, row: sqlite3.Row, store: CaptureStore[Call]) -> Call:
        """Return the call of a row; columns that this version does not know go into ``extra``."""
        values = dict(row)
        texts = {name: values.get(name) for name in JSON_COLUMNS}
        for name, text in texts.items():
            values[name] = _object(text)
        values["headers"] = values["headers"] or {}
        values["stream"], values["redacted"] = bool(values["stream"]), bool(values["redacted"])
        del values["prompt_tokens"], values["completion_tokens"]  # for sums; usage has them
        packed = [values.pop(name) for name in _BODIES if name in values]
        unknown = {name: values.pop(name) for name in list(values) if name not in cls.__dataclass_fields__}
        values["extra"] = {**{k: v for k, v in unknown.items() if v is not None}, **(values["extra"] or {})}
        call = cls(store=store, **values)
        if packed:
            call.__dict__["_packed"] = packed
            call.__dict__["_texts"] = texts
        return call

    def as_json(self, name: str) -> str | None:
        """Return one of the columns that hold JSON as text: as it is stored, where it was read with the bodies."""
        value = getattr(self, name)
        text = self.__dict__.get("_texts", {}).get(name)
        return None if value is None else text if isinstance(text, str) and value else dumps(value)

    # -- as it went over the wire ---------------------------------------------------------------------------------

    @cached_property
    def _body(self) -> tuple[bytes, bytes, list[list[float]]]:
        if (packed := self.__dict__.pop("_packed", None)) is not None:  # it was read with the row
            return unpacked(*packed)
        return self.store.body(self.id) if self.store is not None else (b"", b"", [])

    @property
    def request_body(self) -> bytes:
        """The request as it was sent (known keys and what ``redact`` named are replaced)."""
        return self._body[0]

    @property
    def response_body(self) -> bytes:
        """The answer's bytes as they came, decompressed."""
        return self._body[1]

    @property
    def frames(self) -> list[tuple[float, bytes]]:
        """The answer in the pieces it came in: (seconds since ``started_at``, bytes)."""
        pieces: list[tuple[float, bytes]] = []
        begin = 0
        for milliseconds, size in self._body[2]:
            pieces.append((milliseconds / 1000, self.response_body[begin : begin + int(size)]))
            begin += int(size)
        return pieces

    # -- rebuilt --------------------------------------------------------------------------------------------------

    @cached_property
    def _wire(self) -> Dialect:
        from shadownb.engine.capture.dialects import dialect

        return dialect(self.dialect)

    @cached_property
    def _read(self) -> tuple[dict[str, Any], dict[str, Any], list[dict[str, Any]], str | None]:
        """Request, response, choices, and why one of them cannot be read. Nothing that was recorded makes this raise."""
        request: dict[str, Any] = {}
        part = "request"
        try:
            value = loads(self.request_body)
            request = value if isinstance(value, dict) else {}
            part = "answer"
            response = self._wire.response(self.response_body, streamed=self.is_streamed)
            choices = self._wire.choices(response)
            if len(choices) > MOST_CHOICES:
                raise Unreadable(f"it has {len(choices):,} choices, more than the {MOST_CHOICES:,} that are read")
            check_depth(choices, MAX_DEPTH + 16)  # of a stream, what its events add up to
        except ValueError as error:
            whole = self.status in ("ok", "unread")  # of an answer that failed or broke off nothing else was expected
            reason = (
                str(error) if isinstance(error, Unreadable) else "it is no JSON" if self._body[0] else "it is empty"
            )
            return request, {}, [], f"The {part} cannot be read: {reason}." if whole or part == "request" else None
        except Exception as error:  # a defect of ours, or a damaged file; no reason to lose the other calls as well
            return request, {}, [], f"The {part} cannot be read: {type(error).__name__}."
        apart = self._wire.no_conversation(request)
        return request, response, choices, f"It is not a conversation: {apart}." if apart else None

    @property
    def unread(self) -> str | None:
        """Why the request or the answer cannot be read (nested too deeply, no JSON, several prompts); None where both can.

        The bytes are there all the same. Such a call is in no trajectory.
        """
        return self._read[3]

    @property
    def tags(self) -> dict[str, str]:
        """What the client called it by, in the header ``x-shadownb-tags``."""
        found = self.extra.get("tags")
        return dict(found) if isinstance(found, dict) else {}

    @property
    def scores(self) -> list[Score]:
        """What people and programs think of it, oldest first; see ``CaptureStore.score``."""
        scores = getattr(self.store, "scores", None)
        found: list[Score] = scores(self.id).get(self.id, []) if callable(scores) else []
        return found

    @property
    def is_streamed(self) -> bool:
        """Whether the answer came as a stream of events."""
        return bool(self.extra.get("sse", self.stream))

    @property
    def adds_only(self) -> bool:
        """Whether it added to a conversation that the provider keeps, and asked nothing."""
        return bool(self.extra.get("adds_only"))

    @cached_property
    def withheld(self) -> str | None:
        """What of the prompt is not known here, so that the answer is not trained; None where all of it is."""
        if why := self._wire.hidden(self.request):
            return why
        if self.references and len(self._items) < len(self.references):
            return "names a part of its prompt that was not recorded"
        missing = self.dialect == "responses" and self.request.get("previous_response_id") and self.parent is None
        if missing or (self.store is not None and not self.store.history.is_whole(self.parent)):
            return "goes on from an answer that was not recorded"
        return None

    @property
    def request(self) -> dict[str, Any]:
        """The request's JSON; empty where it cannot be read."""
        return self._read[0]

    @property
    def response(self) -> dict[str, Any]:
        """The final answer in the dialect's own form, put together from its events if it was streamed."""
        return self._read[1]

    @cached_property
    def messages(self) -> list[dict[str, Any]]:
        """What the model was given, in OpenAI's chat form; also what came before, where the request only names it."""
        from shadownb.engine.capture.history import whole_messages

        return whole_messages(self)

    @property
    def own_messages(self) -> list[dict[str, Any]]:
        """The messages of this request alone, in OpenAI's chat form; what it names of earlier answers in its place."""
        return self._wire.messages(
            self._wire.with_items(self.request, self._items) if self.references else self.request
        )

    @property
    def references(self) -> list[str]:
        """The ids of earlier items that the request names instead of repeating them."""
        return self._wire.references(self.request)

    @cached_property
    def _items(self) -> dict[str, dict[str, Any]]:
        return self.store.history.items(self) if self.store is not None else {}

    @property
    def leading(self) -> int:
        """How many of ``own_messages`` come first without being part of a conversation that the request only names."""
        return self._wire.leading(self.request)

    @property
    def tools(self) -> list[dict[str, Any]] | None:
        """The tool schemas in OpenAI's chat form, or None."""
        return self._wire.tools(self.request) or None

    @property
    def choices(self) -> list[dict[str, Any]]:
        """``{"index", "message", "finish_reason"}`` each, messages in OpenAI's chat form."""
        return self._read[2]

    @property
    def response_message(self) -> dict[str, Any] | None:
        """The first choice's message in OpenAI's chat form, tool calls with their ids; None where there is none."""
        return self.choices[0]["message"] if self.choices else None

    @property
    def text(self) -> str:
        """The text of the first choice."""
        content = (self.response_message or {}).get("content")
        return content if isinstance(content, str) else ""

    # -- shown ----------------------------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Return everything a reader of an export needs, messages in chat form."""
        return {
            **{name: getattr(self, name) for name in EXPORTED},
            "messages": self.messages,
            "tools": self.tools,
            "choices": self.choices,
            "request": self.request,
            "response": self.response,
            "unread": self.unread,
        }

    def __repr__(self) -> str:
        return f"Call({self.id!r}, {self.dialect}, {self.model}, {self.status}, {self.title!r})"

    def _repr_html_(self) -> str:
        from shadownb.engine.displays import facts_html

        facts = {name: value for name in _SHOWN if (value := getattr(self, name)) is not None}
        if self.unread:
            facts["not read"] = self.unread
        answer = html.escape(self.text[:2000])
        return facts_html(f"Call {self.id}", facts) + f'<div style="white-space:pre-wrap">{answer}</div>'


EXPORTED = (
    "id", "session", "parent", "dialect", "model", "response_model", "response_id", "route", "stream", "started_at",
    "first_byte_s", "duration_s", "usage", "cost", "status", "http_status", "finish_reason", "error", "retry_of",
    "redacted", "headers",
)  # fmt: skip


_SHORT = 2000
_decode = json.JSONDecoder().decode


def _object(text: Any) -> Any:
    """Return what a column of JSON holds; None where somebody else wrote it."""
    if not isinstance(text, str) or not text:
        return None
    try:
        # Nearly all are short and written by us; what reads any JSON takes three times as long for them.
        value = _decode(text) if len(text) < _SHORT and "\\u" not in text else loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def unpacked(request: bytes | None, response: bytes | None, frames: bytes | None) -> Body:
    """Return request, answer, and time and size of its pieces, of bodies as they are stored."""
    return unpack(request), unpack(response), loads(unpack(frames) or b"[]")


def unpack(data: bytes | None) -> bytes:
    """Return what was compressed to be stored."""
    return zlib.decompress(data) if data else b""


JSON_COLUMNS = ("usage", "error", "headers", "extra")
_SHOWN = ("model", "status", "finish_reason", "session", "usage", "cost", "duration_s", "title")
