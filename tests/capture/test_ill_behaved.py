"""Senders that do not keep to the dialect: what they sent is what is recorded, and what is not known to be whole is not trained."""

from __future__ import annotations

import asyncio
import gzip
import json
import threading
import zlib
from collections.abc import Callable
from typing import Any

import brotli
import pytest
import zstandard

from shadownb.engine.capture.dialects import dialect
from shadownb.engine.capture.encodings import NotDecoded, decoder
from shadownb.engine.capture.exchange import Exchange, Record
from shadownb.engine.capture.prices import PriceTable
from shadownb.engine.capture.proxy import CaptureProxy
from shadownb.engine.capture.redaction import Redactor
from shadownb.engine.trajectories.endings import ended_by_itself
from tests.capture.conftest import WEB
from tests.capture.test_pass_through import BODIES, PATHS, auth
from tests.capture.upstream import Reply, Seen, Upstream

Message = dict[str, Any]
WHOLE = "trained"


def chunk(delta: Any = None, finish: str | None = None, **more: Any) -> Message:
    choice = {"index": 0, **({"delta": delta} if delta is not None else {}), "finish_reason": finish, **more}
    return {"id": "c", "object": "chat.completion.chunk", "model": "m", "choices": [choice]}


def lines(*data: Any, done: bool = True) -> bytes:
    given = [each if isinstance(each, bytes) else json.dumps(each).encode() for each in data]
    return b"".join(b"data: " + each + b"\n\n" for each in [*given, *([b"[DONE]"] if done else [])])


def named(*events: Message) -> bytes:
    return b"".join(b"event: %s\ndata: %s\n\n" % (e["type"].encode(), json.dumps(e).encode()) for e in events)


