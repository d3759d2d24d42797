"""What the tests of exports share: a home of their own, a tiny trained model, and its rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import shadownb as snb

ROWS = [
    {
        "messages": [
            {"role": "system", "content": "Answer with one word."},
            {"role": "user", "content": f"Number {n}?"},
            {"role": "assistant", "content": "odd" if n % 2 else "even"},
        ]
    }
    for n in range(16)
]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A SHADOWNB_HOME that is empty."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHADOWNB_HOME", str(folder))
        yield folder


@pytest.fixture(scope="module")
def tuned(home: Path, byte_model_dir: Path) -> Any:
    """A tiny model in 32 bits that a run of a dozen steps has taught its rows, four of which were held out."""
    model = snb.load(str(byte_model_dir), dtype="float32", max_length=256)
    model.train(
        ROWS[:12], method="lora", max_steps=12, learning_rate=2e-2, lora_r=4, sample_max_new_tokens=0, background=False,
        eval_dataset=ROWS[12:], per_device_train_batch_size=4, gradient_accumulation_steps=1,
    )  # fmt: skip
    return model
