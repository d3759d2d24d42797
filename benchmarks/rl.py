"""Reinforcement methods on one task that a program can judge (that of ``grpo_task.py``), each for as many batches of answers.

For each method and seed, in a process of its own: the reward on held-out prompts before and after, sampled at temperature 1 and
greedy; CPU seconds; peak memory; of a method with a critic the explained variance of what it foretold, batch by batch. A table
has the mean over the seeds with its 95 % interval (Student's t, so three seeds give a wide one).

    python benchmarks/rl.py                                    # each method, three seeds: 5 to 15 minutes a run
    python benchmarks/rl.py --methods ppo grpo --seeds 3407    # some of it
    python benchmarks/rl.py --batches 1 --held-out 4           # whether it runs at all

Results are kept line by line in ``--out``, and what is there is not run again. A method is a name in METHODS with its options;
one that this version of ShadowNB does not have is left out and named.
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
import time
from pathlib import Path
from typing import Any

import _rl_teachers
from grpo_task import NUMBERS, TOKENS, UNSEEN_NUMBERS, UNSEEN_WORDS, WORDS, cpu_seconds, judged, prompts, words_off

# Options beside those that all have; "steps" is how many optimizer steps a batch of answers is trained for.
METHODS: dict[str, dict[str, Any]] = {
    "grpo": {"steps": 1},
    "rloo": {"steps": 1},
    "ppo": {"steps": 2, "num_ppo_epochs": 2},
    # Taught on as many answers of their own, by the teachers of _rl_teachers.py; no reward is seen.
    "distill": {"steps": 1},
    "sdft": {"steps": 1},
}
_T95 = {1: 12.71, 2: 4.30, 3: 3.18, 4: 2.78, 5: 2.57}  # Student's t by degrees of freedom


def one(method: str, seed: int, asked: argparse.Namespace) -> dict[str, Any]:
    """Train once, and return what came of it."""
    import shadownb as snb

    options = dict(METHODS[method])
    steps = options.pop("steps") * asked.batches
    rows, held_out = prompts(WORDS, NUMBERS), prompts(UNSEEN_WORDS, UNSEEN_NUMBERS)[: asked.held_out]
    model: Any = snb.load(asked.model, dtype="float32")
    found: dict[str, Any] = {
        "method": method,
        "seed": seed,
        "batches": asked.batches,
        "before": _held_out(model, held_out),
    }
    began, wall = cpu_seconds(), time.perf_counter()
    if method in _rl_teachers.METHODS:
        run = _rl_teachers.train(
            model, method, teachers=asked.teacher, batches=asked.batches, rate=asked.rate, seed=seed
        )
    else:
        run = model.train(
            rows, method=method, reward_fns=[words_off], background=False, seed=seed, max_steps=steps, max_completion_length=TOKENS,
            learning_rate=asked.rate, lr_scheduler_type="constant_with_warmup", sample_max_new_tokens=0, save_steps=steps,
            **options,
        )  # fmt: skip
    found |= {
        "status": run.status,
        "steps": run.step,
        "cpu_s": cpu_seconds() - began,
        "wall_s": time.perf_counter() - wall,
    }
    found |= {"peak_gb": run.metrics[-1]["peak_memory_gb"], "after": _held_out(model, held_out)}
    for name in ("reward", "kl", "entropy", "explained_variance", "value_loss", "completion_length"):
        found[name] = [round(one[name], 4) for one in run.metrics if name in one]
    return found


def _held_out(model: Any, rows: list[dict[str, Any]]) -> dict[str, float]:
    sampled, ended, _ = judged(model, rows * 2, temperature=1.0, seed=7)
    greedy, _, _ = judged(model, rows, temperature=0.0)
    return {"sampled": sampled, "ended": ended, "greedy": greedy}


def interval(values: list[float]) -> str:
    """Return mean and half the width of its 95 % interval, as a table has it."""
    mean = statistics.fmean(values)
    if len(values) < 2:
        return f"{mean:.3f}"
    half = _T95.get(len(values) - 1, 2.0) * statistics.stdev(values) / math.sqrt(len(values))
    return f"{mean:.3f} ± {half:.3f}"


def table(results: list[dict[str, Any]]) -> str:
    """Return what is known so far as Markdown."""
    lines = [
        "| method | seeds | held out, sampled | greedy | CPU s | peak GB | explained variance, second half |",
        "|---" * 7 + "|",
    ]
    for method in METHODS:
        mine = [result for result in results if result["method"] == method]
        if not mine:
            continue
        halves = [one["explained_variance"][len(one["explained_variance"]) // 2 :] for one in mine]
        explained = interval([statistics.fmean(half) for half in halves]) if all(halves) else ""
        cells = [interval([one["after"][how] for one in mine]) for how in ("sampled", "greedy")]
        cells += [
            f"{statistics.fmean(one['cpu_s'] for one in mine):.0f}",
            f"{max(one['peak_gb'] for one in mine):.2f}",
            explained,
        ]
        lines.append(f"| `{method}` | {len(mine)} | " + " | ".join(cells) + " |")
    before = [result["before"] for result in results]
    if before:
        lines.append(f"| before | | {before[0]['sampled']:.3f} | {before[0]['greedy']:.3f} | | | |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[3407, 1, 2])
    parser.add_argument("--batches", type=int, default=30, help="batches of 4 prompts with 8 answers each")
    parser.add_argument("--rate", type=float, default=3e-4)
    parser.add_argument("--held-out", type=int, default=24)
    parser.add_argument("--out", type=Path, default=Path("rl.jsonl"))
    parser.add_argument(
        "--teacher",
        type=Path,
        default=Path("rl-teacher"),
        help="folder of distill's teacher; trained once where there is none",
    )
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        os.environ.setdefault("SHADOWNB_HOME", home)
        if asked.one:
            print(json.dumps(one(asked.methods[0], asked.seeds[0], asked)))
        else:
            each(asked)


def each(asked: argparse.Namespace) -> None:
    """Run what is not known yet, each in a process of its own, and print the table."""
    import shadownb as snb

    known = [json.loads(line) for line in asked.out.read_text().splitlines()] if asked.out.is_file() else []
    done = {(result["method"], result["seed"], result["batches"]) for result in known}
    for method in asked.methods:
        if not snb.methods.known(method):
            print(f"{method}: not a method of this version, left out", flush=True)
            continue
        if method == "distill":
            _rl_teachers.teacher(asked.model, asked.teacher)
        for seed in asked.seeds:
            if (method, seed, asked.batches) in done:
                continue
            words = [
                sys.executable,
                __file__,
                "--one",
                "--methods",
                method,
                "--seeds",
                str(seed),
                "--model",
                asked.model,
            ]
            words += ["--batches", str(asked.batches), "--rate", str(asked.rate), "--held-out", str(asked.held_out)]
            words += ["--teacher", str(asked.teacher)]
            child = subprocess.run(words, capture_output=True, text=True, check=False)
            if child.returncode:
                print(f"{method}, seed {seed}: failed\n{child.stderr[-2000:]}", flush=True)
                continue
            result = json.loads(child.stdout.splitlines()[-1])
            with open(asked.out, "a", encoding="utf-8") as file:
                file.write(json.dumps(result) + "\n")
            known.append(result)
            print(f"{method}, seed {seed}: {result['before']['sampled']:.3f} to {result['after']['sampled']:.3f}, "
                  f"{result['cpu_s']:.0f} CPU s, {result['wall_s']:.0f} s", flush=True)  # fmt: skip
    print("\n" + table([result for result in known if result["batches"] == asked.batches]))


if __name__ == "__main__":
    main()
