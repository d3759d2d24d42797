"""Whether two commits train as fast and in as much memory: CPU seconds of steps, peak memory and imports, interleaved.

Run: ``python benchmarks/parity_speed.py [OLD [NEW]] [--rounds 4 40] [--steps 40] [--model smollm2-135m [--method lora]
[--dtype OLD NEW] [--within 1e-5]]``; OLD is ``HEAD`` unless given, NEW the files at hand.

A round trains the same run with each commit, in processes of their own that take turns, on a small Llama of real shape, or a model
by name on the shipped task, each side in its own number format if wanted. ``--within`` is how far apart losses may be, 0 unless
given. Counted are CPU seconds (user and system) of the steps alone, so that what else runs on the machine matters little. Rounds
go on until the 95 % interval of the ratio is within 1 % to both sides, at most the second number of ``--rounds``.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from parity import _trees

_WANTED = 0.01
_BESIDE = {
    "start": "first run of five steps",
    "load": "loading, libraries included",
    "import": "import shadownb",
    "memory": "peak memory, GB",
}
_RUN = """
import json, resource, sys, time
def cpu():
    found = resource.getrusage(resource.RUSAGE_SELF)
    return found.ru_utime + found.ru_stime
began = cpu()
import shadownb as snb
light = cpu() - began
name, steps, method, dtype, kind = sys.argv[1:]
older = hasattr(snb.Model, "finetune")
length = {"max_seq_length" if older else "max_length": 256} if kind == "small" else {}
model = snb.load(name, dtype=dtype, **length)
train = model.finetune if older else model.train
options = dict(background=False, lora_r=8, learning_rate=1e-4, sample_max_new_tokens=0, logging_steps=1,
               per_device_train_batch_size=4, gradient_accumulation_steps=2, save_steps=100000)
if kind == "small":
    rows = [{"messages": [{"role": "user", "content": f"Question {n}? " + "word " * (n % 7)},
                          {"role": "assistant", "content": "Answer " * (1 + n % 5)}]} for n in range(64)]
else:
    rows = snb.Dataset.sample("support-triage").canonical_rows()
    if method in ("dpo", "orpo", "cpo"):
        rows = [{"prompt": row["messages"][:-1], "chosen": [row["messages"][-1]], "rejected": [rows[n - 1]["messages"][-1]]}
                for n, row in enumerate(rows)]
    options |= dict(method=method, lora_r=16, max_grad_norm=1.0)
    if method == "full":
        options.pop("lora_r")
loaded = cpu()
train(rows, max_steps=5 if kind == "small" else 1, **options)
before = cpu()
run = train(rows, start="trained" if kind == "small" else "base", max_steps=int(steps), **options)
print(json.dumps({"steps": cpu() - before, "start": before - loaded, "import": light, "load": loaded - began - light,
                  "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, "loss": run.losses()}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", nargs="?", default="HEAD")
    parser.add_argument("new", nargs="?", default=".")
    parser.add_argument("--rounds", type=int, nargs=2, default=(4, 40))
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--model", help="a model by name, on the shipped task")
    parser.add_argument("--method", default="lora")
    parser.add_argument("--dtype", nargs=2, default=("float32", "float32"), metavar=("OLD", "NEW"))
    parser.add_argument("--within", type=float, default=0.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="shadownb-speed-") as folder, _trees(options.old, options.new) as trees:
        base = options.model or str(_make_base(Path(folder) / "base"))
        run = [str(options.steps), options.method, "named" if options.model else "small"]
        found: list[tuple[dict[str, Any], dict[str, Any]]] = []
        while len(found) < options.rounds[0] or (len(found) < options.rounds[1] and _half_width(found) > _WANTED):
            sides = _turns(list(zip(trees, options.dtype, strict=True)), len(found))
            pair = [_train(tree, Path(folder), [base, *run[:2], dtype, run[2]]) for tree, dtype in sides]
            found.append((pair[0], pair[1]) if len(found) % 2 == 0 else (pair[1], pair[0]))
            print(f"round {len(found)}: {_ratio(found):.3f} +- {_half_width(found):.3f}", flush=True)
    apart = max(abs(a - b) for old, new in found for a, b in zip(old["loss"], new["loss"], strict=True))
    same = apart <= options.within
    print(
        f"\n{options.new} over {options.old}, {len(found)} rounds of {options.steps} steps; losses "
        f"{'equal' if not apart else f'{apart:.1e} apart'}"
    )
    print(f"CPU seconds of the steps   {_ratio(found):.3f} +- {_half_width(found):.3f} (95 %)")
    for name, words in _BESIDE.items():
        sides = [statistics.median(side[name] for side in column) for column in zip(*found, strict=True)]
        print(f"{words:26} {sides[0]:.3f} -> {sides[1]:.3f} (medians), ratio {sides[1] / sides[0]:.3f}")
    sys.exit(0 if same else 1)


def _turns(sides: list[tuple[Path, str]], round_number: int) -> list[tuple[Path, str]]:
    return sides if round_number % 2 == 0 else sides[::-1]


def _train(tree: Path, folder: Path, run: list[str]) -> dict[str, Any]:
    environment = {**os.environ, "PYTHONPATH": str(tree), "SHADOWNB_HOME": str(folder / "home")}
    environment |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "CI": "1", "SHADOWNB_PROGRESS": "0"}
    command = [sys.executable, "-W", "ignore", "-c", _RUN, *run]
    done = subprocess.run(command, env=environment, cwd=folder, check=True, stdout=subprocess.PIPE, text=True)
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


def _logs(found: list[tuple[dict[str, Any], dict[str, Any]]]) -> list[float]:
    return [math.log(new["steps"] / old["steps"]) for old, new in found]


def _ratio(found: list[tuple[dict[str, Any], dict[str, Any]]]) -> float:
    return math.exp(statistics.mean(_logs(found)))


def _half_width(found: list[tuple[dict[str, Any], dict[str, Any]]]) -> float:
    """Return half of the 95 % interval of the ratio, by Student's t (2.78 at 5 rounds, 1.96 at many)."""
    if len(found) < 2:
        return math.inf
    t = 1.96 + 2.4 / (len(found) - 1) + 8.4 / (len(found) - 1) ** 3
    return _ratio(found) * t * statistics.stdev(_logs(found)) / math.sqrt(len(found))


def _make_base(folder: Path) -> Path:
    """Write a Llama of two wide layers."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from tests.tiny_models import byte_llama_of

    return byte_llama_of(folder, 512, 1536)


if __name__ == "__main__":
    main()
