"""What listing, finding and pruning cost with 1,000 runs: with what the index has kept, and when every folder is read.

    nice python benchmarks/runs_index.py [--runs 1000] [--steps 60] [--rounds 5]

Run folders are made as a training of so many steps leaves them. Each figure is CPU time of this process, medians of the
rounds, which take turns; the ratio is of the medians. Reading every folder is what was done before there was an index.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from shadownb.engine import runs
from shadownb.engine.config import TrainConfig
from shadownb.engine.processes import process_mark
from shadownb.engine.runs.folder import RunFolder
from shadownb.engine.runs.starting import others_start_from
from shadownb.engine.runs.store import FolderStore

_HOUR_AGO = time.time() - 3600  # what changed in the last seconds is not kept


def made(store: FolderStore, number: int, steps: int) -> None:
    """Write the folder of a run that has ended."""
    record = {"model": {"name": "tiny", "start": None}, "parent": None}
    run = store.create(TrainConfig(max_steps=steps, lora_r=4 + number % 8), record)
    events: list[dict[str, Any]] = [
        {"type": "created", "run_id": run.id},
        {"type": "launched", "executor": "thread", "by": process_mark(), "worker": None},
        {"type": "attempt", "n": 1, "from_step": 0},
        {"type": "plan", "total_steps": steps},
    ]
    for step in range(1, steps + 1):
        loss = 2.0 * math.exp(-step / 20) + number / 1e4
        speed = {"learning_rate": 2e-4, "grad_norm": 1.5, "tokens_per_s": 150.0, "peak_memory_gb": 1.25}
        at = {"elapsed_s": 2.0 * step, "tokens": 300 * step, "total_steps": steps, "epoch": step / steps}
        events.append({"type": "step", "step": step, "loss": loss, **speed, **at})
        if step % 15 == 0:
            events.append({"type": "eval", "step": step, "eval_loss": loss + 0.1})
    events.append({"type": "end", "status": "succeeded", "result": None, "note": "", "error": None})
    lines = [json.dumps({"seq": seq, "time": _HOUR_AGO, **event}) for seq, event in enumerate(events, start=1)]
    run.events.write_text("\n".join(lines) + "\n", encoding="utf-8")


def cpu_seconds(work: Callable[[], Any]) -> float:
    """Return the CPU time that a piece of work takes."""
    begin = time.process_time()
    work()
    return time.process_time() - begin


def main() -> None:
    """Print each question's figures and ratio."""
    options = argparse.ArgumentParser()
    options.add_argument("--runs", type=int, default=1000)
    options.add_argument("--steps", type=int, default=60)
    options.add_argument("--rounds", type=int, default=5)
    asked = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = FolderStore(Path(folder) / "home")
        for number in range(asked.runs):
            made(store, number, asked.steps)
        time.sleep(2.5)
        some: RunFolder = store.all()[asked.runs // 2]
        questions: dict[str, Callable[[], Any]] = {
            "the table of all runs": lambda: str(runs.list(store=store)),
            "handles of all runs": lambda: runs.list(store=store),
            "those in a status": lambda: runs.list(status="failed", store=store),
            "those that go on": lambda: runs.active(store=store),
            "one by its id": lambda: runs.load(some.id, store=store),
            "what starts from a run": lambda: others_start_from(some),
        }
        print(f"{asked.runs:,} runs of {asked.steps} steps, {os.cpu_count()} CPUs, CPU time")
        for question, ask in questions.items():
            with_index, without = [], []
            for _ in range(asked.rounds):
                shutil.rmtree(store.home / "index", ignore_errors=True)
                without.append(cpu_seconds(ask))
                ask()
                with_index.append(cpu_seconds(ask))
            before, after = statistics.median(without), statistics.median(with_index)
            print(
                f"{question:24} every folder {before * 1e3:9.1f} ms, with the index {after * 1e3:7.1f} ms, {before / after:6.1f} x"
            )


if __name__ == "__main__":
    main()
