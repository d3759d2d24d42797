"""A process that loads one exported model, answers, and prints what that took."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import psutil

from shadownb.engine import registry
from shadownb.engine.inference import Sampling

_TOKENS = 48


def main() -> None:
    """Read what to load from standard input, and print the figures as JSON."""
    asked: dict[str, Any] = json.load(sys.stdin)
    process = psutil.Process()
    _warm_up(asked["backend"], asked["place"])
    before, started = process.memory_info().rss, time.perf_counter()
    options: dict[str, Any] = {"adapter": asked["adapter"]} if asked["adapter"] else {}
    if asked["backend"] != "llamacpp":
        options["dtype"] = "float32"
    model = registry.resolve("model", "load")(asked["place"], backend=asked["backend"], **options)
    sampling = Sampling(max_new_tokens=1, temperature=0.0)
    model.generator.generate([asked["prompt"]], sampling)
    loaded = time.perf_counter() - started
    spent, count = _answered(model, asked["prompt"], _TOKENS)
    first, one = _answered(model, asked["prompt"], 1)
    speed = (count - one) / (spent - first) if count > one and spent > first else None
    print(
        json.dumps(
            {
                "load_seconds": loaded,
                "memory": process.memory_info().rss - before,
                "tokens_per_second": speed,
            }
        )
    )


def _answered(model: Any, prompt: list[int], most: int) -> tuple[float, int]:
    """Return CPU seconds and tokens of the quickest of two answers."""
    found = []
    for _ in range(2):
        started = time.process_time()
        (answer,) = model.generator.generate([prompt], Sampling(max_new_tokens=most, temperature=0.0))
        found.append((time.process_time() - started, answer.completion_tokens))
    return min(found)


def _warm_up(backend: str, place: str) -> None:
    """Import what loading needs, and make the tokenizer once, so that only the model is measured."""
    from shadownb.engine.loaded.backends import backend as known

    computing = known(backend)
    computing.warm_up()
    computing.tokenizer(place)


if __name__ == "__main__":
    main()
