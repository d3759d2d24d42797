"""A full disk, slow and huge peers, an upstream that is not there, a clock that is set back: told and bounded."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shadownb import Dataset
from shadownb.engine.capture import capture, exchange, serving, wire
from shadownb.engine.capture.dialects import dialect
from shadownb.engine.capture.proxy import CaptureProxy
from shadownb.engine.trajectories.rows import trajectories_of
from shadownb.errors import DiskFullError, ShadowWarning
from tests.capture.conftest import WEB
from tests.capture.test_pass_through import BODIES, PATHS, auth
from tests.capture.test_store import say
from tests.capture.upstream import Reply, Seen, Upstream, event, whole

MESSAGE = {"role": "user", "content": ""}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 4 MB, where the system lets us have one."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = (
        sys.platform == "linux"
        and not subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)], capture_output=True, check=False
        ).returncode
    )
    if not mounted:
        pytest.skip("no small disk can be mounted here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=False)


@contextlib.contextmanager
def plain_server() -> Iterator[int]:
    """A server that answers whoever calls, in no secure way."""

    def answer(server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                line, _ = server.accept()
                with line:
                    line.sendall(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=answer, args=(server,), daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
    thread.join(60)


def fill(place: Path) -> None:
    with open(place / "fill", "ab") as file, pytest.raises(OSError, match="No space"):
        while True:
            file.write(bytes(65536))
            file.flush()


def test_on_a_full_disk_what_is_lost_is_told_and_deleting_makes_room(
    upstream: Upstream, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHADOWNB_HOME", str(small_disk / "home"))
    long = json.dumps([hash((n, "x")) for n in range(12_000)])  # some 100 KB that do not compress well
    proxy = capture(upstream.url, name="full").start()
    for number in range(16):
        body = {**BODIES[PATHS[0]], "messages": [{**MESSAGE, "content": f"{number} {long}"}]}
        assert (
            WEB.post(proxy.root_url + PATHS[0], json=body, headers=auth(proxy)).status_code == 200
        )  # nobody is disturbed
    lost = proxy.counters["failed"]
    assert 0 < lost < 16
    assert f", {lost} not recorded" in repr(proxy)
    assert f"{lost} calls: OperationalError: database or disk is full" in proxy._repr_html_()
    with pytest.warns(ShadowWarning, match=f"{lost} calls passed through 'full' and could not be stored"):
        Dataset.from_captures(proxy)
    stored = len(proxy.calls)
    assert proxy.store.delete(until=time.time() + 60) == stored
    say(proxy, "after room was made")
    assert [call.title for call in proxy.calls] == ["after room was made"]
    with pytest.warns(ShadowWarning, match="could not be stored"):
        proxy.stop()
    with pytest.warns(ShadowWarning, match="could not be stored"):
        assert len(trajectories_of("full")) == 1
    assert b"12_000" not in (proxy.folder / "calls.sqlite").read_bytes()
    fill(small_disk)
    for name in ("new", "full"):
        with pytest.raises(DiskFullError, match="the disk is full"):
            capture(upstream.url, name=name).start()
    assert not [path for path in (small_disk / "home").rglob(".*") if path.is_file()]


@pytest.mark.parametrize("speaks", ["chat", "messages", "responses", "tool"])
def test_a_long_answer_is_rebuilt_in_linear_time(speaks: str) -> None:
    def body(count: int) -> tuple[str, bytes]:
        if speaks == "messages":
            start = event({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}})
            piece = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "word"}}
            return "messages", start + event(piece) * count
        if speaks == "responses":
            item = {"type": "response.output_item.added", "output_index": 0, "item": {"id": "i", "type": "message"}}
            piece = {"type": "response.output_text.delta", "item_id": "i", "output_index": 0, "delta": "word"}
            return "responses", event(item) + event(piece) * count
        call = {"index": 0, "function": {"arguments": "word"}}
        delta: Any = {"tool_calls": [call]} if speaks == "tool" else {"content": "word"}
        first = event(
            {"choices": [{"index": 0, "delta": {"tool_calls": [{**call, "id": "c", "function": {"name": "f"}}]}}]}
        )
        rest = event({"choices": [{"index": 0, "delta": delta}]}) * count
        return "chat", (first if speaks == "tool" else b"") + rest

    def seconds(count: int) -> float:
        name, data = body(count)
        begin = time.process_time()
        whole = dialect(name).response(data, streamed=True)
        took = time.process_time() - begin
        assert json.dumps(whole).count("word") == count
        return took

    short = min(seconds(4_000) for _ in range(3))
    assert seconds(64_000) < 16 * short * 2.5  # quadratic it would be 256 times as long


def test_an_answer_that_is_too_long_passes_and_is_told(
    upstream: Upstream, proxy: CaptureProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "MOST_KEPT", 100_000)
    content = "x" * 300_000

    async def answer(seen: Seen, reply: Reply) -> None:
        await reply.json({"choices": [{"index": 0, "message": {"role": "assistant", "content": content}}]})

    upstream.answer = answer
    got = WEB.post(proxy.root_url + PATHS[0], json=BODIES[PATHS[0]], headers=auth(proxy))
    assert got.json()["choices"][0]["message"]["content"] == content
    call = proxy.calls[0]
    assert call.status == "unread"
    assert "more than the 100,000 that are kept" in str(call.error)
    assert call.response_body == b""


def test_a_stranger_is_refused_before_the_body_is_read(proxy: CaptureProxy) -> None:
    host, port = proxy.root_url.removeprefix("http://").split(":")
    head = f"POST {PATHS[0]} HTTP/1.1\r\nhost: {host}:{port}\r\ncontent-length: 200000000\r\nauthorization: Bearer no\r\n\r\n"
    sent, hung_up = 0, False
    with socket.create_connection((host, int(port)), timeout=120) as line:
        line.sendall(head.encode())
        while sent < 200_000_000 and not hung_up:
            try:
                sent += line.send(bytes(1 << 20))
            except OSError:
                hung_up = True
    assert hung_up
    assert sent < 64 << 20
    assert proxy.counters["refused"] == 1


def test_a_client_that_stops_in_the_middle_of_a_body_is_told_so(
    proxy: CaptureProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "_SILENT_SECONDS", 0.05)
    host, port = proxy.root_url.removeprefix("http://").split(":")
    head = f"POST {PATHS[0]} HTTP/1.1\r\nhost: {host}:{port}\r\ncontent-length: 20\r\nauthorization: Bearer {proxy.token}\r\n\r\n"
    with socket.create_connection((host, int(port)), timeout=120) as line:
        line.sendall(head.encode() + b'{"model')
        assert b" 408 " in line.recv(4096)
    assert len(proxy.calls) == 0


def test_a_client_that_does_not_end_its_head_is_let_go_and_a_slow_answer_is_not(
    upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "_HEAD_SECONDS", 0.3)
    asked = threading.Event()

    async def late(seen: Seen, reply: Reply) -> None:
        while not asked.is_set():
            await asyncio.sleep(0.01)
        await reply.json(whole(PATHS[0], "late"))

    upstream.answer = late
    with capture(upstream.url) as proxy:
        host, port = proxy.root_url.removeprefix("http://").split(":")
        body = json.dumps(BODIES[PATHS[0]]).encode()
        head = f"POST {PATHS[0]} HTTP/1.1\r\nhost: {host}:{port}\r\ncontent-length: {len(body)}\r\n"
        head += f"authorization: Bearer {proxy.token}"
        slow = socket.create_connection((host, int(port)), timeout=120)
        answered = socket.create_connection((host, int(port)), timeout=120)
        with slow, answered:
            answered.sendall(head.encode() + b"\r\n\r\n" + body)
            slow.sendall(head.encode())
            assert slow.recv(100) == b"", "it is let go"
            asked.set()  # by now the other has waited as long
            assert b" 200 " in answered.recv(4096)
            answered.sendall(b"POST /v1/cha")  # half a head of a second request
            while answered.recv(4096):
                pass


def test_a_websocket_is_refused_by_name(proxy: CaptureProxy) -> None:
    upgrade = {
        "upgrade": "websocket",
        "connection": "upgrade",
        "sec-websocket-key": "eA==",
        "sec-websocket-version": "13",
    }
    for path in ("/v1/realtime?model=gpt-realtime", "/openai/realtime", "/v1/responses"):
        got = WEB.get(proxy.root_url + path, headers={**auth(proxy), **upgrade})
        assert (got.status_code, got.json()["error"]["code"]) == (501, "websocket_not_supported")
        assert "websocket" in got.json()["error"]["message"]
    assert WEB.get(f"{proxy.root_url}/v1/realtime", headers=upgrade).status_code == 401
    assert proxy.counters["refused"] == 4


@pytest.mark.parametrize(
    ("target", "why", "code"),
    [
        ("http://name.invalid/v1", "its name cannot be resolved", "upstream_dns"),
        ("http://127.0.0.1:9/v1", "nothing listens there", "upstream_refused"),
        ("https://127.0.0.1:{port}/v1", "no secure connection", "upstream_tls"),
    ],
)
def test_why_an_upstream_is_not_there(target: str, why: str, code: str) -> None:
    with plain_server() as port, capture(target.format(port=port), api_key_env="OPENAI_API_KEY") as proxy:
        got = WEB.post(proxy.root_url + PATHS[0], json=BODIES[PATHS[0]], headers=auth(proxy)).json()["error"]
        assert why in got["message"]
        assert got["code"] == code
        assert why in str(proxy.calls[0].error)


def test_a_clock_that_is_set_back_orders_nothing_wrongly(
    upstream: Upstream, proxy: CaptureProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns: list[Any] = []
    for number, now in enumerate((2_000_000_000.0, 1_900_000_000.0, 1_800_000_000.0)):
        monkeypatch.setattr(time, "time", lambda now=now: now)
        turns.append({**MESSAGE, "content": f"turn {number}"})
        got = WEB.post(proxy.root_url + PATHS[0], json={"model": "m", "messages": turns}, headers=auth(proxy)).json()
        turns.append(got["choices"][0]["message"])
    monkeypatch.undo()
    (trajectory,) = trajectories_of(list(proxy.calls))
    assert len(trajectory.messages) == 6
