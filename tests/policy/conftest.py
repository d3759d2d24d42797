"""A home of its own for each test, and a tiny model with a training of policy gradients on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import shadownb as snb
from shadownb.engine.runs import Run
from tests.policy.scorers import vowels

Train = Callable[..., Run]
ROWS = [{"prompt": f"Number {n}?", "number": n} for n in range(8)]
OPTIONS: dict[str, Any] = {
    "method": "grpo", "num_generations": 4, "max_completion_length": 6, "max_steps": 3, "save_steps": 1, "save_total_limit": 9,
    "sample_max_new_tokens": 0, "learning_rate": 5e-3, "lora_r": 4, "per_device_train_batch_size": 2, "warmup_steps": 0,
}  # fmt: skip


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SHADOWNB_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def load(home: Path, byte_model_dir: Path) -> Callable[[], Any]:
    return lambda: snb.load(str(byte_model_dir), max_length=256, dtype="float32")


@pytest.fixture
def train(load: Callable[[], Any]) -> Train:
    """Train to the end of the run, whatever that is; the model's own rows and scorer unless others are given."""

    def made(rows: Any = None, *, model: Any = None, **options: Any) -> Run:
        given = {
            **OPTIONS,
            **({} if rows is not None and "reward_fns" not in options else {"reward_fns": [vowels]}),
            **options,
        }
        run: Run = (model or load()).train(ROWS if rows is None else rows, background=True, **given)
        return run.wait(timeout=120)

    return made
