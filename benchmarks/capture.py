"""What recording costs: latency added to first and last byte, memory, and calls that are lost (none may be).

    python benchmarks/capture.py --against CHECKOUT [--rates 50 100 200] [--calls 1000]
    python benchmarks/capture.py [--rate 50] [--calls 3000] [--clients 64] [--each 200] [--memory 30000] [--idle 10000]

1. Latency, paired: at a steady rate each arrival asks the upstream directly and, in random order, through the proxy; the
   difference of each pair counts. Half of the calls stream. The upstream is a server in a process of its own that takes 20 ms to
   its first byte and then sends 12 pieces 2 ms apart, as the proxy does; this process only asks.
2. Load: 64 clients with 200 calls each, half streaming, an upstream that jitters: lost, doubled, mixed.
With --against each arrival asks this checkout's proxy and that of another, in random order; the difference of each pair counts,
   with an interval of its median and of its 99th percentile from 2,000 resamples; and the CPU time that each takes for a call.
3. Memory of the proxy's process after 1,000 and after 30,000 requests.
4. 10,000 connections that say nothing, and calls meanwhile: whether they are answered, and what the connections take.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from shadownb.engine.capture import CaptureStore, captures
from tests.capture.upstream import Reply, Seen, Upstream, said_to, sse, whole

PATH = "/chat/completions"
TEXT = " ".join(f"word{n}" for n in range(10))


async def steady(seen: Seen, reply: Reply) -> None:
    """20 ms to the first byte, then a piece every 2 ms."""
    await asyncio.sleep(0.02)
    if not seen.json.get("stream"):
        await reply.json(whole("/v1" + PATH, TEXT))
        return
    await reply.head(content_type="text/event-stream")
    for piece in sse("/v1" + PATH, TEXT):
        await reply.piece(piece)
        await asyncio.sleep(0.002)
    await reply.end()


async def jittered(seen: Seen, reply: Reply) -> None:
    """Answer what was asked after a moment of its own, in pieces cut anywhere."""
    chance = random.Random(seen.body)
    text = f"echo: {said_to(seen)} " + " ".join(f"w{chance.randrange(10**6)}" for _ in range(chance.randrange(1, 12)))
    await asyncio.sleep(chance.random() * 0.02)
    if not seen.json.get("stream"):
        await reply.json(whole("/v1" + PATH, text))
        return
    await reply.head(content_type="text/event-stream")
    for piece in sse("/v1" + PATH, text):
        at = chance.randrange(1, len(piece))
        await reply.piece(piece[:at])
        await reply.piece(piece[at:])
    await reply.end()


def serve(answer: Any, pipe: Any) -> None:
    """The upstream's process."""
    with Upstream(answer) as upstream:
        upstream.seen = _Forgets()  # type: ignore[assignment]
        pipe.send(upstream.url)
        pipe.recv()


class _Forgets(list[Seen]):
    def append(self, item: Seen) -> None:
        pass


class Asker:
    """A client that costs next to nothing (0.2 ms a call), so that it is the proxy that is measured. Keeps its connections."""

    def __init__(self, base_url: str, token: str = "") -> None:
        parts = urlsplit(base_url)
        self._host, self._port, self._path = parts.hostname, parts.port, parts.path + PATH
        self._token = token
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def ask(self, stream: bool, said: str) -> tuple[float, float, bytes]:
        """Return seconds to the first byte of the body, seconds to the last, and the body."""
        body = json.dumps(
            {"model": "gpt-4o", "messages": [{"role": "user", "content": said}], "stream": stream}
        ).encode()
        head = f"POST {self._path} HTTP/1.1\r\nhost: {self._host}:{self._port}\r\nx-api-key: {self._token}\r\n"
        begin = time.perf_counter()
        connection = self._idle.pop() if self._idle else await asyncio.open_connection(self._host, self._port)
        reader, writer = connection
        writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        answer = (await reader.readuntil(b"\r\n\r\n")).lower()
        assert b" 200 " in answer[:20], answer
        parts, first = [], 0.0
        if b"content-length: " in answer:
            parts.append(await reader.readexactly(int(answer.partition(b"content-length: ")[2].split(b"\r\n")[0])))
            first = time.perf_counter() - begin
        else:
            while size := int(await reader.readline(), 16):
                first = first or time.perf_counter() - begin
                parts.append((await reader.readexactly(size + 2))[:-2])
            await reader.readline()
        self._idle.append(connection)
        return first, time.perf_counter() - begin, b"".join(parts)


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


