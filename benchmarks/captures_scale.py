"""What one large store costs: pages of episodes, search, the stream of trajectories, exports, and a list of captures.

    python benchmarks/captures_scale.py [--calls 20000 200000] [--list 130] [--keep]

Makes stores of agents' calls in a folder of its own (1,000,000 calls take about 7 GB), which is removed afterwards. Seconds are CPU
seconds; pages and searches are the median of nine, at places all over the list.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from shadownb.engine.capture import Calls, captures
from tests.capture.plenty import plenty


def cpu(work: Callable[[], Any]) -> tuple[float, Any]:
    begin = time.process_time()
    found = work()
    return time.process_time() - begin, found


def median_ms(work: Callable[[int], Any]) -> str:
    times = [cpu(lambda at=at: work(at))[0] * 1000 for at in range(9)]  # type: ignore[misc]
    return f"{statistics.median(times):7.1f} ms (slowest {max(times):.1f})"


def show(calls: int, home: Path) -> None:
    seconds, store = cpu(lambda: plenty(calls, f"c{calls}", home))
    print(
        f"\n{calls:,} calls, {store.files.database.stat().st_size / 1e6:,.0f} MB (made in {seconds:.0f} s)", flush=True
    )
    seconds, _ = cpu(store.index.catch_up)
    size = store.index.path.stat().st_size / 1e6
    print(f"  index                      {seconds:7.1f} s, {calls / seconds:,.0f} calls/s, {size:,.0f} MB", flush=True)
    table = store.index.table
    total = table.facets()["episodes"]
    at = [total * n // 9 for n in range(9)]
    queries: dict[str, dict[str, Any]] = {
        "page of episodes, anywhere": {},
        "the same, of one kind": {"kind": "episode"},
        "the same, the costliest": {"sort": "costliest"},
        "the same, with one tool": {"tool": "refund"},
    }
    for name, query in queries.items():
        print(f"  {name:<27}" + median_ms(lambda n, query=query: table.page({**query, "offset": at[n]})))  # type: ignore[misc]
    texts = [
        "customs",
        f"case {total // 2}",
        "letter box",
        "depot",
        "neighbour weight",
        "p4242",
        "track",
        "answer 77",
        "zebra",
    ]
    print("  search of episodes         " + median_ms(lambda n: table.page({"search": texts[n]})))
    print(
        "  search of calls            " + median_ms(lambda n: store.calls(text=texts[n], limit=20, newest_first=True))
    )
    print("  counts of found calls      " + median_ms(lambda n: store.count(text=texts[n])), flush=True)
    for name, work in (
        ("export as stored, parquet", lambda: store.export(home / "x.parquet", parsed=False)),
        ("export as stored, jsonl", lambda: store.export(home / "x.jsonl", parsed=False)),
        ("export of read rows", lambda: store.export(home / "x.parquet")),
        ("to_frame", lambda: Calls(store).to_frame()),
    ):
        seconds, _ = cpu(work)
        print(f"  {name:<27}{calls / seconds:7,.0f} calls/s", flush=True)
    code = (
        "import re, sys, time; from shadownb.engine.capture import CaptureStore; s = CaptureStore.open(sys.argv[1]);"
        "n = sum(1 for _ in s.trajectories());"
        # Not ru_maxrss, which begins with what this process had when it started the other.
        "most = int(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1]) / 1024;"
        "print(f'{n:,} in {time.process_time():.1f} s, {most:.0f} MB')"
    )
    said = subprocess.run(
        [sys.executable, "-c", code, str(store.path)], capture_output=True, text=True, check=True
    ).stdout
    print(f"  trajectories(), a process  {said.strip()}", flush=True)
    store.close()


def listed(number: int, home: Path) -> None:
    for n in range(number):
        plenty(200, f"list{n}", home).close()
    first, _ = cpu(lambda: captures.list(home=home))
    again, found = cpu(lambda: captures.list(home=home))
    print(f"\n  list of {len(found)} captures       {again * 1000:7.1f} ms (the first time {first * 1000:.0f})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, nargs="*", default=[20_000, 200_000])
    parser.add_argument("--list", type=int, default=130)
    parser.add_argument("--keep", metavar="FOLDER", help="Make the stores here, and leave them.")
    options = parser.parse_args()
    home = Path(options.keep) if options.keep else Path(tempfile.mkdtemp(prefix="shadownb-scale-"))
    try:
        for calls in options.calls:
            show(calls, home)
        listed(options.list, home)
    finally:
        if not options.keep:
            shutil.rmtree(home, ignore_errors=True)
    print(f"\n  this process at most       {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB")


if __name__ == "__main__":
    main()
