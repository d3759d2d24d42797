"""What the sandbox adds to a program: ``python benchmarks/sandbox.py [PROGRAMS]``, each wall beside plain Python, interleaved.

Prints the median wall time of a program of one line, one at a time, with a 95 % interval, and then how long as many take with one
worker a CPU.
"""

from __future__ import annotations

import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

from shadownb.engine.sandbox import SandboxError, find_wall, python_command, run, run_many

PROGRAM = "print(sum(range(100)))"


def interval(values: list[float]) -> tuple[float, float]:
    """Return the 95 % interval of the median, by resampling."""
    draw = random.Random(0)
    medians = sorted(statistics.median(draw.choices(values, k=len(values))) for _ in range(1000))
    return medians[25], medians[975]


def main(programs: int) -> None:
    argv, readable = python_command()
    job = {"argv": [*argv, "main.py"], "files": {"main.py": PROGRAM}, "readable": readable}
    ways: dict[str, Callable[[], object]] = {
        "plain python": lambda: subprocess.run([*argv, "-c", PROGRAM], capture_output=True, check=True)
    }
    for name in ("bubblewrap", "namespaces"):
        try:
            wall = find_wall(name)
        except SandboxError as error:
            print(f"{name}: {error.why}")
            continue
        ways[name] = lambda wall=wall: run(**job, wall=wall)  # type: ignore[misc]
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(programs):
        for name, way in ways.items():
            started = time.perf_counter()
            way()
            times[name].append(time.perf_counter() - started)
    for name, values in times.items():
        low, high = interval(values)
        print(f"{name:14} {statistics.median(values) * 1000:6.1f} ms ({low * 1000:.1f} to {high * 1000:.1f})")
    started = time.perf_counter()
    assert all(outcome.ok for outcome in run_many([job] * programs))
    print(f"{programs} programs, {os.cpu_count()} at a time: {time.perf_counter() - started:.1f} s")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100)