async def latency(direct: str, proxied: str, token: str, rate: float, calls: int) -> None:
    differences: dict[str, list[float]] = {
        "first byte, streamed": [],
        "last byte, streamed": [],
        "last byte, whole": [],
    }
    alone: list[float] = []
    chance = random.Random(0)
    ways = [Asker(direct), Asker(proxied, token)]

    async def pair(number: int) -> None:
        stream = bool(number % 2)
        times: dict[int, tuple[float, float, bytes]] = {}
        for way in chance.sample([0, 1], 2):
            times[way] = await ways[way].ask(stream, f"pair {number}")
        assert times[0][2] == times[1][2]
        alone.append(times[0][1])
        if stream:
            differences["first byte, streamed"].append(times[1][0] - times[0][0])
        differences["last byte, streamed" if stream else "last byte, whole"].append(times[1][1] - times[0][1])

    begin, tasks = time.perf_counter(), []
    for number in range(calls):
        await asyncio.sleep(max(0.0, begin + number / rate - time.perf_counter()))
        tasks.append(asyncio.ensure_future(pair(number)))
    await asyncio.gather(*tasks)
    reached = calls / (time.perf_counter() - begin)
    print(f"latency added by the proxy, {calls} pairs at {reached:.1f}/s through the proxy and as many directly")
    print(
        f"  (directly a call takes {1000 * statistics.median(alone):.1f} ms, p50; load average {os.getloadavg()[0]:.1f}):"
    )
    for name, values in differences.items():
        p50, p90, p99 = (1000 * percentile(values, share) for share in (0.5, 0.9, 0.99))
        print(f"  {name:22} p50 {p50:6.2f} ms   p90 {p90:6.2f} ms   p99 {p99:6.2f} ms   n={len(values)}")


async def against(ours: tuple[str, str], theirs: tuple[str, str], rate: float, calls: int) -> None:
    """Print how much later answers end through this checkout's proxy than through the other's."""
    ways = [Asker(*ours), Asker(*theirs)]
    chance = random.Random(0)
    found: list[tuple[float, float]] = []

    async def pair(number: int) -> None:
        times: dict[int, float] = {}
        for way in chance.sample([0, 1], 2):
            times[way] = (await ways[way].ask(bool(number % 2), f"pair {number}"))[1]
        found.append((times[0], times[1]))

    begin, tasks = time.perf_counter(), []
    for number in range(calls):
        await asyncio.sleep(max(0.0, begin + number / rate - time.perf_counter()))
        tasks.append(asyncio.ensure_future(pair(number)))
    await asyncio.gather(*tasks)
    reached = calls / (time.perf_counter() - begin)
    differences = [1000 * (ours - theirs) for ours, theirs in found]

    def interval(of: Any) -> str:
        drawn = sorted(of(chance.choices(range(calls), k=calls)) for _ in range(2000))
        return f"{of(range(calls)):+.2f} ms ({drawn[50]:+.2f} to {drawn[1949]:+.2f})"

    median = interval(lambda at: statistics.median(differences[n] for n in at))
    late = interval(
        lambda at: 1000 * (percentile([found[n][0] for n in at], 0.99) - percentile([found[n][1] for n in at], 0.99))
    )
    print(
        f"{calls} pairs at {reached:.0f}/s, load average {os.getloadavg()[0]:.1f}: median of the differences {median};"
    )
    print(f"  difference of the 99th percentiles {late}", flush=True)


def compare(checkout: str, rates: list[float], calls: int) -> None:
    """Run both proxies side by side, each from its own checkout."""
    with tempfile.TemporaryDirectory() as home:
        os.environ["SHADOWNB_HOME"] = home
        process, pipe, url = upstream_process(steady)
        ours = captures.start(url, name="ours")
        other = {**os.environ, "PYTHONPATH": checkout}
        start = [sys.executable, "-m", "shadownb", "capture", "start", url, "--as-name", "theirs"]
        subprocess.run(start, env=other, cwd=checkout, check=True, stdout=subprocess.DEVNULL)
        theirs = captures.attach("theirs")
        try:
            sides = (ours.base_url, ours.token), (theirs.base_url, theirs.token)
            processes = [psutil.Process(int(each._state["mark"]["pid"])) for each in (ours, theirs)]
            for rate in rates:
                before = [sum(each.cpu_times()[:2]) for each in processes]
                asyncio.run(against(*sides, rate, calls))
                took = [1000 * (sum(p.cpu_times()[:2]) - b) / calls for p, b in zip(processes, before, strict=True)]
                print(f"  CPU for a call {took[0]:.2f} ms here and {took[1]:.2f} ms there", flush=True)
        finally:
            ours.stop()
            theirs.stop()
            pipe.send(None)
            process.join(10)


