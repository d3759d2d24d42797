"""Streams that break, clients that leave, bytes that come in odd pieces: the right bytes through, one honest record each."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import threading
import zlib
from typing import Any

import httpx
import pytest

from shadownb.engine.capture.proxy import CaptureProxy
from shadownb.engine.capture.sse import EndWatch, events
from tests.capture.conftest import WEB
from tests.capture.test_pass_through import BODIES, PATHS, auth
from tests.capture.upstream import Reply, Seen, Upstream, sse, stream
from tests.waiting import wait_for

CHAT = PATHS[0]
TEXT = "echo: señor 📦 äöü [DONE] message_stop"
WANTED = {path: b"".join(sse(path, TEXT)) for path in PATHS}


def ask(proxy: CaptureProxy, path: str = CHAT, **headers: str) -> httpx.Response:
    return WEB.post(
        proxy.root_url + path, json={**BODIES[path], "stream": True}, headers={**auth(proxy), **headers}, timeout=120
    )


@pytest.mark.parametrize("path", PATHS)
def test_one_byte_pieces(upstream: Upstream, proxy: CaptureProxy, path: str) -> None:
    upstream.answer = lambda seen, reply: stream(reply, [bytes([b]) for b in WANTED[path]])
    assert ask(proxy, path).content == WANTED[path]
    call = proxy.calls[0]
    assert (call.status, call.text) == ("ok", TEXT)
    assert call.response_body == WANTED[path]


@pytest.mark.parametrize("path", PATHS)
def test_split_at_every_byte(upstream: Upstream, proxy: CaptureProxy, path: str) -> None:
    """One request a split would be 700 requests a dialect; the places where something can go wrong are the last 150 bytes
    (the end is looked for there) and those inside characters and line ends."""
    body = WANTED[path]
    inside = [n for n in range(1, len(body)) if body[n] & 0xC0 == 0x80 or body[n - 1 : n] == b"\n"]
    splits = sorted({*inside[:20], *range(len(body) - 150, len(body))})
    answers = iter(splits)

    async def answer(seen: Seen, reply: Reply) -> None:
        at = next(answers)
        await stream(reply, [body[:at], body[at:]])

    upstream.answer = answer
    with httpx.Client() as client:
        for _ in splits:
            got = client.post(proxy.root_url + path, json={**BODIES[path], "stream": True}, headers=auth(proxy))
            assert got.content == body
    assert proxy.store.count(status="ok") == len(splits)
    assert {call.text for call in proxy.calls} == {TEXT}


@pytest.mark.parametrize("path", PATHS)
def test_end_is_seen_once_wherever_the_stream_is_cut(path: str) -> None:
    from shadownb.engine.capture.dialects import by_path

    speaks = by_path(path.removeprefix("/v1"))
    assert speaks is not None
    body = WANTED[path]
    end = {
        CHAT: b"data: [DONE]",
        PATHS[1]: b"data: [DONE]",
        PATHS[2]: b"event: response.completed",
        PATHS[3]: b"event: message_stop",
    }[path]
    begins = body.index(b"\n" + end) + 1
    for at in range(1, len(body)):
        watch = EndWatch(speaks.end_marks)
        watch.feed(body[:at])
        # Text that quotes an end is none; an end is held back at the latest when its line is there.
        assert not watch.begun or at > begins
        assert watch.begun or at < begins + len(end) or at <= begins
        watch.feed(body[at:])
        assert watch.begun
        assert watch.complete


def test_line_ends_of_every_kind_are_events() -> None:
    for end in ("\n", "\r\n", "\r"):
        body = end.join(["event: a", "data: 1", "data: 2", "", ": idle", "", "data: [DONE]", "", ""]).encode()
        assert [(e.name, e.data) for e in events(body)] == [("a", b"1\n2"), ("", b"[DONE]")]


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
@pytest.mark.parametrize("streamed", [False, True])
def test_compressed_answers(upstream: Upstream, proxy: CaptureProxy, encoding: str, streamed: bool) -> None:
    from tests.capture.upstream import whole

    plain = WANTED[CHAT] if streamed else json.dumps(whole(CHAT, TEXT)).encode()

    async def answer(seen: Seen, reply: Reply) -> None:
        packer = zlib.compressobj(wbits=31 if encoding == "gzip" else 15)
        kind = "text/event-stream" if streamed else "application/json"
        await reply.head(content_type=kind, content_encoding=encoding)
        for begin in range(0, len(plain), 50):
            await reply.piece(packer.compress(plain[begin : begin + 50]) + packer.flush(zlib.Z_SYNC_FLUSH) or b"")
        await reply.piece(packer.flush())
        await reply.end()

    upstream.answer = answer
    body = {**BODIES[CHAT], "stream": streamed}
    with WEB.stream(
        "POST", proxy.root_url + CHAT, json=body, headers={**auth(proxy), "accept-encoding": "br, gzip, deflate"}
    ) as got:
        raw = b"".join(got.iter_raw())
    assert got.headers["content-encoding"] == encoding
    assert (gzip.decompress(raw) if encoding == "gzip" else zlib.decompress(raw)) == plain
    assert (
        upstream.seen[0].headers["accept-encoding"] == "gzip, deflate"
    )  # what could not be read later is not asked for
    call = proxy.calls[0]
    assert (call.status, call.text, call.response_body) == ("ok", TEXT, plain)


def test_idle_comments_pass_and_do_not_disturb(upstream: Upstream, proxy: CaptureProxy) -> None:
    pieces = [b": keep-alive\n\n", *sse(CHAT, TEXT)]
    pieces.insert(3, b": keep-alive\n\n")
    upstream.answer = lambda seen, reply: stream(reply, pieces)
    assert ask(proxy).content == b"".join(pieces)
    assert (proxy.calls[0].status, proxy.calls[0].text) == ("ok", TEXT)


def test_a_stream_that_is_not_called_one(upstream: Upstream, proxy: CaptureProxy) -> None:
    gone_on = threading.Event()

    async def answer(seen: Seen, reply: Reply) -> None:
        await reply.head(content_type="text/plain; charset=utf-8")
        first, *rest = sse(CHAT, TEXT)
        await reply.piece(first)
        assert await asyncio.to_thread(gone_on.wait, 20)
        for piece in rest:
            await reply.piece(piece)
        await reply.end()

    upstream.answer = answer
    with WEB.stream("POST", proxy.root_url + CHAT, json={**BODIES[CHAT], "stream": True}, headers=auth(proxy)) as got:
        pieces = got.iter_raw()
        read = next(pieces)
        gone_on.set()
        assert read + b"".join(pieces) == WANTED[CHAT]
    assert (proxy.calls[0].status, proxy.calls[0].text) == ("ok", TEXT)


def test_no_done_at_the_end(upstream: Upstream, proxy: CaptureProxy) -> None:
    """A stream that has its finish reason is whole; one that has neither it nor an end is cut, though HTTP ended well."""
    pieces = sse(CHAT, TEXT)[:-1]
    upstream.answer = lambda seen, reply: stream(reply, pieces)
    assert ask(proxy).content == b"".join(pieces)
    upstream.answer = lambda seen, reply: stream(reply, pieces[:2])
    assert ask(proxy).content == b"".join(pieces[:2])
    second, first = proxy.calls
    assert (first.status, first.finish_reason, first.text) == ("ok", "stop", TEXT)
    assert (second.status, second.finish_reason, second.usage) == ("cut", None, None)


def test_bytes_behind_the_end_are_kept_too(upstream: Upstream, proxy: CaptureProxy) -> None:
    behind = threading.Event()

    async def answer(seen: Seen, reply: Reply) -> None:
        await reply.head(content_type="text/event-stream")
        await reply.piece(WANTED[CHAT])
        assert await asyncio.to_thread(behind.wait, 20)
        await reply.piece(b": bye\n\n")
        await reply.end()

    upstream.answer = answer
    with WEB.stream("POST", proxy.root_url + CHAT, json={**BODIES[CHAT], "stream": True}, headers=auth(proxy)) as got:
        pieces = got.iter_raw()
        read = b""
        while b"data: [DONE]\n\n" not in read:
            read += next(pieces)
        assert proxy.store.count(status="ok") == 1  # the end is out, so the call is in the store
        behind.set()
        read += b"".join(pieces)
    assert read == WANTED[CHAT] + b": bye\n\n"
    wait_for(lambda: proxy.calls[0].response_body == read)
    assert len(proxy.calls) == 1


@pytest.mark.parametrize("path", PATHS)
def test_upstream_gone_in_the_middle(upstream: Upstream, proxy: CaptureProxy, path: str) -> None:
    pieces = sse(path, TEXT)

    async def answer(seen: Seen, reply: Reply) -> None:
        await reply.head(content_type="text/event-stream")
        for piece in pieces[:4]:
            await reply.piece(piece)
        reply.drop()

    upstream.answer = answer
    got = b""
    with (
        pytest.raises(httpx.RemoteProtocolError),
        WEB.stream(  # the client must not take it for a whole answer
            "POST", proxy.root_url + path, json={**BODIES[path], "stream": True}, headers=auth(proxy)
        ) as response,
    ):
        for piece in response.iter_raw():
            got += piece
    assert got == b"".join(pieces[:4])
    call = wait_for(lambda: proxy.calls.page(0, 1))[0]
    assert (call.status, call.response_body) == ("cut", got)
    assert "broke off" in call.error["message"]
    assert TEXT.startswith(call.text)


def test_upstream_gone_before_a_body_is_whole(upstream: Upstream, proxy: CaptureProxy) -> None:
    async def answer(seen: Seen, reply: Reply) -> None:
        await reply.head(content_type="application/json", content_length="100")
        await reply.piece(b'{"id": ')
        reply.drop()

    upstream.answer = answer
    got = WEB.post(proxy.root_url + CHAT, json=BODIES[CHAT], headers=auth(proxy))
    assert got.status_code == 502
    assert "broke off" in got.json()["error"]["message"]
    assert [(call.status, call.response_body) for call in proxy.calls] == [("cut", b'{"id": ')]


@pytest.mark.parametrize("streamed", [False, True])
def test_client_gone_in_the_middle(upstream: Upstream, proxy: CaptureProxy, streamed: bool) -> None:
    async def answer(seen: Seen, reply: Reply) -> None:
        await reply.head(content_type="text/event-stream" if streamed else "application/json")
        if streamed:
            for piece in sse(CHAT, TEXT)[:3]:
                await reply.piece(piece)
        await reply.writer.wait_closed()  # the proxy hangs up: nobody waits for the rest any more

    upstream.answer = answer
    body = json.dumps({**BODIES[CHAT], "stream": streamed}).encode()
    head = f"POST {CHAT} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {proxy.token}\r\ncontent-length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", int(proxy.root_url.rpartition(":")[2]))) as client:
        client.sendall(head.encode() + body)
        if streamed:
            received = b""
            while b"se\xc3\xb1or" not in received:
                received += client.recv(4096)
        else:
            wait_for(lambda: upstream.open)
    call = wait_for(lambda: proxy.calls.page(0, 1))[0]
    assert (call.status, call.finish_reason) == ("client_gone", None)
    assert call.response_body == (b"".join(sse(CHAT, TEXT)[:3]) if streamed else b"")
    assert proxy.store.count() == 1
    wait_for(lambda: not proxy.counters["active"])


def test_a_clients_retries_are_calls_of_their_own_that_say_so(upstream: Upstream, proxy: CaptureProxy) -> None:
    import openai

    from tests.capture.upstream import echo

    failures = iter([503, 500])

    async def answer(seen: Seen, reply: Reply) -> None:
        status = next(failures, 200)
        if status == 200:
            await echo(seen, reply)
        else:
            await reply.json(
                {"error": {"message": "busy", "type": "server_error", "param": None, "code": None}},
                status,
                retry_after_ms="1",
            )

    upstream.answer = answer
    client = openai.OpenAI(base_url=proxy.base_url, api_key=proxy.token, max_retries=3)
    client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "again"}])
    client.chat.completions.create(
        model="gpt-4o", messages=[{"role": "user", "content": "again"}]
    )  # asked anew, no retry
    calls: list[Any] = proxy.store.calls()
    assert [call.http_status for call in calls] == [503, 500, 200, 200]
    assert [call.retry_of for call in calls] == [None, calls[0].id, calls[1].id, None]
    assert [call.status for call in calls] == ["error", "error", "ok", "ok"]


def test_stopping_ends_what_goes_on_with_a_record(upstream: Upstream) -> None:
    from shadownb.engine.capture import capture

    async def answer(seen: Seen, reply: Reply) -> None:
        await reply.head(content_type="text/event-stream")
        await reply.piece(sse(CHAT, TEXT)[0])
        await reply.writer.wait_closed()

    upstream.answer = answer
    proxy = capture(upstream.url).start()
    with WEB.stream("POST", proxy.root_url + CHAT, json={**BODIES[CHAT], "stream": True}, headers=auth(proxy)) as got:
        pieces = got.iter_raw()
        next(pieces)
        proxy.stop(wait_s=0.2)
    assert [(call.status, call.response_body) for call in proxy.store.calls()] == [("cut", sse(CHAT, TEXT)[0])]