A, STOP = chunk({"content": "a"}), chunk({}, "stop")
ANSWER = {"role": "assistant", "content": "ab"}
# name -> (what is sent, the text that was said (None: it cannot be read), how the call ended)
CHAT: dict[str, tuple[bytes, str | None, str]] = {
    "as it should be": (lines(A, STOP), "a", WHOLE),
    "a reason that is empty until the end": (lines(chunk({"content": "a"}, ""), STOP), "a", WHOLE),
    "chunks in lists": (lines([A], [STOP]), "a", WHOLE),
    "the whole message behind its pieces": (lines(A, chunk(finish="stop", message=ANSWER)), "ab", WHOLE),
    "one whole message": (lines(chunk(finish="stop", message=ANSWER)), "ab", WHOLE),
    "text in the place of a delta": (lines(chunk(text="a"), chunk(text="b", finish="stop")), "ab", WHOLE),
    "a delta that is a text": (lines(chunk("a"), chunk("b", "stop")), "ab", WHOLE),
    "a byte order mark": (b"\xef\xbb\xbf" + lines(A, STOP), "a", WHOLE),
    "no reason": (lines(A), "a", "no finish reason"),
    "cut at its limit, then stopped": (lines(chunk({"content": "a"}, "length"), STOP), "a", "ended with 'length'"),
    "an error in words": (lines(A, {"error": "overloaded"}), "a", "error"),
    "an error behind the end": (lines(A, STOP, {"error": {"message": "x"}}), "a", "error"),
    "an error by its name": (lines(A, done=False) + b'event: error\ndata: {"message": "x"}\n\n', "a", "error"),
    "an error of one choice": (lines(A, chunk({}, "stop", error={"message": "x"})), "a", "error"),
    "an event that breaks off": (lines(A, b'{"choices": [{"ind', STOP), None, "unread"),
    "a page of HTML": (lines(A, done=False) + b"<html>502</html>", "a", "cut"),
}
START: Message = {"type": "message_start", "message": {"id": "m", "content": [], "usage": {"input_tokens": 1}}}
TEXT: Message = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "a"}}
ENDS: Message = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 1}}
OVER: Message = {"type": "message_stop"}
MESSAGES: dict[str, tuple[bytes, str | None, str]] = {
    "as it should be": (named(START, TEXT, ENDS, OVER), "a", WHOLE),
    "a pause": (
        named(START, TEXT, {**ENDS, "delta": {"stop_reason": "pause_turn"}}, OVER),
        "a",
        "ended with 'pause_turn'",
    ),
    "no reason": (named(START, TEXT, OVER), "a", "no finish reason"),
    "an error in words": (named(START, TEXT, {"type": "error", "error": "overloaded"}), "a", "error"),
    "two answers": (named(START, TEXT, ENDS, OVER, START, TEXT, ENDS, OVER), None, "unread"),
}
ITEM: Message = {"id": "i", "type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "ab"}]}
CREATED: Message = {
    "type": "response.created",
    "response": {"id": "r", "status": "in_progress", "model": "m", "output": []},
}
PIECE: Message = {
    "type": "response.output_text.delta",
    "item_id": "i",
    "output_index": 0,
    "content_index": 0,
    "delta": "ab",
}
DONE: Message = {"type": "response.output_item.done", "output_index": 0, "item": ITEM}
RESPONSES: dict[str, tuple[bytes, str | None, str]] = {
    "an end that is empty": (named(CREATED, DONE, {"type": "response.completed", "response": {}}), "ab", WHOLE),
    "an end without its answer": (named(CREATED, DONE, {"type": "response.completed"}), "ab", WHOLE),
    "an end without a status": (
        named(CREATED, {"type": "response.completed", "response": {"output": [ITEM]}}),
        "ab",
        WHOLE,
    ),
    "pieces alone": (
        named(CREATED, PIECE, {"type": "response.completed", "response": {"status": "completed"}}),
        "ab",
        WHOLE,
    ),
    "no end": (named(CREATED, DONE), "ab", "cut"),
    "an error in words": (named(CREATED, PIECE, {"type": "error", "error": "overloaded"}), "ab", "error"),
    "incomplete": (named(CREATED, DONE, {"type": "response.incomplete"}), "ab", "ended with 'incomplete'"),
}
SENT = {
    **{f"chat: {name}": ("chat", *case) for name, case in CHAT.items()},
    **{f"messages: {name}": ("messages", *case) for name, case in MESSAGES.items()},
    **{f"responses: {name}": ("responses", *case) for name, case in RESPONSES.items()},
}


@pytest.mark.parametrize("name", list(SENT))
def test_what_was_said_and_how_it_ended(name: str) -> None:
    speaks, body, said, ended = SENT[name]
    spoken = dialect(speaks)
    exchange = Exchange(spoken, b'{"model": "m"}', {"model": "m"}, "upstream", http_status=200, sse=True)
    exchange.add(body)
    columns = Record.of(exchange, PriceTable({}), Redactor()).columns
    status, reason = columns["status"], columns["finish_reason"]
    if status == "ok":
        why = "no finish reason" if reason is None else f"ended with {reason!r}"
        status = WHOLE if ended_by_itself(speaks, reason) else why
    assert status == ended
    if said is None:
        with pytest.raises(ValueError):
            spoken.response(body, streamed=True)
    else:
        assert [c["message"]["content"] for c in spoken.choices(spoken.response(body, streamed=True))] == [said]


def _raw(data: bytes) -> bytes:
    deflate = zlib.compressobj(wbits=-15)
    return deflate.compress(data) + deflate.flush()


def _zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


ENCODED: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip of several members": ("gzip", lambda data: gzip.compress(data[:40]) + gzip.compress(data[40:])),
    "deflate": ("deflate", zlib.compress),
    "deflate without a head": ("deflate", _raw),
    "br": ("br", brotli.compress),
    "zstd of several frames": ("zstd", lambda data: _zstd(data[:40]) + _zstd(data[40:])),
    "gzip in br": ("gzip, br", lambda data: brotli.compress(gzip.compress(data))),
    "identity": ("identity", bytes),
}


@pytest.mark.parametrize("how", list(ENCODED))
@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_every_encoding_in_pieces_of_any_size(how: str, size: int) -> None:
    encoding, encode = ENCODED[how]
    plain = lines(A, *[chunk({"content": f"{n} ü"}) for n in range(50)], STOP)
    body = encode(plain)
    known = decoder(encoding)
    assert known is not None
    assert b"".join(known.feed(body[at : at + size]) for at in range(0, len(body), size)) == plain


