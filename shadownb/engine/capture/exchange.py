"""Exchange: one request and its answer while they pass through; Record: the same, ready to be stored.

An exchange is filled on the event loop and costs next to nothing there. Making the record (facts, cost, redaction,
compression) is the writer thread's work.
"""

from __future__ import annotations

import json
import secrets
import time
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from shadownb.engine.capture.call import JSON_COLUMNS, Status
from shadownb.engine.capture.dialects import Dialect, Facts
from shadownb.engine.capture.dialects.base import text_of
from shadownb.engine.capture.encodings import decoded
from shadownb.engine.capture.prices import PriceTable
from shadownb.engine.capture.redaction import Redactor
from shadownb.engine.jsontext import Unreadable, check_depth, dumps, loads

if TYPE_CHECKING:
    from shadownb.engine.answering.local import Spent

MOST_KEPT = 64 * 2**20
"""Bytes of an answer: as many as of a request. What is longer passes through, and its call is ``unread``."""

_TITLE_CHARACTERS = 160


def new_id() -> str:
    """Return a call id that sorts by time."""
    return f"call_{time.time_ns() // 1000:013x}{secrets.token_hex(5)}"


@dataclass
class Exchange:
    """What is known of a call while it goes on."""

    dialect: Dialect
    request_body: bytes
    request: dict[str, Any]
    route: str
    id: str = field(default_factory=new_id)
    session: str | None = None
    parent: str | None = None
    retry_of: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    started_at: float = field(default_factory=time.time)
    clock: float = field(default_factory=time.perf_counter)
    frames: list[tuple[float, bytes]] = field(default_factory=list)
    http_status: int | None = None
    sse: bool = False
    encoding: str = ""  # content-encoding of the frames
    status: Status | None = None  # None: to be judged by what the answer says of itself
    error: dict[str, Any] | None = None
    sent_body: bytes | None = None  # the request as it goes on, where it came compressed
    path: str = ""  # where it goes at the upstream; empty: where its dialect's calls go
    at_host: bool = False  # whether that is below the upstream's host, and not its base
    tags: dict[str, str] = field(default_factory=dict)  # that the client gave it
    adds_only: bool = False  # it adds to a conversation that the provider keeps, and asks nothing
    size: int = 0  # bytes of the answer so far
    ended_s: float | None = None  # seconds after the start, when it was last handed in to be stored
    kept: bool = True  # False: passed through, but left out by sampling
    spent: Spent | None = None  # what a local model counted, of a stream that does not say it

    def add(self, chunk: bytes) -> None:
        """Remember a piece of the answer and when it came; of an answer that is too long only that."""
        self.size += len(chunk)
        at = time.perf_counter() - self.clock
        if self.size > MOST_KEPT:
            self.frames = [((self.frames or [(at, b"")])[0][0], b"")]
        else:
            self.frames.append((at, chunk))


