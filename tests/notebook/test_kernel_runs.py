"""Runs in a real kernel: cells stay free, output stays in its cell, a restart leaves a run to resume."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

import shadownb as snb
from tests.engine.conftest import until
from tests.notebook.kernel import Kernel

ROWS = """
rows = [{"messages": [{"role": "user", "content": f"Colour {i}?"}, {"role": "assistant", "content": f"C{i % 7}"}]}
        for i in range(40)]
"""
START = "run = model.train(rows, max_steps=100000, save_steps=5, sample_max_new_tokens=0, lora_r=4)"


@pytest.fixture
def ready(kernel: Kernel, tiny_model_dir: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    monkeypatch.setenv("SHADOWNB_HOME", str(home))
    loaded = kernel.run(
        f"import shadownb as snb\n{ROWS}\nmodel = snb.load({str(tiny_model_dir)!r}, max_length=256, dtype='float32')"
    )
    assert loaded.status == "ok", loaded
    return kernel


def test_training_returns_at_once_and_prints_nowhere(ready: Kernel) -> None:
    started = ready.run(START)
    assert started.silent, started
    run = snb.runs.latest()
    until(run, lambda s: s.step >= 2)
    assert ready.run('print("x")').stdout == "x\n"
    assert ready.run("model.generate('Colour 1?', max_new_tokens=2, temperature=0)").results
    ready.run("run.discard(); run.wait(timeout=60)")
    assert run.status == "discarded"


def test_a_kernel_restart_leaves_a_run_that_can_be_resumed(ready: Kernel, tiny_model_dir: Path) -> None:
    ready.run(START.replace("100000", "40"))
    run = snb.runs.latest()
    until(run, lambda s: s.step >= 6)
    began = time.monotonic()
    ready.manager.restart_kernel(now=True)
    ready.client.wait_for_ready(timeout=120)
    if run.status == "succeeded":  # a fast machine finished all 40 steps before the restart
        pytest.skip(f"the run ended within the {time.monotonic() - began:.1f} s of the restart")
    assert run.status == "interrupted"
    resumed = ready.run(
        f"import shadownb as snb\nr = snb.runs.load({run.id!r}).resume()\nr.wait();\nprint(r.status, r.step)"
    )
    assert resumed.stdout.splitlines()[-1] == "succeeded 40", resumed
    assert run.resumed
    assert [m["step"] for m in run.metrics] == list(range(1, 41))
