"""How fast cells answer while a model trains in the same kernel: a real kernel, 50 cells of ``1+1``, thread and process.

Run: ``python benchmarks/cells.py [--model smollm2-135m]``

The cells begin before libraries and weights are loaded (in a background thread, as the panel does it), and go on through
the whole load and into training. Prints median, 99th percentile and maximum of the round trip, phase by phase.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

from jupyter_client.manager import start_new_kernel

START = """
import threading
run = None
def work():
    global run
    import shadownb as snb
    model = snb.load({model!r})
    rows = snb.Dataset.sample("support-triage")
    run = model.train(rows, background=True, executor={executor!r}, max_steps=1000, sample_max_new_tokens=0)
threading.Thread(target=work, daemon=True).start()
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--cells", type=int, default=50)
    options = parser.parse_args()
    for executor in (None, "thread", "process"):
        manager, client = start_new_kernel(kernel_name="python3")
        try:
            measure(client, executor, options)
        finally:
            client.stop_channels()
            manager.shutdown_kernel(now=True)


def measure(client: Any, executor: str | None, options: argparse.Namespace) -> None:
    if executor is not None:
        client.execute_interactive(START.format(model=options.model, executor=executor), timeout=60)
    times: dict[str, list[float]] = {"loading": [], "training": []}
    while True:
        phase = (
            "training"
            if executor is None or evaluate(client, "run is not None and run.step > 0") == "True"
            else "loading"
        )
        for _ in range(10):
            started = time.perf_counter()
            client.execute_interactive("1+1", timeout=60, output_hook=lambda message: None)
            times[phase].append(1000 * (time.perf_counter() - started))
        if len(times["training"]) >= options.cells:
            break
    for phase, values in times.items():
        if values:
            ordered = sorted(values)
            high = ordered[int(0.99 * (len(ordered) - 1))]
            print(
                f"{executor or 'idle kernel':12} {phase:9} {len(values):4} cells: median {statistics.median(values):6.1f} ms, "
                f"p99 {high:6.1f} ms, max {ordered[-1]:6.1f} ms",
                flush=True,
            )
    if executor is not None:
        client.execute_interactive("run.discard(); run.wait(timeout=60)", timeout=90)


def evaluate(client: Any, expression: str) -> str:
    reply = client.execute_interactive(
        "", user_expressions={"value": expression}, timeout=60, output_hook=lambda message: None
    )
    return str(reply["content"]["user_expressions"]["value"]["data"]["text/plain"])


if __name__ == "__main__":
    main()
