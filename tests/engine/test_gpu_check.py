"""``make gpu-check`` where there is no GPU: it says so, claims nothing, and is no failure."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu_check.py"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu_nothing_is_claimed() -> None:
    done = subprocess.run([sys.executable, str(SCRIPT)], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "gpu-check: no CUDA device here, so nothing was checked and nothing is claimed.\n"


@pytest.mark.full
def test_its_rows_are_right_on_a_small_model_and_a_wrong_one_fails(tmp_path: Path) -> None:
    """The script itself, on the CPU: what runs waits ready, and the exit status says whether a row is wrong."""
    command = [sys.executable, str(SCRIPT), "--device", "cpu", "--methods", "lora", "--parts", "matrix"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "says nothing about a GPU" in done.stdout and "lora bfloat16          right" in done.stdout
    command[command.index("lora")] = "no-such-method"
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 1 and "WRONG" in done.stdout
