"""A server's tokens a CPU second, time to the first piece and memory at 1, 8 and 32 streams, and what the front costs.

    python benchmarks/serve.py [--model MODEL] [--engine ENGINE] [--streams 1,8,32] [--tokens 48] [--rounds 3]
    python benchmarks/serve.py --front [--rounds 5] [--at-once 8]
    python benchmarks/serve.py --equal [--rounds 5]
    python benchmarks/serve.py --soak 300 --clients 64

``--front`` compares CPU seconds of the same answers asked through the front and of the engine alone, interleaved, until the half
width of the interval is 1.5 % or the rounds are over. ``--soak`` asks with many clients for some seconds and says whether memory
is flat and every request was answered. ``--equal`` exports the model to GGUF in 32 bits and asks transformers and llama.cpp, in
turns, for the same 20 greedy texts of 32 tokens: how many are the same, and the ratio of their tokens a CPU second, one at a time.
With several ``--at-once`` the front's figure has the cost of requests that do not come at the very same moment.
"""

from __future__ import annotations

import argparse
import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import psutil

_QUESTION = "Tell me about the history of the town, its people and what they ate in winter. Number {n}."


def rss_gb() -> float:
    """Return the memory of this process, in GB."""
    return float(psutil.Process().memory_info().rss) / 1e9


class Client:
    """Asks a server; every answer has exactly as many tokens as are asked for."""

    def __init__(self, server: Any, tokens: int) -> None:
        self._server, self._tokens = server, tokens
        headers = {"authorization": f"Bearer {server.token}"}
        self._web = httpx.Client(
            trust_env=False, timeout=None, headers=headers, limits=httpx.Limits(max_connections=256)
        )

    def ask(self, number: int) -> tuple[float, int]:
        """Return seconds to the first piece, and how many tokens came."""
        body = {
            "model": self._server.models[0], "stream": True, "max_tokens": self._tokens, "temperature": 0, "ignore_eos": True,
            "messages": [{"role": "user", "content": _QUESTION.format(n=number)}], "stream_options": {"include_usage": True},
        }  # fmt: skip
        began, first, tokens = time.perf_counter(), 0.0, 0
        with self._web.stream("POST", f"{self._server.url}/chat/completions", json=body) as answer:
            answer.raise_for_status()
            for line in answer.iter_lines():
                if not first and '"content":"' in line and '"content":""' not in line:
                    first = time.perf_counter() - began
                if '"completion_tokens":' in line:
                    tokens = int(line.partition('"completion_tokens":')[2].partition(",")[0])
        return first, tokens

    def many(self, streams: int) -> tuple[float, list[float], int]:
        """Return CPU seconds of this process, seconds to each first piece, and tokens, of so many streams at once."""
        began = time.process_time()
        with ThreadPoolExecutor(streams) as threads:
            found = list(threads.map(self.ask, range(streams)))
        return time.process_time() - began, [first for first, _ in found], sum(tokens for _, tokens in found)


def speeds(options: Any) -> None:
    """Print tokens a CPU second at each number of streams; the client's own CPU time counts as the server's."""
    import shadownb as snb

    before, began = rss_gb(), time.perf_counter()
    with snb.serve(options.model, engine=options.engine, at_once=64, embeddings=False) as server:
        print(
            f"{server.engine}: ready in {time.perf_counter() - began:.1f} s, {rss_gb() - before:.2f} GB more",
            flush=True,
        )
        client = Client(server, options.tokens)
        client.many(1)
        for streams in map(int, options.streams.split(",")):
            rates, firsts = [], []
            for _ in range(options.rounds):
                cpu, first, tokens = client.many(streams)
                rates.append(tokens / cpu)
                firsts += first
            print(
                f"{streams:3} streams: {statistics.median(rates):7.1f} tokens a CPU second ({min(rates):.1f} to {max(rates):.1f}), "
                f"first piece {statistics.median(firsts):.2f} s, {rss_gb():.2f} GB",
                flush=True,
            )


