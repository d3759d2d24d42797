"""Decoding beside the commit before, transformers' ``generate`` and llama.cpp: tokens a CPU second at several batch sizes.

    nice python benchmarks/decoding.py [--before COMMIT] [--llamacpp] [--batches 1 8 32 64] [--formats float32 bfloat16]
                                       [--rounds 4] [--new 24] [--threads N]

Each contender is a process of its own that loads SmolLM2-135M once a format and answers prompts of the shipped task when it is told
to, so that rounds take turns. Counted are CPU seconds (user and system, all threads) of the tokens behind the second, so that the
prompts' share is out; temperature 1, top_p 0.95, no stop token. Ratios are geometric means over rounds, with 95 % intervals by
Student's t. ``--before`` is checked out into a temporary worktree; llama.cpp reads a GGUF file of the same weights in the same
number format, written for it here.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))

_WORKER = """
import json, sys, time
import torch, shadownb as snb
from shadownb.engine.inference import Sampling
way, dtype, new, threads, file = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
if threads: torch.set_num_threads(threads)
loaded = snb.load(file, backend="llamacpp") if way == "llama.cpp" else snb.load("smollm2-135m", dtype=dtype)
rows = [loaded.renderer.render_prompt(row["messages"][:-1]) for row in snb.Dataset.sample("support-triage").canonical_rows()[:64]]
generator = loaded.generator
model = loaded.weights.module.eval() if way == "library" else None
generator.stop_token_ids = frozenset()
def ours(batch, count):
    generator.generate(rows[:batch], Sampling(temperature=1.0, top_p=0.95, max_new_tokens=count, seed=1))
def library(batch, count):
    width = max(map(len, rows[:batch]))
    ids = torch.tensor([[0] * (width - len(row)) + row for row in rows[:batch]])
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows[:batch]])
    with torch.no_grad():
        model.generate(ids, attention_mask=mask, do_sample=True, temperature=1.0, top_k=0, top_p=0.95, max_new_tokens=count,
                       min_new_tokens=count, pad_token_id=0)
work = library if way == "library" else ours
work(2, 2)
print("ready", flush=True)
for line in sys.stdin:
    batch = int(line)
    spent = []
    for count in (2, new):
        begin = time.process_time()
        work(batch, count)
        spent.append(time.process_time() - begin)
    print(json.dumps((spent[1] - spent[0]) / (new - 2)), flush=True)
"""


class Contender:
    """A process that measures one way of decoding."""

    def __init__(self, way: str, tree: Path, dtype: str, new: int, threads: int, file: str = "") -> None:
        environment = {**os.environ, "PYTHONPATH": str(tree), "SHADOWNB_PROGRESS": "0"}
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", _WORKER, way, dtype, str(new), str(threads), file],
            cwd=tree, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self._line("ready")

    def seconds(self, batch: int) -> float:
        """Return the CPU seconds of one token of each row."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{batch}\n")
        self._process.stdin.flush()
        return float(json.loads(self._line()))

    def close(self) -> None:
        """End the process."""
        self._process.communicate()

    def _line(self, wanted: str = "") -> str:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if not wanted or line.strip() == wanted:
                return line
        raise SystemExit("a contender ended without a figure; run its script by hand")


def main() -> None:
    """Print a line for each format, batch size and contender."""
    from rollouts import interval

    options = argparse.ArgumentParser()
    options.add_argument("--before")
    options.add_argument("--llamacpp", action="store_true")
    options.add_argument("--batches", type=int, nargs="+", default=[1, 8, 32, 64])
    options.add_argument("--formats", nargs="+", default=["float32", "bfloat16"])
    options.add_argument("--rounds", type=int, default=4)
    options.add_argument("--new", type=int, default=24)
    options.add_argument("--threads", type=int, default=0)
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="shadownb-decoding-") as folder:
        trees: dict[str, Path] = {"ours": ROOT}
        if chosen.before:
            trees["before"] = Path(folder) / "before"
            subprocess.run(
                ["git", "-C", str(ROOT), "worktree", "add", "-q", "--detach", str(trees["before"]), chosen.before],
                check=True,
            )
        trees["library"] = ROOT
        if chosen.llamacpp:
            trees["llama.cpp"] = ROOT
        try:
            for dtype in chosen.formats:
                file = _gguf(Path(folder), dtype) if chosen.llamacpp else ""
                sides = {
                    way: Contender(way, tree, dtype, chosen.new, chosen.threads, file) for way, tree in trees.items()
                }
                for batch in chosen.batches:
                    _compare(sides, dtype, batch, chosen.rounds, interval)
                for side in sides.values():
                    side.close()
        finally:
            if chosen.before:
                subprocess.run(
                    ["git", "-C", str(ROOT), "worktree", "remove", "--force", str(trees["before"])], check=True
                )


def _gguf(folder: Path, dtype: str) -> str:
    """Write SmolLM2-135M as a GGUF file in this number format; returns its folder."""
    import shadownb as snb

    quant = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}[dtype]
    model = snb.load("smollm2-135m", dtype="float32")
    return str(model.export(folder / quant, format="gguf", quant=quant, report=False).path)


def _compare(sides: dict[str, Contender], dtype: str, batch: int, rounds: int, interval: Any) -> None:
    found: dict[str, list[float]] = {way: [] for way in sides}
    for number in range(rounds):
        for way in list(sides) if number % 2 == 0 else reversed(list(sides)):
            found[way].append(sides[way].seconds(batch))
    for way, spent in found.items():
        each = sorted(spent)[len(spent) // 2]
        against = (
            ""
            if way == "ours"
            else f", ours {interval([b / a for a, b in zip(found['ours'], spent, strict=True)])} times"
        )
        print(
            f"{dtype:9} batch {batch:2} {way:9} {each * 1e3:6.1f} ms a step, {batch / each:5.0f} tokens/s{against}",
            flush=True,
        )


if __name__ == "__main__":
    main()
