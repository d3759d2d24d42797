"""Teachers on the task of ``grpo_task.py``, for the table of ``rl.py``: a student of another model, and one of itself.

``distill`` has the longest-trained checkpoint of the task as its teacher: the same base after :data:`TEACHER_STEPS` steps of
LoRA on answers that a program writes, none of them to words or numbers that are held out.
``sdft`` reads those answers as demonstrations. A batch has as many answers as one of GRPO there, 32.

    python benchmarks/_rl_teachers.py --method distill --batches 30 --seed 3407     # one run, on its own
    python benchmarks/_rl_teachers.py --method sdft --batches 1 --held-out 4        # whether it runs at all
"""

from __future__ import annotations

import argparse
import json
import os
import random
import tempfile
from pathlib import Path
from typing import Any

from grpo_task import NUMBERS, SENTENCES, TOKENS, UNSEEN_NUMBERS, UNSEEN_WORDS, WORDS, cpu_seconds, judged, prompts

METHODS = ("distill", "sdft")
ANSWERS = 32  # of a batch: 4 prompts with 8 answers each
TEACHER_STEPS = 120


def written(seed: int) -> list[dict[str, Any]]:
    """Return a right answer to each prompt, cut from a sentence that fits any word."""
    draw = random.Random(seed)
    return [
        {"prompt": row["prompt"], "completion": " ".join(draw.choice(SENTENCES).split()[: row["n"]]) + "."}
        for row in prompts(WORDS, NUMBERS)
    ]


def teacher(base: str, folder: Path, steps: int = TEACHER_STEPS) -> Path:
    """Train the teacher once and return where it lies."""
    import shadownb as snb

    if not folder.exists():
        model: Any = snb.load(base, dtype="float32")
        model.train(
            written(0), method="lora", background=False, max_steps=steps, sample_max_new_tokens=0, save_steps=steps,
            per_device_train_batch_size=8, gradient_accumulation_steps=1,
        )  # fmt: skip
        model.save(folder, fmt="merged")
    return folder


def train(model: Any, method: str, *, teachers: Path | None, batches: int, rate: float, seed: int) -> Any:
    """Train a loaded base by one of :data:`METHODS` and return the run; ``teachers`` is the folder of :func:`teacher`."""
    own: dict[str, Any] = {"teacher": str(teachers)} if method == "distill" else {}
    rows = prompts(WORDS, NUMBERS) if method == "distill" else written(seed)
    return model.train(
        rows, method=method, background=False, seed=seed, max_steps=batches, max_completion_length=TOKENS, learning_rate=rate,
        lr_scheduler_type="constant_with_warmup", sample_max_new_tokens=0, save_steps=batches,
        per_device_train_batch_size=ANSWERS, gradient_accumulation_steps=1, **own,
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--method", default="distill", choices=METHODS)
    parser.add_argument("--seed", type=int, default=3407)
    parser.add_argument("--batches", type=int, default=30)
    parser.add_argument("--rate", type=float, default=3e-4)
    parser.add_argument("--held-out", type=int, default=24)
    parser.add_argument("--teacher-steps", type=int, default=TEACHER_STEPS)
    parser.add_argument("--teacher", type=Path, help="where the teacher lies, or is to; by default made anew")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        os.environ.setdefault("SHADOWNB_HOME", home)
        import shadownb as snb

        held_out = prompts(UNSEEN_WORDS, UNSEEN_NUMBERS)[: asked.held_out]
        where = None
        if asked.method == "distill":
            where = teacher(asked.model, asked.teacher or Path(home) / "teacher", asked.teacher_steps)
            taught: Any = snb.load(str(where), dtype="float32")
            print(f"teacher: {judged(taught, held_out, temperature=0.0)[0]:.3f} greedy", flush=True)
            taught.unload()
        model: Any = snb.load(asked.model, dtype="float32")
        before = judged(model, held_out * 2, temperature=1.0, seed=7)[0]
        began = cpu_seconds()
        run = train(model, asked.method, teachers=where, batches=asked.batches, rate=asked.rate, seed=asked.seed)
        spent = cpu_seconds() - began
        sampled, ended, _ = judged(model, held_out * 2, temperature=1.0, seed=7)
        print(
            json.dumps(
                {
                    "method": asked.method, "seed": asked.seed, "status": run.status, "steps": run.step, "cpu_s": round(spent),
                    "peak_gb": run.metrics[-1]["peak_memory_gb"], "before": before, "sampled": sampled, "ended": ended,
                    "greedy": judged(model, held_out, temperature=0.0)[0],
                    "divergence": [metrics["divergence"] for metrics in run.metrics],
                    "completion_length": [metrics.get("completion_length") for metrics in run.metrics],
                }
            )
        )  # fmt: skip


if __name__ == "__main__":
    main()
