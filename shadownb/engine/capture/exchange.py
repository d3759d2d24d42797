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
from typing import Any

from shadownb.engine.capture.call import Status
from shadownb.engine.capture.dialects import Dialect, Facts
from shadownb.engine.capture.dialects.base import text_of
from shadownb.engine.capture.prices import PriceTable
from shadownb.engine.capture.redaction import Redactor

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
    ended_s: float | None = None  # seconds after the start, when it was last handed in to be stored
    kept: bool = True  # False: passed through, but left out by sampling

    def add(self, chunk: bytes) -> None:
        """Remember a piece of the answer and when it came."""
        self.frames.append((time.perf_counter() - self.clock, chunk))


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
        request_body, request = exchange.request_body, exchange.request
        request_body, frames, redacted, failure = redactor.exchange(request_body, frames, sse=exchange.sse)
        if redacted:
            request = _object(request_body)
        body = b"".join(piece for _, piece in frames)
        facts = _facts(exchange, body)
        error = exchange.error or facts.error or failure
        status: Status = exchange.status or (
            "error" if (exchange.http_status or 0) >= 400 else "ok" if facts.whole or not exchange.sse else "cut"
        )
        if exchange.status is None and facts.error is not None:
            status = "error"
        model = _text(request.get("model")) or facts.model
        usage = facts.usage
        columns = {
            "id": exchange.id,
            "session": redactor.text(exchange.session),
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
            "usage": _json(usage),
            # A local model that answers to a provider's name does not cost what the provider takes.
            "cost": prices.cost((facts.model, model) if exchange.route == "upstream" else facts.model, usage),
            "status": status,
            "http_status": exchange.http_status,
            "finish_reason": facts.finish_reason,
            "error": redactor.known(_json(error)),
            "retry_of": exchange.retry_of,
            "title": _title(exchange.dialect, request),
            "redacted": int(redacted),
            "headers": redactor.known(_json(exchange.headers)),
            "extra": _json({"sse": exchange.sse, **({"encoding": encoding} if encoding else {})}),
        }
        columns = {name: _text(value) if isinstance(value, str) else value for name, value in columns.items()}
        times = json.dumps([[round(at * 1000, 2), len(piece)] for at, piece in frames], separators=(",", ":"))
        packed = pack(request_body), pack(body), pack(times.encode())
        columns["stored_bytes"] = sum(map(len, packed))
        return cls(columns, *packed)


def pack(data: bytes) -> bytes:
    """Return data as it is stored: compressed, level 1 (a stream's events shrink to about a tenth)."""
    return zlib.compress(data, 1)


def unpack(data: bytes | None) -> bytes:
    """Return what :func:`pack` was given."""
    return zlib.decompress(data) if data else b""


def decoded(frames: list[tuple[float, bytes]], encoding: str) -> tuple[list[tuple[float, bytes]], str]:
    """Return frames decompressed and the encoding that is left: empty, unless the bytes are not what they claim."""
    if not encoding:
        return list(frames), ""
    inflate = inflater(encoding)
    plain: list[tuple[float, bytes]] = []
    try:
        for at, piece in frames:
            plain.append((at, inflate.decompress(piece)))
    except zlib.error:
        return list(frames), encoding
    return [(at, piece) for at, piece in plain if piece], ""


def inflater(encoding: str) -> Any:
    """Return a decompressor for ``gzip`` or ``deflate``; the only encodings that are asked of an upstream."""
    return zlib.decompressobj(wbits=31 if "gzip" in encoding else 15)


def _facts(exchange: Exchange, body: bytes) -> Facts:
    try:
        return exchange.dialect.facts(body, streamed=exchange.sse)
    except Exception as error:  # an upstream may send anything; its bytes are worth a record all the same
        return Facts(error={"message": f"The answer cannot be read: {type(error).__name__}.", "type": "unreadable"})


def _title(dialect: Dialect, request: dict[str, Any]) -> str:
    try:
        messages = dialect.messages(request)
    except Exception:  # a title is not worth a lost record
        return ""
    last: dict[str, Any] = next((m for m in reversed(messages) if m.get("role") == "user"), {})
    words = " ".join(text_of(last.get("content"))[: 4 * _TITLE_CHARACTERS].split())
    return words[:_TITLE_CHARACTERS]


def _text(value: Any) -> str | None:
    """Return text that a database takes: half a surrogate pair cannot be written as UTF-8."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else None


def _json(value: Any) -> str | None:
    return None if value is None or value == {} else json.dumps(value)


def _object(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
