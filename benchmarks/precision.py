"""Which number format to train in: what an adapter learns in bf16 and in fp32, and how fast.

Run: ``python benchmarks/precision.py curves [--methods lora dora qlora] [--steps 6]``, or
``python benchmarks/precision.py task [--seeds 0 1 2] [--kept FILE.jsonl] [--rows 624] [--steps N]``

``curves``: the losses of the first steps of the shipped task, each method from the same start on the same rows: fp32, bf16 as
peft computes an adapter (added after the base's product was rounded), and bf16 as it is here (summed inside, rounded once).
``task``: the demo's training in both formats, once a seed, then 624 held-out rows (:mod:`_triage`), the same for all. Each
training is a process of its own and its answers are kept in ``--kept``, so that an interrupted comparison goes on
where it was. Printed are right answers a format and seed, the paired difference with an interval over rows and seeds, and speed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import _triage
from _contenders import Result, in_process, tell

from shadownb import demo

MODEL = "smollm2-135m"
FORMATS = {"fp32": "float32", "bf16 before": "bfloat16", "bf16": "bfloat16"}
METHODS = ("lora", "dora", "qlora", "adapter")
TASK_FORMATS = ("fp32", "bf16")
ROWS_PER_STEP = 8
_BATCH = 48
RATE = 2e-4


SEEDS = (0, 1, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["curves", "task"])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS[:3], help="of curves")
    parser.add_argument("--steps", type=int, help="default: 6 for curves, the demo's for task")
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS, help="of task")
    parser.add_argument("--rows", type=int, default=_triage.ROWS, help="of task: held-out rows")
    parser.add_argument("--kept", type=Path, default=Path("precision.jsonl"), help="of task: where results are kept")
    parser.add_argument("--contender", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contender:
        name, of = options.contender.split("/")
        tell(
            curve(of, name, options.steps)
            if options.what == "curves"
            else task(name, int(of), options.steps, options.rows)
        )
    elif options.what == "curves":
        curves(options.methods, options.steps or 6)
    else:
        compare(options)


def curves(methods: Sequence[str], steps: int) -> None:
    for method in methods:
        print_curves(
            method,
            {
                name: in_process(__file__, ["curves", "--steps", str(steps), "--contender", f"{name}/{method}"])
                for name in FORMATS
            },
        )


def curve(method: str, name: str, steps: int) -> Result:
    """Train a few steps in this process; ``bf16 before`` leaves the adapted layers to peft."""
    import shadownb as snb
    from shadownb.engine.backends.torch.adapters import rounded_once

    if name == "bf16 before":
        rounded_once.install = lambda module: 0
    quantize = "4bit" if method == "qlora" else None
    model = snb.load(MODEL, dtype=FORMATS[name], quantize=quantize)
    run = model.train(
        snb.Dataset.sample("support-triage"),
        method=method,
        background=False,
        max_steps=steps,
        learning_rate=RATE,
        lr_scheduler_type="constant",
        warmup_steps=0,
        per_device_train_batch_size=ROWS_PER_STEP,
        gradient_accumulation_steps=1,
        sample_max_new_tokens=0,
        save_steps=10**6,
    )
    if run.status != "succeeded":
        sys.exit(f"the run {run.status}: {run.error}")
    return {"losses": run.losses(), "grad_norms": [m["grad_norm"] for m in run.metrics]}


def print_curves(method: str, results: dict[str, Result]) -> None:
    print(f"\n{method}, losses of steps 1 to {len(results['fp32']['losses'])} (rate {RATE:g}, constant)")
    for name, result in results.items():
        gaps = [abs(a - b) for a, b in zip(results["fp32"]["losses"], result["losses"], strict=True)]
        losses = " ".join(f"{loss:.4f}" for loss in result["losses"])
        print(
            f"  {name:12} {losses}   gradient norm of step 1 {result['grad_norms'][0]:.3f}, largest gap {max(gaps):.4f}",
            flush=True,
        )


def compare(options: argparse.Namespace) -> None:
    """Train what is not kept yet and print the table. Formats take turns, so that both see the same machine."""
    steps = options.steps or demo.SETTINGS["max_steps"]
    key = {"steps": steps, "rows": options.rows}
    for seed in options.seeds:
        for name in TASK_FORMATS:
            if (name, seed) not in kept(options.kept, key):
                arguments = [
                    "task",
                    "--steps",
                    str(steps),
                    "--rows",
                    str(options.rows),
                    "--contender",
                    f"{name}/{seed}",
                ]
                result = {**key, "format": name, "seed": seed, **in_process(__file__, arguments)}
                with open(options.kept, "a", encoding="utf-8") as file:
                    file.write(json.dumps(result) + "\n")
                print(f"seed {seed}, {name}: {sum(result['right'])} of {len(result['right'])} right", flush=True)
    print_task(kept(options.kept, key), options.seeds)


def kept(file: Path, key: Result) -> dict[tuple[str, int], Result]:
    """Return what was computed with these settings before, by format and seed."""
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    found = [json.loads(line) for line in lines]
    return {(r["format"], r["seed"]): r for r in found if all(r[name] == value for name, value in key.items())}


def task(name: str, seed: int, steps: int, count: int) -> Result:
    """Train the demo's run in this process and answer the held-out rows with it, not with the base."""
    import shadownb as snb

    model = snb.load(MODEL, dtype=FORMATS[name])
    settings = {**demo.SETTINGS, "max_steps": steps, "seed": seed, "save_steps": 10**6}
    run = model.train(snb.Dataset.sample("support-triage"), background=False, **settings)
    if run.status != "succeeded":
        sys.exit(f"the run {run.status}: {run.error}")
    held_out = _triage.rows(count)
    scorer, right = snb.JsonExact(), []
    started = time.perf_counter()
    for start in range(0, len(held_out), _BATCH):
        part = held_out[start : start + _BATCH]
        replies = model.chat([row["messages"][:-1] for row in part], max_new_tokens=48, temperature=0)
        answers = [row["messages"][-1]["content"] for row in part]
        right += [int(scorer(reply.content, answer).value) for reply, answer in zip(replies, answers, strict=True)]
    seconds = time.perf_counter() - started
    return {"right": right, "tokens_per_s": run.tokens / run.duration_s, "rows_per_s": len(held_out) / seconds}