async def load(proxied: str, token: str, clients: int, each: int, store: CaptureStore) -> None:
    received: dict[str, bytes] = {}

    async def one(number: int) -> None:
        asker = Asker(proxied, token)
        for turn in range(each):
            said = f"client {number} turn {turn}"
            received[said] = (await asker.ask(bool((number + turn) % 2), said))[2]

    begin = time.perf_counter()
    await asyncio.gather(*(one(number) for number in range(clients)))
    seconds = time.perf_counter() - begin
    asked: Counter[str] = Counter()
    mixed = 0
    for call in store.iterate():
        said = call.messages[-1]["content"]
        asked[said] += 1
        mixed += call.response_body != received.get(said) or call.status != "ok"
    doubled = sum(count - 1 for count in asked.values())
    print(
        f"load: {clients} clients x {each} calls, half streamed, {len(received) / seconds:.0f} calls/s for {seconds:.0f} s:"
    )
    print(f"  {len(set(received) - set(asked))} lost, {doubled} doubled, {mixed} mixed of {len(received)}")


async def memory(proxied: str, token: str, pid: int, requests: int) -> None:
    process, asker = psutil.Process(pid), Asker(proxied, token)
    done, early = 0, 0.0

    async def one() -> None:
        nonlocal done, early
        while done < requests:
            done += 1
            await asker.ask(bool(done % 2), f"request {done} " + "x" * 2000)
            if done == 1000:
                early = process.memory_info().rss / 2**20

    await asyncio.gather(*(one() for _ in range(16)))
    late = process.memory_info().rss / 2**20
    print(
        f"memory of the proxy: {early:.1f} MB after 1,000 requests, {late:.1f} MB after {requests:,}: {late - early:+.1f} MB"
    )


async def idle(proxied: str, token: str, pid: int, connections: int) -> None:
    process, asker, place = psutil.Process(pid), Asker(proxied, token), urlsplit(proxied)
    for number in range(100):
        await asker.ask(bool(number % 2), f"before {number}")
    before = process.memory_info().rss / 2**20
    held: list[asyncio.StreamWriter] = []
    refused = 0
    for begin in range(0, connections, 500):
        count = min(500, connections - begin)
        tries = [asyncio.open_connection(place.hostname, place.port) for _ in range(count)]
        for made in await asyncio.gather(*tries, return_exceptions=True):
            if isinstance(made, BaseException):
                refused += 1
            else:
                held.append(made[1])
    during = process.memory_info().rss / 2**20
    begin = time.perf_counter()
    for number in range(200):
        await asker.ask(bool(number % 2), f"during {number}")
    seconds = (time.perf_counter() - begin) / 200
    print(
        f"{len(held):,} idle connections ({refused} refused): {during - before:+.1f} MB; 200 calls meanwhile are answered, "
        f"{seconds * 1000:.0f} ms each"
    )
    for writer in held:
        writer.close()


def upstream_process(answer: Any) -> tuple[Any, Any, str]:
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.Process(target=serve, args=(answer, theirs), daemon=True)
    process.start()
    return process, ours, ours.recv()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=50.0)
    parser.add_argument("--calls", type=int, default=3000)
    parser.add_argument(
        "--against", metavar="CHECKOUT", help="Compare with the proxy of another checkout, and do nothing else."
    )
    parser.add_argument("--rates", type=float, nargs="*", default=[50.0, 100.0, 200.0])
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--each", type=int, default=200)
    parser.add_argument("--memory", type=int, default=30_000)
    parser.add_argument(
        "--idle", type=int, default=10_000, help="Connections; each takes a file here and one in the proxy."
    )
    args = parser.parse_args()
    cores = os.cpu_count()
    version = subprocess.run([sys.executable, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    print(
        json.dumps({"cores": cores, "python": version, "clients, upstream and proxy": "three processes on these cores"})
    )
    if args.against:
        compare(args.against, args.rates, args.calls)
        return
    with tempfile.TemporaryDirectory() as home:
        os.environ["SHADOWNB_HOME"] = home
        process, pipe, url = upstream_process(steady)
        proxy = captures.start(url, name="latency")
        try:
            if args.calls:
                asyncio.run(latency(url + "/v1", proxy.base_url, proxy.token, args.rate, args.calls))
        finally:
            proxy.stop()
            pipe.send(None)
            process.join(10)
        process, pipe, url = upstream_process(jittered)
        for name in ("load", "memory", "idle"):
            proxy = captures.start(url, name=name)
            try:
                if name == "load" and args.each:
                    asyncio.run(load(proxy.base_url, proxy.token, args.clients, args.each, proxy.store))
                elif name == "memory" and args.memory:
                    asyncio.run(memory(proxy.base_url, proxy.token, int(proxy._state["mark"]["pid"]), args.memory))
                elif name == "idle" and args.idle:
                    asyncio.run(idle(proxy.base_url, proxy.token, int(proxy._state["mark"]["pid"]), args.idle))
            finally:
                proxy.stop()
        pipe.send(None)
        process.join(10)


if __name__ == "__main__":
    main()
