"""A student that answers with one of three words, and a teacher of the same family that knows which."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import shadownb as snb
from tests import answering_models

ROWS = answering_models.rows(("even",))
OPTIONS: dict[str, Any] = {
    "max_steps": 4, "save_steps": 1, "save_total_limit": 9, "sample_max_new_tokens": 0, "learning_rate": 2e-3, "lora_r": 4,
    "per_device_train_batch_size": 4, "warmup_steps": 0, "max_completion_length": 12, "lr_scheduler_type": "constant",
}  # fmt: skip


@pytest.fixture(scope="session")
def folders(byte_model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Of the student and of its teacher."""
    where = tmp_path_factory.mktemp("taught")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHADOWNB_HOME", str(where / "home"))
        student = answering_models.write(byte_model_dir, where / "student")
        return {"student": student, "teacher": answering_models.write(student, where / "teacher", ("even",))}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SHADOWNB_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def load(home: Path, folders: dict[str, Path]) -> Callable[..., Any]:
    return lambda who="student", **more: snb.load(str(folders[who]), max_length=256, dtype="float32", **more)
