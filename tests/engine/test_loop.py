"""The loop itself: no framework, no reach into the process, short enough to be read in one sitting."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

import shadownb as snb
from shadownb.engine.runs import loop
from tests.engine.methods_data import OPTIONS, chats

SHORT: dict[str, Any] = {**OPTIONS, "max_steps": 2, "lora_r": 4, "background": False}


def test_it_needs_no_framework_and_no_second_sitting() -> None:
    code = "import shadownb.engine.runs.loop, shadownb.engine.runs.epochs, shadownb.engine.runs.schedules, sys; "
    code += "print([name for name in ('torch', 'transformers', 'peft', 'mlx') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert len(Path(loop.__file__).read_text().splitlines()) < 200


def train(folder: Path) -> list[float]:
    return list(snb.load(str(folder), dtype="float32", max_length=256).train(chats(), **SHORT).losses())


def test_variables_of_accelerate_change_no_run(
    home: Path, byte_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = train(byte_model_dir)
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    assert train(byte_model_dir) == plain


def test_a_run_leaves_the_process_as_it_was(home: Path, byte_model_dir: Path) -> None:
    from accelerate.state import PartialState  # transformers' Trainer fills it for the whole process

    model = snb.load(str(byte_model_dir), dtype="float32", max_length=256)
    torch.manual_seed(7)
    before = (
        dict(PartialState._shared_state),
        transformers.logging.get_verbosity(),
        logging.getLogger("accelerate").level,
        torch.get_num_threads(),
        torch.is_grad_enabled(),
        torch.random.get_rng_state().tolist(),
    )
    model.train(chats(), **SHORT)
    after = (
        dict(PartialState._shared_state),
        transformers.logging.get_verbosity(),
        logging.getLogger("accelerate").level,
        torch.get_num_threads(),
        torch.is_grad_enabled(),
        torch.random.get_rng_state().tolist(),
    )
    assert after == before
