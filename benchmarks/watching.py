"""What watching a run costs the kernel, and what a flood of metrics does to panel, comm and memory.

Run: ``python benchmarks/watching.py [--steps 30] [--rounds 3]``

1. Pairs of equal runs of the real model in a thread, without and with a Run panel: seconds a step, and the processor time
   that the panel's own threads took (from the operating system), as a share of the run. A page that draws adds its own
   cost in the browser, which is another process and is not part of this.
2. 100,000 step events at 2,000 a second into a journal that a panel follows: time to enqueue one event (p50, p99), bytes a
   second on the comm, resident memory from the first tenth to the end.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import psutil

EVENTS = 100_000
RATE = 2_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=("cost", "flood"))
    options = parser.parse_args()
    if options.only != "flood":
        cost(options.steps, options.rounds)
    if options.only != "cost":
        with tempfile.TemporaryDirectory() as home:
            os.environ["SHADOWNB_HOME"] = home
            flood()


def cost(steps: int, rounds: int) -> None:
    import shadownb as snb

    model = snb.load("smollm2-135m")
    rows = snb.Dataset.sample("support-triage")
    ratios, shares = [], []
    for number in range(rounds):
        seconds = {}
        for watched in (False, True) if number % 2 == 0 else (True, False):
            run = model.train(
                rows, background=True, max_steps=steps, per_device_train_batch_size=1, gradient_accumulation_steps=2,
                sample_max_new_tokens=0, save_steps=10**6,
            )  # fmt: skip
            with measured() as spent:
                panel = snb.RunPanel(run) if watched else None
                run.wait()
            seconds[watched] = run.metrics[-1]["elapsed_s"] - run.metrics[2]["elapsed_s"]
            if panel is not None:
                shares.append(spent[0] / run.duration_s)
                panel.close()
        ratios.append(seconds[True] / seconds[False])
    print(
        f"watched / unwatched, seconds for {steps - 3} steps: median {statistics.median(ratios):.3f}, "
        f"from {min(ratios):.3f} to {max(ratios):.3f}"
    )
    print(
        f"processor time of following and showing the run: {statistics.median(shares):.2%} of the run's time (median of {rounds})"
    )


@contextlib.contextmanager
def measured() -> Iterator[list[float]]:
    """Add up the processor seconds of everything that watching runs: the follower's look and the panel's tick."""
    from shadownb.engine.runs import watching
    from shadownb.panels import RunPanel

    spent = [0.0]

    def timed(method: Any) -> Any:
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            begun = time.thread_time()
            try:
                return method(*args, **kwargs)
            finally:
                spent[0] += time.thread_time() - begun

        return wrapper

    places = [(watching._Watcher, "_tell"), (RunPanel, "_tick")]
    real = [getattr(owner, name) for owner, name in places]
    for (owner, name), method in zip(places, real, strict=True):
        setattr(owner, name, timed(method))
    try:
        yield spent
    finally:
        for (owner, name), method in zip(places, real, strict=True):
            setattr(owner, name, method)


def flood() -> None:
    from shadownb.engine.config import TrainConfig
    from shadownb.engine.runs import Run
    from shadownb.engine.runs.journal import Journal
    from shadownb.engine.runs.store import default_store
    from shadownb.panels import RunPanel

    folder = default_store().create(TrainConfig(), {"model": {"name": "flood"}})
    journal = Journal(folder.events)
    journal.append("created", run_id=folder.id)
    lock = folder.owner_lock()
    lock.acquire()
    journal.append("launched", executor="thread", by=None, worker=None)
    journal.append("attempt", n=1, from_step=0, reason="started", checkpoint=None)
    journal.append("plan", total_steps=EVENTS)
    panel = RunPanel(Run(folder))
    sent = count_bytes(panel)
    process, enqueue, memory = psutil.Process(), [], []
    started = time.perf_counter()
    for step in range(1, EVENTS + 1):
        begun = time.perf_counter_ns()
        journal.append(
            "step",
            step=step,
            loss=1 / step,
            learning_rate=1e-4,
            grad_norm=1.0,
            tokens_per_s=100.0,
            elapsed_s=step / RATE,
            peak_memory_gb=1.0,
        )
        enqueue.append((time.perf_counter_ns() - begun) / 1000)
        if step % 20 == 0:  # in small bursts, 2,000 a second on the whole
            time.sleep(max(0.0, started + step / RATE - time.perf_counter()))
        if step % (EVENTS // 10) == 0:
            memory.append(process.memory_info().rss / 1e6)
    took = time.perf_counter() - started
    journal.append("end", status="succeeded", result=None, note="", error=None)
    journal.close()
    lock.release()
    ordered = sorted(enqueue)
    print(
        f"{EVENTS} events in {took:.0f} s; enqueue p50 {ordered[EVENTS // 2]:.1f} us, p99 {ordered[int(0.99 * EVENTS)]:.1f} us"
    )
    print(f"comm: {sent[0] / took / 1000:.1f} KB/s in {sent[1] / took:.1f} messages/s")
    print(f"resident memory: {memory[0]:.0f} MB after a tenth, {memory[-1]:.0f} MB at the end")


def count_bytes(panel: Any) -> list[int]:
    """Count what the panel sends to the page, by wrapping its comm's send."""
    import json

    sent = [0, 0]
    comm = panel.comm
    real = comm.send

    def send(data: Any = None, metadata: Any = None, buffers: Any = None) -> Any:
        sent[0] += len(json.dumps(data, default=str)) + sum(len(b) for b in buffers or ())
        sent[1] += 1
        return real(data=data, metadata=metadata, buffers=buffers)

    comm.send = send
    return sent


if __name__ == "__main__":
    main()
