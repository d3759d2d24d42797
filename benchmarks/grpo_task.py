"""GRPO on a task that a program can judge: "Describe W in exactly N words", on words and numbers that were not trained.

The reward is 1 - 2 |n - N| / N, at least 0, and 0 for an answer that is not ended in 20 tokens. Printed for each seed: the
reward on held-out prompts before and after, sampled at temperature 1 and greedy; the share of ended answers and the reward
among them, so that learning to stop alone would show; and the same of SFT on answers that a program writes, for as many CPU
seconds.

    python benchmarks/grpo_task.py                 # three seeds: 440 CPU seconds each, and as many for SFT
    python benchmarks/grpo_task.py --seeds 3407    # one
    python benchmarks/grpo_task.py --model FOLDER --steps 2 --held-out 4   # whether it runs at all
"""

from __future__ import annotations

import argparse
import os
import random
import tempfile
import time
from typing import Any

WORDS = (
    "river", "teacher", "winter", "guitar", "bread", "mountain", "doctor", "window", "garden", "train", "coffee", "island", "clock",
    "forest", "soldier", "market", "bridge", "pencil", "summer", "kitchen", "lion", "engine", "letter", "museum", "rain", "sailor",
    "castle", "orange", "mirror", "farmer",
)  # fmt: skip
UNSEEN_WORDS = (
    "horse",
    "library",
    "storm",
    "violin",
    "desert",
    "baker",
    "candle",
    "ocean",
    "village",
    "camera",
    "tiger",
    "road",
)
NUMBERS, UNSEEN_NUMBERS = (3, 4, 6, 7, 9), (5, 8)
TOKENS = 20
# What the answers for SFT are cut from; each is as long as the longest that is asked for.
SENTENCES = (
    "Something that people know and often think about here", "A part of life that many of us remember",
    "It is what some love and others never notice", "One of those things that everyone has seen before",
)  # fmt: skip


def prompts(words: tuple[str, ...], numbers: tuple[int, ...]) -> list[dict[str, Any]]:
    """Return a row for each pair of a word and a number."""
    return [{"prompt": f"Describe {word} in exactly {n} words.", "n": n} for word in words for n in numbers]


def words_off(
    prompts: list[str], completions: list[str], n: list[int], finish_reason: list[str], **columns: Any
) -> list[float]:
    """1 for exactly as many words as asked for, 0 for half as many off, in between by share; 0 for what was cut off."""
    return [
        max(0.0, 1 - 2 * abs(len(said.split()) - wanted) / wanted) if ended == "stop" else 0.0
        for said, wanted, ended in zip(completions, n, finish_reason, strict=True)
    ]


def judged(model: Any, rows: list[dict[str, Any]], **sampling: Any) -> tuple[float, float, float]:
    """Return (mean reward, share of ended answers, mean reward among those)."""
    from shadownb.engine.inference import Sampling

    asked = [model.renderer.render_prompt([{"role": "user", "content": row["prompt"]}]) for row in rows]
    said = model.generator.generate(asked, Sampling(max_new_tokens=TOKENS, top_p=1.0, **sampling))
    scores = words_off([], [one.text for one in said], [row["n"] for row in rows], [one.finish_reason for one in said])
    ended = sum(one.finish_reason == "stop" for one in said)
    return sum(scores) / len(rows), ended / len(rows), sum(scores) / max(1, ended)


def tell(name: str, model: Any, held_out: list[dict[str, Any]]) -> None:
    for how, sampling in (("sampled", {"temperature": 1.0, "seed": 7}), ("greedy", {"temperature": 0.0})):
        rows = held_out * 2 if how == "sampled" else held_out
        reward, ended, among = judged(model, rows, **sampling)
        print(f"{name:22} {how:8} reward {reward:.3f}   ended {ended:4.0%}   among those {among:.3f}", flush=True)


def cpu_seconds() -> float:
    times = os.times()
    return times.user + times.system


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--seeds", type=int, nargs="+", default=[3407, 1, 2])
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rate", type=float, default=3e-4)
    parser.add_argument("--held-out", type=int, default=24)
    parser.add_argument("--no-sft", action="store_true", help="leave SFT beside it out")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        os.environ.setdefault("SHADOWNB_HOME", home)
        import shadownb as snb

        rows, held_out = prompts(WORDS, NUMBERS), prompts(UNSEEN_WORDS, UNSEEN_NUMBERS)[: asked.held_out]
        model: Any = snb.load(asked.model, dtype="float32")
        tell("before", model, held_out)
        for seed in asked.seeds:
            began, wall = cpu_seconds(), time.perf_counter()
            run = model.train(
                rows, method="grpo", reward_fns=[words_off], start="base", background=False, seed=seed, max_steps=asked.steps,
                max_completion_length=TOKENS, learning_rate=asked.rate, lr_scheduler_type="constant_with_warmup",
                sample_max_new_tokens=0, save_steps=asked.steps,
            )  # fmt: skip
            spent = cpu_seconds() - began
            print(
                f"\nseed {seed}: {run.status}, {run.step} steps, {spent:.0f} CPU s, {time.perf_counter() - wall:.0f} s"
            )
            curve = [metrics["reward"] for metrics in run.metrics]
            print("  reward by step: " + " ".join(f"{reward:.2f}" for reward in curve))
            tell(f"GRPO, seed {seed}", model, held_out)
            if not asked.no_sft:
                imitated(model, rows, spent, seed)
                tell(f"SFT, seed {seed}", model, held_out)


def imitated(model: Any, rows: list[dict[str, Any]], seconds: float, seed: int) -> None:
    """Train on answers that a program wrote until as many CPU seconds are spent."""
    import transformers

    draw = random.Random(seed)
    given = [
        {"prompt": r["prompt"], "completion": " ".join(draw.choice(SENTENCES).split()[: r["n"]]) + "."} for r in rows
    ]
    began = cpu_seconds()

    class Budget(transformers.TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            control.should_training_stop = cpu_seconds() - began > seconds

    run = model.train(
        given, method="lora", start="base", background=False, seed=seed, max_steps=2000, sample_max_new_tokens=0, save_steps=2000,
        callbacks=[Budget()], lr_scheduler_type="constant_with_warmup",
    )  # fmt: skip
    print(f"SFT, seed {seed}: {run.step} steps, {cpu_seconds() - began:.0f} CPU s")


if __name__ == "__main__":
    main()