@dataclass
class Record:
    """The columns of a call and its bodies, all as they are stored."""

    columns: dict[str, Any]
    request: bytes
    response: bytes
    frames: bytes

    @classmethod
    def of(cls, exchange: Exchange, prices: PriceTable, redactor: Redactor) -> Record:
        """Make the record of what an exchange holds now."""
        frames, encoding = decoded(exchange.frames, exchange.encoding)
        if encoding:  # what cannot be looked at is not kept
            frames = [(at, b"") for at, _ in frames[:1]]
        request_body = _utf8(exchange.request_body)
        request_body, frames, redacted, failure = redactor.exchange(request_body, frames, sse=exchange.sse)
        body = b"".join(piece for _, piece in frames)
        request, no_request = _request(exchange, request_body)
        facts, no_answer = _facts(exchange, body)
        if encoding:
            no_answer = f"The answer came in the encoding {encoding[:40]!r}, which is not read."
        if exchange.size > MOST_KEPT:
            no_answer = f"The answer has {exchange.size:,} bytes, more than the {MOST_KEPT:,} that are kept."
        unread = no_request or no_answer
        failed = (exchange.http_status or 0) >= 400 or facts.error is not None
        status: Status = exchange.status or (
            "error" if failed else "unread" if unread else "ok" if facts.whole or not exchange.sse else "cut"
        )
        error = exchange.error or failure or facts.error
        if error is None and status == "unread":
            error = {"message": unread, "type": "unread"}
        model = _text(exchange.request.get("model")) or facts.model
        usage = facts.usage
        if usage is None and exchange.spent is not None and exchange.spent.completion_tokens:
            usage = {
                "prompt_tokens": exchange.spent.prompt_tokens,
                "completion_tokens": exchange.spent.completion_tokens,
                "total_tokens": exchange.spent.prompt_tokens + exchange.spent.completion_tokens,
            }
        columns = {
            "id": exchange.id,
            "session": exchange.session,
            "parent": exchange.parent,
            "dialect": exchange.dialect.name,
            "model": model,
            "response_model": facts.model,
            "response_id": facts.response_id,
            "route": exchange.route,
            "stream": int(bool(request.get("stream"))),
            "started_at": exchange.started_at,
            "first_byte_s": frames[0][0] if frames else None,
            "duration_s": exchange.ended_s,
            "prompt_tokens": usage.get("prompt_tokens") if usage else None,
            "completion_tokens": usage.get("completion_tokens") if usage else None,
            "usage": usage,
            # A local model that answers to a provider's name does not cost what the provider takes.
            "cost": 0.0
            if exchange.adds_only
            else prices.cost((facts.model, model) if exchange.route == "upstream" else facts.model, usage),
            "status": status,
            "http_status": exchange.http_status,
            "finish_reason": facts.finish_reason,
            "error": error,
            "retry_of": exchange.retry_of,
            "title": _title(exchange.dialect, request),
            "redacted": int(redacted),
            "headers": exchange.headers,
            "extra": {
                "sse": exchange.sse,
                **({"encoding": encoding} if encoding else {}),
                **({"adds_only": True} if exchange.adds_only else {}),
                **({"tags": exchange.tags} if exchange.tags else {}),
            },
        }
        columns = redactor.columns(columns)
        if failure is not None and error is failure:  # it is ours, and the rule that failed would take it out
            columns["error"] = failure
        columns = sealed(columns)
        times = json.dumps([[round(at * 1000, 2), len(piece)] for at, piece in frames], separators=(",", ":"))
        packed = pack(request_body), pack(body), pack(times.encode())
        columns["stored_bytes"] = sum(map(len, packed))
        return cls(columns, *packed)


def pack(data: bytes) -> bytes:
    """Return data as it is stored: compressed, level 1 (a stream's events shrink to about a tenth)."""
    return zlib.compress(data, 1)


def sealed(columns: dict[str, Any]) -> dict[str, Any]:
    """Return columns in the types that a database takes; the title is never missing."""
    found = {n: _text(v) if isinstance(v, str) else v for n, v in columns.items()}
    found.update({name: _json(found[name]) for name in JSON_COLUMNS if found.get(name) is not None})
    return {**found, "title": found["title"] or ""} if "title" in found else found


def _utf8(body: bytes) -> bytes:
    """Return a body of JSON as UTF-8: it may come as UTF-16 or UTF-32, in which nobody would find a key."""
    encoding = json.detect_encoding(body)
    return body if encoding.startswith("utf-8") else body.decode(encoding, "replace").encode("utf-8", "replace")


def _request(exchange: Exchange, body: bytes) -> tuple[dict[str, Any], str]:
    """Return the request as it is stored, and why it cannot be read."""
    try:
        if body == exchange.request_body:
            check_depth(exchange.request)
            return exchange.request, ""
        value = loads(body)
        return (value if isinstance(value, dict) else {}), ""
    except ValueError as error:
        reason = error if isinstance(error, Unreadable) else "it is no JSON" if body else "it is empty"
        return {}, f"The request cannot be read: {reason}."


def _facts(exchange: Exchange, body: bytes) -> tuple[Facts, str]:
    """Return the facts of an answer, and why it cannot be read."""
    try:
        return exchange.dialect.facts(body, streamed=exchange.sse), ""
    except Exception as error:  # an upstream may send anything; its bytes are worth a record all the same
        reason = str(error) if isinstance(error, Unreadable) else type(error).__name__
        return Facts(), f"The answer cannot be read: {reason}."


def _title(dialect: Dialect, request: dict[str, Any]) -> str:
    try:
        messages = dialect.messages(request)
    except Exception:  # a title is not worth a lost record
        return ""
    last: dict[str, Any] = next((m for m in reversed(messages) if m.get("role") == "user"), {})
    words = " ".join(text_of(last.get("content"))[: 4 * _TITLE_CHARACTERS].replace("\0", " ").split())
    return words[: 2 * _TITLE_CHARACTERS]  # cut to its length when keys are out of it


def _text(value: Any) -> str | None:
    """Return text that a database takes: half a surrogate pair cannot be written as UTF-8, and a NUL ends a text in SQL."""
    return value.encode("utf-8", "replace").decode().replace("\0", "\ufffd") if isinstance(value, str) else None


def _json(value: Any) -> str | None:
    return None if value == {} else dumps(value)
