"""Peak memory of each method beside its estimate: ``python benchmarks/memory.py [METHOD ...] [--steps 3] [--rows-per-step 4]``.

SmolLM2-135M in fp32 (qlora: in 4 bits), the shipped task; dpo and kto on pairs of it, cpt on its messages as plain text. Each
method trains in a worker process of its own, as ``executor="process"`` does for a user, so its peak resident memory is its
own: interpreter and libraries included. The estimate is the one that the run's record keeps, made before the first step.
``--longer 8`` joins so many rows to one conversation, for longer rows.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from typing import Any

from dpo import make_pairs

MODEL = "smollm2-135m"


def main() -> None:
    import shadownb as snb

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("methods", nargs="*", default=[m.name for m in snb.methods.available() if m.name != "bitfit"])
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--rows-per-step", type=int, default=4)
    parser.add_argument("--longer", type=int, default=1, help="rows of the task in a conversation")
    options = parser.parse_args()
    print(
        f"{'method':10}{'peak':>9}{'estimate':>10}{'ratio':>7}{'range':>16}{'tokens/s':>10}   estimate by line (GB)",
        flush=True,
    )
    with tempfile.TemporaryDirectory() as home:
        os.environ["SHADOWNB_HOME"] = home
        for method in options.methods:
            tell(method, train(method, options))


def train(method: str, options: argparse.Namespace) -> Any:
    """Train a few steps and return the ended run."""
    import shadownb as snb

    model = snb.load(MODEL, dtype="float32", quantize="4bit" if method == "qlora" else None)
    run = model.finetune(
        rows_for(snb.methods.get(method), options.longer),
        method=method,
        executor="process",
        background=True,
        max_steps=options.steps,
        per_device_train_batch_size=options.rows_per_step,
        gradient_accumulation_steps=1,
        sample_max_new_tokens=0,
    )
    run.wait(raise_on_failure=True)
    model.unload()
    return run


def rows_for(spec: Any, longer: int) -> Any:
    """Return the shipped task in the shape that the method learns from."""
    import shadownb as snb

    if spec.objective in ("dpo", "kto"):
        return snb.Dataset.from_list(make_pairs(96))
    talks = [row["messages"] for row in snb.Dataset.sample("support-triage").canonical_rows()]
    if spec.name == "cpt":
        return snb.Dataset.from_list([{"text": " ".join(m["content"] for m in talk)} for talk in talks])
    joined = [
        [talks[n][0], *(m for talk in talks[n : n + longer] for m in talk[1:])] for n in range(0, len(talks), longer)
    ]
    return snb.Dataset.from_list([{"messages": talk} for talk in joined])


def tell(method: str, run: Any) -> None:
    peak = run.peak_memory_gb
    estimate = run.state.record["estimate"]
    lines = ", ".join(f"{name} {gb:.2f}" for name, gb in estimate["lines"])
    between = f"{estimate['low_gb']:.2f} to {estimate['high_gb']:.2f}"
    print(
        f"{method:10}{peak:6.2f} GB{estimate['expected_gb']:7.2f} GB{estimate['expected_gb'] / peak:7.2f}{between:>16}"
        f"{run.state.last['tokens_per_s']:10.0f}   {lines}",
        flush=True,
    )


if __name__ == "__main__":
    main()