@pytest.mark.parametrize("encoding", ["gzip", "br", "zstd", "deflate"])
def test_what_is_not_so_encoded_or_claims_gigabytes(encoding: str) -> None:
    encode = {"gzip": gzip.compress, "br": brotli.compress, "zstd": _zstd, "deflate": zlib.compress}[encoding]
    for body, limit in (
        (b"data: no such thing, at all; it goes on and on", 1 << 20),
        (encode(bytes(1 << 22)), 1 << 20),
    ):
        known = decoder(encoding, limit)
        assert known is not None
        with pytest.raises(NotDecoded):
            known.feed(body)
    assert decoder("exi") is None


TYPES = ("application/json", "text/plain; charset=utf-8", "application/x-ndjson", "application/octet-stream", "")


@pytest.mark.parametrize("content_type", [*TYPES, "text/event-stream"])
@pytest.mark.parametrize("body", ["stream", "JSON"])
def test_the_content_type_is_not_believed(
    upstream: Upstream, proxy: CaptureProxy, content_type: str, body: str
) -> None:
    said = {"id": "c", "choices": [{"index": 0, "message": ANSWER, "finish_reason": "stop"}]}
    pieces = [lines(A, done=False), lines(chunk({"content": "b"}), STOP)]
    pieces = pieces if body == "stream" else [b" ", json.dumps(said).encode()]

    async def answer(seen: Seen, reply: Reply) -> None:
        await reply.head(**({"content_type": content_type} if content_type else {}))
        for piece in pieces:
            await reply.piece(piece)
        await reply.end()

    upstream.answer = answer
    got = WEB.post(proxy.root_url + PATHS[0], json={**BODIES[PATHS[0]], "stream": True}, headers=auth(proxy))
    assert got.content == b"".join(pieces)
    call = proxy.calls[0]
    assert (call.status, call.finish_reason, call.text) == ("ok", "stop", "ab")


@pytest.mark.parametrize("how", ["br", "zstd of several frames", "gzip of several members"])
def test_a_compressed_stream_is_recorded(upstream: Upstream, proxy: CaptureProxy, how: str) -> None:
    encoding, encode = ENCODED[how]
    body = encode(lines(A, STOP))

    async def answer(seen: Seen, reply: Reply) -> None:
        await reply.head(content_type="text/event-stream", content_encoding=encoding)
        for at in range(0, len(body), 5):
            await reply.piece(body[at : at + 5])
        await reply.end()

    upstream.answer = answer
    request = {"json": {**BODIES[PATHS[0]], "stream": True}, "headers": auth(proxy)}
    with WEB.stream("POST", proxy.root_url + PATHS[0], **request) as got:
        assert b"".join(got.iter_raw()) == body
    assert (proxy.calls[0].status, proxy.calls[0].text) == ("ok", "a")


def test_a_piece_goes_out_as_soon_as_it_is_known_for_one_of_a_stream(upstream: Upstream, proxy: CaptureProxy) -> None:
    came = threading.Event()

    async def answer(seen: Seen, reply: Reply) -> None:
        await reply.head(content_type="application/json")
        await reply.piece(lines(A, done=False))
        await asyncio.get_running_loop().run_in_executor(None, came.wait, 20)
        await reply.piece(lines(STOP))
        await reply.end()

    upstream.answer = answer
    request = {"json": {**BODIES[PATHS[0]], "stream": True}, "headers": auth(proxy)}
    with WEB.stream("POST", proxy.root_url + PATHS[0], **request) as got:
        for piece in got.iter_raw():
            assert came.is_set() or piece == lines(A, done=False)  # it came before the rest was sent
            came.set()
    assert proxy.calls[0].text == "a"


def test_headers_in_any_encoding_go_through(upstream: Upstream, proxy: CaptureProxy) -> None:
    for name in ("Zürich".encode("latin-1"), "Zürich".encode()):
        token = f"Bearer {proxy.token}".encode()
        headers = {b"X-Title": name, b"Authorization": token}
        assert WEB.post(proxy.root_url + PATHS[0], json=BODIES[PATHS[0]], headers=headers).status_code == 200
        assert upstream.seen[-1].headers["x-title"].encode("latin-1") == name
    assert [call.status for call in proxy.calls] == ["ok", "ok"]
