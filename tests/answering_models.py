"""A tiny model that has learned to end its answers, since an untrained one never does."""

from __future__ import annotations

from pathlib import Path

import shadownb as snb

WORDS = ("odd", "even", "ai")


def rows(words: tuple[str, ...] = WORDS) -> list[dict[str, object]]:
    """Questions with each of some answers."""
    return [
        {"messages": [{"role": "user", "content": f"Number {n}?"}, {"role": "assistant", "content": word}]}
        for n in range(8)
        for word in words
    ]


def write(base: Path, folder: Path, words: tuple[str, ...] = WORDS) -> Path:
    """Save a model that answers with one of some words, each as likely; three seconds of a core."""
    model = snb.load(str(base), max_length=256, dtype="float32")
    model.train(
        rows(words), method="full", max_steps=60, learning_rate=5e-3, per_device_train_batch_size=24, background=False,
        gradient_accumulation_steps=1, sample_max_new_tokens=0, save_total_limit=1,
    )  # fmt: skip
    return Path(model.save(folder, fmt="merged"))
