"""Rollouts beside transformers' ``generate``: 8 prompts, 8 samples of each, 64 tokens of each sample, in CPU seconds.

    nice python benchmarks/rollouts.py [--lengths 40 200 400] [--formats float32 bfloat16] [--rounds 3] [--new 64] [--threads N]

SmolLM2-135M, prompts of random words, temperature 1, nothing cut off, no stop token, so that both sides compute as many tokens.
transformers' side is its fastest plain call: one batch, ``num_return_sequences``. The sides take turns; the ratio is of their CPU
seconds (user and system, all threads), geometric mean over rounds with a 95 % interval by Student's t. Log-probabilities of our
samples are compared with a pass over each whole row by transformers.
"""

from __future__ import annotations

import argparse
import math
import random
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

import shadownb as snb
from shadownb.engine.inference import Sampling

PROMPTS, SAMPLES = 8, 8
_T = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78, 6: 2.57, 8: 2.36}  # 97.5 % of Student's t for so many rounds


def prompts(tokenizer: Any, length: int) -> list[list[int]]:
    """Return prompts of a length; each begins with the same ten tokens, as chats do."""
    draw = random.Random(length)
    words = [
        "the",
        "of",
        "and",
        "to",
        "in",
        "is",
        "you",
        "that",
        "it",
        "he",
        "was",
        "for",
        "on",
        "are",
        "as",
        "with",
        "word",
    ]
    found = []
    for _ in range(PROMPTS):
        text = "Continue this text in plain words: " + " ".join(draw.choices(words, k=2 * length))
        found.append(tokenizer.encode(text, add_special_tokens=False)[:length])
    return found


def theirs(model: Any, asked: list[list[int]], new: int) -> int:
    """Generate with the library; returns how many tokens."""
    ids = torch.tensor(asked)
    torch.manual_seed(0)
    with torch.no_grad():
        found = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            do_sample=True,
            temperature=1.0,
            top_k=0,
            top_p=1.0,
            num_return_sequences=SAMPLES,
            max_new_tokens=new,
            min_new_tokens=new,
            pad_token_id=0,
        )
    return int((found.shape[1] - ids.shape[1]) * found.shape[0])


def ours(generator: Any, asked: list[list[int]], new: int) -> int:
    """Generate with ours; returns how many tokens."""
    sampling = Sampling(temperature=1.0, top_p=1.0, max_new_tokens=new, seed=1)
    return sum(each.completion.completion_tokens for each in generator.rollouts(asked, SAMPLES, sampling))


def cpu_seconds(work: Callable[[], int], tokens: int) -> float:
    """Return the CPU seconds of a piece of work, which has to give every token."""
    begin = time.process_time()
    assert work() == tokens
    return time.process_time() - begin


def farthest(model: Any, generator: Any, asked: list[list[int]], new: int) -> tuple[float, float]:
    """Return mean and largest distance of our log-probabilities from those of whole rows, in nats."""
    sampling = Sampling(temperature=1.0, top_p=1.0, max_new_tokens=new, seed=1)
    off = []
    for each in generator.rollouts(asked, 1, sampling):
        ids, start = each.completion.token_ids, asked[each.prompt]
        with torch.no_grad():
            logits = model(torch.tensor([[*start, *ids]])).logits[0, len(start) - 1 : -1].float()
        known = logits.log_softmax(-1).gather(1, torch.tensor(ids)[:, None])[:, 0].tolist()
        off += [abs(a - b) for a, b in zip(known, each.completion.logprobs, strict=True)]
    return statistics.mean(off), max(off)


def interval(ratios: list[float]) -> str:
    """Return the geometric mean and its 95 % interval."""
    logs = [math.log(each) for each in ratios]
    mean = statistics.mean(logs)
    if len(logs) < 2:
        return f"{math.exp(mean):.2f}"
    half = _T.get(len(logs), 2.3) * statistics.stdev(logs) / math.sqrt(len(logs))
    return f"{math.exp(mean):.2f} ({math.exp(mean - half):.2f} to {math.exp(mean + half):.2f})"


def main() -> None:
    """Print a line for each format and length of prompts."""
    options = argparse.ArgumentParser()
    options.add_argument("--lengths", type=int, nargs="+", default=[40, 200, 400])
    options.add_argument("--formats", nargs="+", default=["float32", "bfloat16"])
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--new", type=int, default=64)
    options.add_argument("--threads", type=int)
    chosen = options.parse_args()
    if chosen.threads:
        torch.set_num_threads(chosen.threads)
    print(
        f"{PROMPTS} prompts x {SAMPLES} samples x {chosen.new} tokens, {torch.get_num_threads()} threads, CPU seconds"
    )
    for dtype in chosen.formats:
        loaded = snb.load("smollm2-135m", dtype=dtype)
        generator: Any = loaded.generator
        generator.stop_token_ids = frozenset()
        model = loaded.weights.module
        model.eval()
        ours(generator, prompts(loaded.tokenizer, 16), 2)
        for length in chosen.lengths:
            asked = prompts(loaded.tokenizer, length)
            tokens = PROMPTS * SAMPLES * chosen.new
            times = [
                (
                    cpu_seconds(lambda: ours(generator, asked, chosen.new), tokens),  # noqa: B023
                    cpu_seconds(lambda: theirs(model, asked, chosen.new), tokens),  # noqa: B023
                )
                for _ in range(chosen.rounds)
            ]
            mine, library = (statistics.median(side) for side in zip(*times, strict=True))
            mean, most = farthest(model, generator, asked, chosen.new)
            print(
                f"{dtype:9} prompts of {length:3}: {mine:6.2f} s ({tokens / mine:4.0f} tokens/s), transformers {library:6.2f} s "
                f"({tokens / library:4.0f}), {interval([b / a for a, b in times])} times; log-probabilities off by "
                f"{mean:.1e}, at most {most:.1e}",
                flush=True,
            )
        loaded.unload()


if __name__ == "__main__":
    main()
