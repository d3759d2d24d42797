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
    _warm_up(asked["backend"])
    before, started = process.memory_info().rss, time.perf_counter()
    options: dict[str, Any] = {"adapter": asked["adapter"]} if asked["adapter"] else {}
    if asked["backend"] != "llamacpp":
        options["dtype"] = "float32"
    model = registry.resolve("model", "load")(asked["place"], backend=asked["backend"], **options)
    sampling = Sampling(max_new_tokens=1, temperature=0.0)
    model.generator.generate([asked["prompt"]], sampling)
    loaded = time.perf_counter() - started
    sampling = Sampling(max_new_tokens=_TOKENS, temperature=0.0)
    model.generator.generate([asked["prompt"]], sampling)  # once before, so that what is made at first use is there
    cpu = time.process_time()
    (answer,) = model.generator.generate([asked["prompt"]], sampling)
    spent = time.process_time() - cpu
    print(
        json.dumps(
            {
                "load_seconds": loaded,
                "memory": process.memory_info().rss - before,
                "tokens_per_second": answer.completion_tokens / spent if spent > 0 else None,
            }
        )
    )


def _warm_up(backend: str) -> None:
    """Import what loading needs, so that only the model is measured."""
    from shadownb.engine.loaded.backends import backend as known

    known().warm_up()  # torch's: whose libraries read tokenizers
    known(backend).warm_up()


if __name__ == "__main__":
    main()