def front(options: Any) -> None:
    """Print the front's share of the CPU seconds: the same questions by HTTP and by the engine's own speaker."""
    import shadownb as snb
    from shadownb.engine.inference import Sampling

    model = snb.load(options.model)
    with snb.serve(model, at_once=64, embeddings=False) as server:
        client, speaker = Client(server, options.tokens), next(iter(server._engines.values()))._speaker
        sampling = Sampling(max_new_tokens=options.tokens, temperature=0, top_p=1, ignore_eos=True)
        prompts = [
            model.renderer.render_prompt([{"role": "user", "content": _QUESTION.format(n=n)}])
            for n in range(options.at_once)
        ]

        def alone() -> float:
            began = time.process_time()
            answers = [
                speaker.speak(prompt, sampling, "tuned", said=lambda _: None, gone=lambda: False) for prompt in prompts
            ]
            for each in answers:
                each.result()
            return time.process_time() - began

        alone(), client.many(options.at_once)
        shares: list[float] = []
        while len(shares) < options.rounds:
            by_engine, by_front = alone(), client.many(options.at_once)[0]
            shares.append(by_front / by_engine - 1)
            if len(shares) >= 3:
                half = 2.0 * statistics.stdev(shares) / len(shares) ** 0.5
                print(
                    f"{len(shares)} rounds: front and client add {statistics.mean(shares):+.1%} ± {half:.1%}",
                    flush=True,
                )
                if half < 0.015:
                    break


def equal(options: Any) -> None:
    """Compare transformers and llama.cpp on the same 32-bit weights: greedy texts, and speed one at a time."""
    import contextlib
    import tempfile

    import shadownb as snb

    questions = [_QUESTION.format(n=n) for n in range(20)]
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as open_until_the_end:
        model = snb.load(options.model, dtype="float32")
        file = model.export(f"{folder}/f32", format="gguf", quant="f32", report=False).path
        tokens: dict[str, list[float]] = {"transformers": [], "llamacpp": []}
        texts: dict[str, list[str]] = {}
        clients = {}
        for engine, source in (("transformers", model), ("llamacpp", str(file))):
            began = time.perf_counter()
            server = open_until_the_end.enter_context(snb.serve(source, engine=engine, embeddings=False))
            print(f"{engine}: ready in {time.perf_counter() - began:.1f} s", flush=True)
            clients[engine] = snb.Endpoint(server.url, model=server.models[0], api_key=server.token)
        asked = [[{"role": "user", "content": question}] for question in questions]
        for round_number in range(options.rounds):
            for engine, client in clients.items():
                began = time.process_time()
                said = [client.chat([each], temperature=0.0, max_new_tokens=32)[0] for each in asked]
                spent = time.process_time() - began
                tokens[engine].append(sum(each.usage["completion_tokens"] for each in said) / spent)
                texts[engine] = [str(each) for each in said]
            ratios = [b / a for a, b in zip(*tokens.values(), strict=True)]
            same = sum(a == b for a, b in zip(*texts.values(), strict=True))
            print(
                f"round {round_number + 1}: {same} of {len(asked)} texts are the same; llama.cpp gives "
                f"{statistics.mean(ratios):.2f} times the tokens a CPU second ({min(ratios):.2f} to {max(ratios):.2f}): "
                + ", ".join(f"{engine} {statistics.mean(rates):.1f}" for engine, rates in tokens.items()),
                flush=True,
            )


def soak(options: Any) -> None:
    """Ask with many clients for a while."""
    import shadownb as snb

    with snb.serve(options.model, engine=options.engine, at_once=64, embeddings=False) as server:
        client, lost, done, short = Client(server, options.tokens), [], [], []
        end, memory = time.monotonic() + options.soak, []

        def go(number: int) -> None:
            while time.monotonic() < end:
                try:
                    tokens = client.ask(number)[1]
                    (done if tokens == options.tokens else short).append(tokens)
                except Exception as error:
                    lost.append(error)

        threads = [threading.Thread(target=go, args=(n,)) for n in range(options.clients)]
        for each in threads:
            each.start()
        while time.monotonic() < end:
            time.sleep(options.soak / 10)
            memory.append(rss_gb())
            print(f"{len(done)} answered, {len(short)} too short, {len(lost)} lost, {memory[-1]:.2f} GB", flush=True)
        for each in threads:
            each.join()
        half = len(memory) // 2
        print(f"memory: first half at most {max(memory[:half]):.2f} GB, second half {max(memory[half:]):.2f} GB")


def main() -> None:
    """Measure what is asked for."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--model", default="smollm2-135m")
    options.add_argument("--engine", default="auto")
    options.add_argument("--streams", default="1,8,32")
    options.add_argument("--tokens", type=int, default=48)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--at-once", type=int, default=8)
    options.add_argument("--front", action="store_true")
    options.add_argument("--equal", action="store_true")
    options.add_argument("--soak", type=float, default=0.0)
    options.add_argument("--clients", type=int, default=64)
    asked = options.parse_args()
    (front if asked.front else equal if asked.equal else soak if asked.soak else speeds)(asked)


if __name__ == "__main__":
    main()
