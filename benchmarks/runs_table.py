"""What the Runs panel costs with 10,000 runs: opening it, turning a page, searching, and what goes to the page.

    nice python benchmarks/runs_table.py [--runs 10000] [--steps 20] [--rounds 5]

CPU time of this process, medians of the rounds. "First" is without an index, which a home has once: the panel shows the newest 500
runs before it reads the others.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from runs_index import cpu_seconds, made

from shadownb.engine.runs.store import FolderStore
from shadownb.engine.runs.table import RunTable


def main() -> None:
    """Print each figure."""
    options = argparse.ArgumentParser()
    options.add_argument("--runs", type=int, default=10_000)
    options.add_argument("--steps", type=int, default=20)
    options.add_argument("--rounds", type=int, default=5)
    asked = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SHADOWNB_HOME"] = str(Path(folder) / "home")
        store = FolderStore(os.environ["SHADOWNB_HOME"])
        for number in range(asked.runs):
            made(store, number, asked.steps)
        time.sleep(2.5)
        table = RunTable(store)
        print(f"{asked.runs:,} runs of {asked.steps} steps, {os.cpu_count()} CPUs, CPU time")
        print(f"{'first, newest 500 runs':34} {1e3 * cpu_seconds(lambda: next(table.refreshing())):9.1f} ms")
        print(f"{'first, all':34} {1e3 * cpu_seconds(RunTable(store).refresh):9.1f} ms")
        questions: dict[str, Callable[[], Any]] = {
            "opened again, first page": lambda: (opened := RunTable(store), next(opened.refreshing()), opened.page()),
            "opened again, all": lambda: RunTable(store).refresh(),
            "looked whether something changed": table.refresh,
            "a page, newest first": lambda: table.page(first=5000),
            "a page by an option": lambda: table.page(sort="lora_r", first=5000),
            "a page by a metric, searched": lambda: table.page("lora loss<1.5", sort="eval_loss.min", first=50),
        }
        table.refresh()
        for question, ask in questions.items():
            print(f"{question:34} {1e3 * statistics.median(cpu_seconds(ask) for _ in range(asked.rounds)):9.1f} ms")
        import shadownb as snb

        panel = snb.RunsPanel()
        panel.look()
        panel.settle(600)
        panel._do_choose([line["id"] for line in panel.table["lines"][:12]])
        print(f"{'to the page, with 12 curves':34} {len(json.dumps(panel.get_state(), default=str)) / 1e3:9.1f} KB")
        panel.close()


if __name__ == "__main__":
    main()
