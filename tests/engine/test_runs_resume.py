"""Exact resume: a run that was killed, stopped, or moved ends with the very weights and losses of one that was not."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import pytest
import torch

import shadownb as snb
from shadownb.engine.runs import Run
from shadownb.engine.runs.checkpoints import newest_valid
from tests.engine.conftest import until
from tests.engine.methods_data import stop_after

# Dropout on, and an epoch of 5 steps, so that most of these moments lie inside one.
OPTIONS: dict[str, Any] = {
    "max_steps": 12,
    "save_steps": 2,
    "save_total_limit": 20,
    "sample_max_new_tokens": 0,
    "learning_rate": 2e-3,
}
METHODS: dict[str, dict[str, Any]] = {
    "lora": {"lora_r": 4, "lora_dropout": 0.2},
    "qlora": {"lora_r": 4, "lora_dropout": 0.2},
    "full": {},
}


def load_for(method: str, folder: Path, dtype: str = "float32") -> Any:
    return snb.load(str(folder), max_length=256, dtype=dtype, quantize="4bit" if method == "qlora" else None)


def outcome(run: Run) -> tuple[list[float], list[float], str]:
    metrics = run.metrics
    return (
        [m["loss"] for m in metrics],
        [m["grad_norm"] for m in metrics],
        run.checkpoint_at().manifest["trained_sha256"],
    )


_undisturbed: dict[tuple[str, str], Any] = {}


def expected_of(method: str, folder: Path, rows: list[Any], dtype: str = "float32") -> Any:
    """Return the outcome of a run that nothing disturbs; each is trained once."""
    if (method, dtype) not in _undisturbed:
        _undisturbed[method, dtype] = outcome(straight(method, folder, rows, dtype))
    return _undisturbed[method, dtype]


def straight(method: str, folder: Path, rows: list[Any], dtype: str = "float32", **more: Any) -> Run:
    model = load_for(method, folder, dtype)
    run: Run = model.train(rows, method=method, background=False, **OPTIONS, **METHODS[method], **more)
    assert run.status == "succeeded", run.traceback()
    return run


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("method", list(METHODS))
@pytest.mark.other_cpu
def test_a_stop_and_resume_in_a_thread_changes_nothing(
    method: str, dtype: str, home: Path, tiny_model_dir: Path, rows: list[Any]
) -> None:
    expected = expected_of(method, tiny_model_dir, rows, dtype)
    model = load_for(method, tiny_model_dir, dtype)
    # So small a model may be through its 12 steps before anybody can stop it: after 7 forward passes, one or two of which
    # are a step, it waits for that to be asked.
    passes, asked = itertools.count(1), threading.Event()

    def hold(embeddings: torch.nn.Module, *_: Any) -> None:
        if embeddings.training and next(passes) > 7:  # kernels are looked at in evaluation mode
            assert asked.wait(60)

    hook = model.module.get_input_embeddings().register_forward_pre_hook(hold)
    run = model.train(rows, method=method, background=True, **OPTIONS, **METHODS[method])
    until(run, lambda s: s.step >= 3)
    stopping = run.stop()
    asked.set()
    stopping.wait(timeout=60)
    hook.remove()
    assert run.status == "stopped", run.traceback()
    assert 3 <= run.state.step < 12
    run.resume().wait(timeout=60)
    assert run.status == "succeeded", run.traceback()
    assert outcome(run) == expected


# That each method resumes exactly is shown in threads; of a kill it is enough to see one here.
@pytest.mark.parametrize(
    "method", ["lora", *(pytest.param(name, marks=pytest.mark.full) for name in ("qlora", "full"))]
)
def test_a_worker_killed_and_resumed_changes_nothing(
    method: str, home: Path, tiny_model_dir: Path, rows: list[Any]
) -> None:
    expected = expected_of(method, tiny_model_dir, rows)
    model = load_for(method, tiny_model_dir)
    run = model.train(rows, method=method, background=True, executor="process", **OPTIONS, **METHODS[method])
    # So small a model is through its steps before a reader hears of them, so it is told to wait before it begins.
    run.pause()
    paused = until(run, lambda s: s.status == "paused", timeout=120)
    assert 1 <= paused.step < 12
    os.kill(paused.launched["worker"]["pid"], signal.SIGKILL)
    until(run, lambda s: s.status == "interrupted")
    run.resume().wait(timeout=120)
    assert run.status == "succeeded", run.traceback()
    assert outcome(run) == expected
    assert model.trained == (run.id, 12)


# Where the worker kills itself: (what is about to happen, after which step).
MOMENTS = {
    "before any checkpoint": ("step", 1),
    "between a step and its checkpoint": ("checkpoint", 4),
    "inside a checkpoint's files": ("optimizer", 4),
    "before a checkpoint's rename": ("rename", 6),
    "in the middle of an epoch": ("step", 7),
}


@pytest.mark.parametrize("moment", list(MOMENTS))
def test_a_kill_at_each_kind_of_moment(
    moment: str, home: Path, tiny_model_dir: Path, rows: list[Any], tmp_path: Path
) -> None:
    expected = expected_of("lora", tiny_model_dir, rows)
    what, step = MOMENTS[moment]
    script = tmp_path / "worker.py"
    script.write_text(
        textwrap.dedent(f"""
        import os, signal, sys
        from pathlib import Path
        from shadownb.engine.backends.torch import training_state
        from shadownb.engine.runs.loop import Loop
        from shadownb.engine.runs.services import RunServices

        at = {{"step": 0}}
        def die(*a, **k):
            if at["step"] == {step}:
                os.kill(os.getpid(), signal.SIGKILL)

        after_step = Loop.report
        def report(self, *a, **k):
            after_step(self, *a, **k)
            at["step"] = self.step
            if {what!r} == "step":
                self.services.journal.flush()
                die()
        Loop.report = report
        if {what!r} == "checkpoint":
            save = RunServices.save
            RunServices.save = lambda self, *a, **k: (self.journal.flush(), die(), save(self, *a, **k))[-1]
        if {what!r} == "optimizer":
            real = training_state.save_optimizer
            training_state.save_optimizer = lambda *a: (real(*a), die())
        if {what!r} == "rename":
            rename = Path.rename
            Path.rename = lambda self, target: (die(), rename(self, target))[-1]
        import shadownb as snb
        rows = __import__("json").loads(sys.argv[2])
        model = snb.load(sys.argv[1], max_length=256, dtype="float32")
        model.train(rows, background=False, **{OPTIONS!r}, **{METHODS["lora"]!r})
        """)
    )
    import json

    done = subprocess.run(
        [sys.executable, str(script), str(tiny_model_dir), json.dumps(rows)], capture_output=True, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()[-2000:]
    run = snb.runs.latest()
    assert run.status == "interrupted"
    assert run.state.step == step
    run.resume().wait(timeout=120)
    assert run.status == "succeeded", run.traceback()
    assert outcome(run) == expected
    assert not list(run.folder.checkpoints.glob(".*")), "a half-written checkpoint was left"


def test_random_numbers_in_other_cells_change_nothing(home: Path, tiny_model_dir: Path, rows: list[Any]) -> None:
    expected = expected_of("lora", tiny_model_dir, rows)
    torch.manual_seed(5)
    undisturbed = torch.rand(2000)
    torch.manual_seed(5)
    model = load_for("lora", tiny_model_dir)
    torch.manual_seed(5)
    run = model.train(rows, background=True, **OPTIONS, **METHODS["lora"])
    mine = []
    while run.is_active:
        if len(mine) < 2000:
            mine.append(torch.rand(1))
    mine += [torch.rand(1) for _ in range(2000 - len(mine))]
    assert torch.equal(torch.cat(mine), undisturbed), "the run drew from, or reset, the user's generator"
    assert outcome(run) == expected


DAMAGE = {
    "missing": lambda file: file.unlink(),
    "truncated": lambda file: file.write_bytes(file.read_bytes()[: file.stat().st_size // 2]),
    "empty": lambda file: file.write_bytes(b""),
    "flipped": lambda file: file.write_bytes(bytes([file.read_bytes()[0] ^ 1]) + file.read_bytes()[1:]),
}


def test_every_kind_of_torn_checkpoint_falls_back(home: Path, tiny_model_dir: Path, rows: list[Any]) -> None:
    run = straight("lora", tiny_model_dir, rows)
    parent = run.folder.checkpoints
    newest = run.checkpoint_at().path
    kept = home / "kept"
    shutil.copytree(newest, kept)
    files = [path.relative_to(newest) for path in newest.rglob("*") if path.is_file()]
    assert len(files) >= 8
    for file in files:
        for kind, damage in DAMAGE.items():
            damage(newest / file)
            found, skipped = newest_valid(parent)
            assert found is not None and found.step == 10, f"{file} {kind}"
            assert len(skipped) == 1, f"{file} {kind}"
            shutil.rmtree(newest)
            shutil.copytree(kept, newest)
    assert newest_valid(parent)[0].step == 12


def test_resume_over_a_torn_checkpoint_says_so_and_is_exact(
    home: Path, tiny_model_dir: Path, rows: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = expected_of("lora", tiny_model_dir, rows)
    model = load_for("lora", tiny_model_dir)
    with monkeypatch.context() as patch:
        stop_after(patch, 7)
        run = model.train(rows, background=True, **OPTIONS, **METHODS["lora"]).wait(timeout=60)
    stopped_at = run.state.step
    assert stopped_at == 7
    torn = run.checkpoint_at().path / "training" / "optimizer.safetensors"
    torn.write_bytes(torn.read_bytes()[:100])
    run.resume().wait(timeout=60)
    assert run.status == "succeeded", run.traceback()
    assert outcome(run) == expected
    assert any(f"step-{stopped_at:06d}" in w["what"] for w in run.state.warnings)


def test_a_run_goes_on_in_another_process(
    home: Path, tiny_model_dir: Path, rows: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = expected_of("lora", tiny_model_dir, rows)
    model = load_for("lora", tiny_model_dir)
    with monkeypatch.context() as patch:
        stop_after(patch, 3)
        run = model.train(rows, background=True, **OPTIONS, **METHODS["lora"]).wait(timeout=60)
    code = f"import shadownb as snb; r = snb.runs.load({run.id!r}).resume(); r.wait(raise_on_failure=True)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
    assert run.status == "succeeded"
    assert outcome(run) == expected


def test_no_pickle_is_written(home: Path, tiny_model_dir: Path, rows: list[Any]) -> None:
    for method in METHODS:
        straight(method, tiny_model_dir, rows)
    written = {path.suffix for path in home.rglob("*") if path.is_file()}
    assert written <= {".json", ".jsonl", ".safetensors", ".yaml", ".jinja", ".lock", ".txt", ".log", ""}, written
