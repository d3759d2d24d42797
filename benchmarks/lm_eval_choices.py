"""Multiple choice with a shared start: CPU seconds of the harness' own ``hf`` model against ours, the two in turns in one process.

python benchmarks/lm_eval_choices.py [--model smollm2-135m] [--rounds 5] [--shots 5] [--batch 8]
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from types import SimpleNamespace
from typing import Any

import shadownb as snb

WORDS = [
    "parcel",
    "letter",
    "river",
    "window",
    "garden",
    "mountain",
    "engine",
    "student",
    "doctor",
    "market",
    "station",
    "letter",
    "bridge",
    "winter",
    "summer",
]


def questions(count: int, shots: int) -> list[Any]:
    """Return requests of four choices each, behind a few examples, as ARC and HellaSwag have them."""
    draw = random.Random(0)

    def sentence(length: int) -> str:
        return " ".join(draw.choice(WORDS) for _ in range(length))

    start = "".join(f"Question: {sentence(20)}?\nAnswer: {sentence(6)}\n\n" for _ in range(shots))
    found = []
    for _ in range(count):
        before = f"{start}Question: {sentence(20)}?\nAnswer:"
        found += [
            SimpleNamespace(args=(before, f" {sentence(draw.randint(3, 9))}"), task_name="choices") for _ in range(4)
        ]
    return found


def main() -> None:
    """Print the ratio of CPU seconds, a 95 % interval of its mean, and how far the numbers are apart."""
    from lm_eval.models.huggingface import HFLM

    from shadownb.engine.evals.lm_eval.model import ShadowLM

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--count", type=int, default=4)
    parser.add_argument("--shots", type=int, default=5)
    parser.add_argument("--batch", type=int, default=8)
    asked = parser.parse_args()
    model = snb.load(asked.model, dtype="float32")
    theirs: Any = HFLM(
        pretrained=model.weights.base_module(), tokenizer=model.tokenizer, batch_size=asked.batch, device="cpu"
    )
    ours: Any = ShadowLM(model)
    sides = {"hf": lambda each: theirs.loglikelihood(each, disable_tqdm=True), "ours": ours.loglikelihood}
    ratios, apart = [], 0.0
    requests = questions(asked.count, asked.shots)
    for number in range(asked.rounds + 1):  # the first warms up
        seconds, values = {}, {}
        for name in ("hf", "ours") if number % 2 else ("ours", "hf"):
            begun = time.process_time()
            values[name] = [value for value, _ in sides[name](requests)]
            seconds[name] = time.process_time() - begun
        apart = max(apart, *(abs(a - b) for a, b in zip(values["hf"], values["ours"], strict=True)))
        if number:
            ratios.append(seconds["hf"] / seconds["ours"])
            print(f"round {number}: hf {seconds['hf']:.2f}, ours {seconds['ours']:.2f} CPU s, ratio {ratios[-1]:.2f}")
    mean = statistics.fmean(ratios)
    half = 2.776 * statistics.stdev(ratios) / len(ratios) ** 0.5 if len(ratios) > 1 else float("nan")  # t of 5 rounds
    tokens = sum(len(model.tokenizer.encode(r.args[0])) for r in requests) // len(requests)
    print(
        f"{len(requests)} requests of about {tokens} tokens: hf takes {mean:.2f} ({mean - half:.2f} to {mean + half:.2f}) times"
    )
    print(f"log-likelihoods are at most {apart:.1e} apart")


if __name__ == "__main__":
    main()
