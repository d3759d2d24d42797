"""The end of an answer goes to the client when the call is in the store, and not before; everything else at once."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from typing import Any

import httpx
import pytest

from shadownb.engine.capture.proxy import CaptureProxy
from tests.capture.conftest import WEB
from tests.capture.test_pass_through import BODIES, PATHS, auth
from tests.capture.upstream import Reply, Seen, Upstream, event, response, sse, stream, whole
from tests.waiting import wait_for

TEXT = "echo: one two"
ENDS = dict(
    zip(PATHS, (b"data: [DONE]", b"data: [DONE]", b"event: response.completed", b"event: message_stop"), strict=True)
)


def unnamed(path: str) -> list[bytes]:
    """The stream as servers write it that name no events and put the type wherever it falls."""
    if path == PATHS[2]:
        ends: list[Any] = [{"response": response(TEXT, 3), "sequence_number": 9, "type": "response.completed"}]
    else:
        ends = [{"index": 0, "type": "message_stop"}]
    named = sse(path, TEXT)[:-1]
    return [piece[piece.index(b"data:") :] for piece in named] + [event(each) for each in ends]


STREAMS = {
    **{path: (b"".join(sse(path, TEXT)), ENDS[path]) for path in PATHS},
    "responses, unnamed": (b"".join(unnamed(PATHS[2])), b'"type": "response.completed"'),
    "messages, unnamed": (b"".join(unnamed(PATHS[3])), b'"type": "message_stop"'),
}


class Reader(threading.Thread):
    """Asks, and keeps what has come so far."""

    def __init__(self, url: str, body: dict[str, Any], headers: dict[str, str]) -> None:
        super().__init__(daemon=True)
        self.asked = url, body, headers
        self.read = b""
        self.start()

    def run(self) -> None:
        url, body, headers = self.asked
        with (
            httpx.Client(trust_env=False, timeout=60) as client,
            client.stream("POST", url, json=body, headers=headers) as got,
        ):
            for piece in got.iter_raw():
                self.read += piece


@pytest.mark.parametrize("size", [1, 7, 10_000])
@pytest.mark.parametrize("kind", STREAMS)
def test_the_end_of_a_stream_waits(upstream: Upstream, proxy: CaptureProxy, kind: str, size: int) -> None:
    path = {"responses, unnamed": PATHS[2], "messages, unnamed": PATHS[3]}.get(kind, kind)
    sent, end = STREAMS[kind]
    going_on, over = threading.Event(), threading.Event()

    async def answer(seen: Seen, reply: Reply) -> None:
        if seen.method == "GET":
            await reply.json({"data": []})
            return
        await reply.head(content_type="text/event-stream")
        for begin in range(0, len(sent), size):
            await reply.piece(sent[begin : begin + size])
        going_on.set()
        await asyncio.to_thread(over.wait, 60)  # HTTP does not end here: a client knows the end by what it reads
        await reply.end()

    upstream.answer = answer
    assert WEB.get(proxy.base_url + "/models", headers=auth(proxy)).status_code == 200
    locked = sqlite3.connect(proxy.store.files.database, isolation_level=None)
    locked.execute("BEGIN IMMEDIATE")  # nothing can be committed until this ends
    reader = Reader(proxy.root_url + path, {**BODIES[path], "stream": True}, auth(proxy))
    assert going_on.wait(60)
    before = sent.index(end)
    if size == 1:  # in larger pieces the end's own piece is held as a whole
        wait_for(lambda: len(reader.read) >= before)
    for _ in range(5):  # round trips on the same loop: what could go out has gone out
        assert WEB.get(proxy.base_url + "/models", headers=auth(proxy)).status_code == 200
    assert end not in reader.read
    assert not reader.read.endswith(sent)
    locked.execute("COMMIT")
    locked.close()
    wait_for(lambda: reader.read == sent)
    over.set()
    reader.join(60)
    assert [call.status for call in proxy.calls] == ["ok"]
    assert proxy.calls[0].text == TEXT


@pytest.mark.parametrize("padding", [0, 3_000_000])  # bodies above 1 MB are passed on, all but their last piece
def test_the_end_of_a_body_waits(upstream: Upstream, proxy: CaptureProxy, padding: int) -> None:
    async def answer(seen: Seen, reply: Reply) -> None:
        await reply.json({} if seen.method == "GET" else {**whole(PATHS[0], TEXT), "x": "y" * padding})

    upstream.answer = answer
    locked = sqlite3.connect(proxy.store.files.database, isolation_level=None)
    locked.execute("BEGIN IMMEDIATE")
    reader = Reader(proxy.root_url + PATHS[0], BODIES[PATHS[0]], auth(proxy))
    wait_for(lambda: upstream.seen and (reader.read if padding else True))
    for _ in range(5):
        assert WEB.get(proxy.base_url + "/models", headers=auth(proxy)).status_code == 200
    assert reader.is_alive()
    assert not reader.read.endswith(b"}")
    assert bool(reader.read) == bool(padding)
    locked.execute("COMMIT")
    locked.close()
    reader.join(60)
    assert len(reader.read) > padding
    assert reader.read.endswith(b"}")
    assert proxy.calls[0].response_body == reader.read


def test_what_is_sampled_out_waits_for_nothing(upstream: Upstream) -> None:
    from shadownb.engine.capture import capture

    upstream.answer = lambda seen, reply: stream(reply, sse(PATHS[0], TEXT))
    with capture(upstream.url, sample=0) as proxy:
        locked = sqlite3.connect(proxy.store.files.database, isolation_level=None)
        locked.execute("BEGIN IMMEDIATE")
        got = WEB.post(proxy.root_url + PATHS[0], json={**BODIES[PATHS[0]], "stream": True}, headers=auth(proxy))
        assert got.content == b"".join(sse(PATHS[0], TEXT))
        locked.execute("ROLLBACK")
        locked.close()