def print_task(results: dict[tuple[str, int], Result], seeds: Sequence[int]) -> None:
    """Print right answers and speed by format, and bf16's advantage over fp32 with an interval over seeds and rows."""
    print(
        f"\n{'':8}"
        + "".join(f"{f'seed {seed}':>10}" for seed in seeds)
        + f"{'all':>8}{'tokens/s trained':>18}{'rows/s answered':>17}"
    )
    for name in TASK_FORMATS:
        mine = [results[name, seed] for seed in seeds]
        shares = [statistics.mean(result["right"]) for result in mine]
        speed = [statistics.median(result[key] for result in mine) for key in ("tokens_per_s", "rows_per_s")]
        print(
            f"{name:8}"
            + "".join(f"{x:10.1%}" for x in shares)
            + f"{statistics.mean(shares):8.1%}{speed[0]:18.1f}{speed[1]:17.2f}"
        )
    pairs = [
        [b - a for a, b in zip(results["fp32", seed]["right"], results["bf16", seed]["right"], strict=True)]
        for seed in seeds
    ]
    low, high = interval(pairs)
    gains, losses = (sum(difference == sign for seed in pairs for difference in seed) for sign in (1, -1))
    print(
        f"\nbf16 less fp32: {statistics.mean(map(statistics.mean, pairs)):+.1%} (95 % interval {low:+.1%} to {high:+.1%}, "
        f"seeds and rows resampled); right only in bf16 {gains}, only in fp32 {losses} of {sum(map(len, pairs))}"
    )


def interval(pairs: list[list[int]], resamples: int = 4000) -> tuple[float, float]:
    """Return the percentile bootstrap interval of the mean over seeds and rows; the rows of all seeds are the same."""
    import numpy as np

    differences = np.asarray(pairs, dtype=float)
    draw = np.random.default_rng(0)
    seeds, rows = differences.shape
    means = [
        differences[draw.integers(0, seeds, seeds)][:, draw.integers(0, rows, rows)].mean() for _ in range(resamples)
    ]
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


if __name__ == "__main__":
    main()
