"""Many clients at once: nothing lost, doubled or mixed. And a proxy that is killed again and again: nothing lost that was
received whole."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from shadownb.engine.capture.process import CaptureProcess, start
from shadownb.engine.capture.proxy import CaptureProxy
from shadownb.engine.capture.store import CaptureStore
from tests.capture.conftest import WEB
from tests.capture.upstream import Reply, Seen, Upstream, said_to, sse, whole
from tests.waiting import run_async, wait_for

CHAT = "/v1/chat/completions"


async def jittered(seen: Seen, reply: Reply) -> None:
    """Answer after a moment, in pieces that come when they come; what is said is known from what was asked."""
    chance = random.Random(seen.body)
    text = f"echo: {said_to(seen)} " + " ".join(f"w{chance.randrange(10**6)}" for _ in range(chance.randrange(1, 12)))
    await asyncio.sleep(chance.random() * 0.02)
    if not seen.json.get("stream"):
        await reply.json(whole(CHAT, text))
        return
    await reply.head(content_type="text/event-stream")
    for piece in sse(CHAT, text):
        if chance.random() < 0.2:
            await asyncio.sleep(chance.random() * 0.01)
        at = chance.randrange(1, len(piece))
        await reply.piece(piece[:at])
        await reply.piece(piece[at:])
    await reply.end()


async def _client(number: int, calls: int, url: str, token: str, received: dict[str, str]) -> None:
    import openai

    web = openai.DefaultAsyncHttpxClient(verify=False)  # certificates, which nobody asks for here, take 20 ms to read
    async with openai.AsyncOpenAI(base_url=url, api_key=token, max_retries=0, timeout=60, http_client=web) as client:
        for turn in range(calls):
            said = f"client {number} turn {turn}"
            messages: Any = [{"role": "user", "content": said}]
            if (number + turn) % 2:
                stream = await client.chat.completions.create(model="gpt-4o", messages=messages, stream=True)
                pieces = [chunk.choices[0].delta.content or "" async for chunk in stream]
                received[said] = "".join(pieces)
            else:
                answer = await client.chat.completions.create(model="gpt-4o", messages=messages)
                received[said] = answer.choices[0].message.content or ""


def test_64_clients_nothing_lost_doubled_or_mixed(upstream: Upstream, proxy: CaptureProxy) -> None:
    """64 clients with 40 calls each; ``benchmarks/capture.py`` does the same with 200."""
    upstream.answer = jittered
    received: dict[str, str] = {}

    async def everybody() -> None:
        await asyncio.gather(*(_client(n, 40, proxy.base_url, proxy.token, received) for n in range(64)))

    run_async(everybody())
    assert len(received) == 64 * 40
    stored = list(proxy.store.iterate())
    asked = Counter(call.messages[-1]["content"] for call in stored)
    assert set(asked) == set(received)
    assert set(asked.values()) == {1}
    for call in stored:
        said = call.messages[-1]["content"]
        assert call.status == "ok"
        assert call.text == received[said]
        assert call.text.startswith(f"echo: {said} w")
    assert proxy.counters["failed"] == 0


_WORKER = """
import sys, threading, httpx, json
url, token, out = sys.argv[1:]
log = open(out, "a", buffering=1)
def ask(n):
    with httpx.Client(timeout=120, verify=False) as client:
        for turn in range(10**6):
            said = f"{out} {n} {turn}"
            body = {"model": "gpt-4o", "messages": [{"role": "user", "content": said}], "stream": bool((n + turn) % 2)}
            try:
                if body["stream"]:
                    # Whole for a client is what it has read up to the end mark, whatever becomes of the connection then.
                    text = b""
                    with client.stream("POST", url + "/chat/completions", json=body, headers={"x-api-key": token}) as r:
                        for piece in r.iter_raw():
                            text += piece
                            if text.endswith(b"data: [DONE]\\n\\n"):
                                log.write(json.dumps([said, text.decode()]) + "\\n")
                                break
                else:
                    r = client.post(url + "/chat/completions", json=body, headers={"x-api-key": token})
                    log.write(json.dumps([said, r.text]) + "\\n")
            except httpx.TransportError:
                return
threads = [threading.Thread(target=ask, args=(n,)) for n in range(8)]
for t in threads: t.start()
for t in threads: t.join()
"""


def test_kill_9_ten_times_under_load(upstream: Upstream, tmp_path: Path) -> None:
    upstream.answer = jittered
    received: dict[str, str] = {}
    capture: CaptureProcess | None = None
    for round_ in range(10):
        capture = start(upstream.url, name="killed")
        log = tmp_path / f"received-{round_}.jsonl"
        log.touch()
        client = subprocess.Popen([sys.executable, "-c", _WORKER, capture.base_url, capture.token, str(log)])
        wait_for(lambda log=log: log.read_bytes().count(b"\n") >= 40)  # in the middle of it
        os.kill(int(capture._state["mark"]["pid"]), signal.SIGKILL)
        assert client.wait(30) == 0
        received.update(json.loads(line) for line in log.read_text().splitlines())
        wait_for(lambda killed=capture: not killed.is_running)
    store = CaptureStore.open("killed")
    stored = {call.messages[-1]["content"]: call.response_body.decode() for call in store.iterate(status="ok")}
    assert len(received) >= 400
    lost = {said for said, text in received.items() if stored.get(said) != text}
    assert not lost
    assert capture is not None
    again = start(upstream.url, name="killed")  # and it goes on with the same store
    try:
        WEB.post(
            again.base_url + "/chat/completions",
            json={"model": "gpt-4o", "messages": [{"role": "user", "content": "after"}]},
            headers={"x-api-key": again.token},
        )
        assert store.calls(newest_first=True, limit=1)[0].messages[0]["content"] == "after"
    finally:
        again.stop()
    assert not again.is_running
