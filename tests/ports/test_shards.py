"""A step in shards: two processes come to the bits of one, and one shard is what there always was."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import shadownb as snb
from shadownb import methods
from shadownb.engine import registry
from shadownb.engine.runs import commands, executors
from shadownb.engine.runs.loop import Loop
from tests.engine.methods_data import OPTIONS, chats, pairs, verdicts

SHORT: dict[str, Any] = {**OPTIONS, "max_steps": 4, "lora_r": 4, "background": False, "per_device_train_batch_size": 4}


@pytest.fixture
def torchrun(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("MASTER_PORT", str(free.getsockname()[1]))
    registry.register("executor", "torchrun", "tests.ports.torchrun_executor:TorchrunExecutor")
    yield "torchrun"
    registry.unregister("executor", "torchrun")


def load(folder: Path, **options: Any) -> Any:
    return snb.load(str(folder), **{"dtype": "float32", "max_length": 256, **options})


def sha(run: Any) -> str:
    assert run.status == "succeeded", run.error or (run.path / "torchrun.log").read_text()[-3000:]
    return str(run.checkpoint_at().manifest["trained_sha256"])


CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "lora": ({}, {}),
    "dpo": ({}, {}),
    "full": ({"lora_r": 16}, {"dtype": "bfloat16"}),  # moved by 32-bit copies
    "prompt": ({"lora_r": 16}, {}),
    "qlora": ({}, {"quantize": "4bit"}),
    "kto": ({"lora_dropout": 0.1}, {}),
}


@pytest.mark.parametrize(
    "method",
    ["lora", "full", *(pytest.param(name, marks=pytest.mark.full) for name in ("dpo", "prompt", "qlora", "kto"))],
)
def test_two_processes_are_one(method: str, home: Path, byte_model_dir: Path, torchrun: str) -> None:
    if method == "qlora":
        pytest.importorskip("bitsandbytes")
    rows = {"dpo": pairs, "kto": verdicts}.get(method, chats)()
    more, loading = CASES[method]
    options = {**SHORT, "shards": 2, "method": method, "eval_dataset": rows[:4], "eval_steps": 2, **more}
    one = load(byte_model_dir, **loading).train(rows, **options)
    two = load(byte_model_dir, **loading).train(rows, executor=torchrun, **options)
    assert sha(two) == sha(one)
    assert two.losses() == one.losses() and two.eval_loss == one.eval_loss
    assert [m["grad_norm"] for m in two.metrics] == [m["grad_norm"] for m in one.metrics]
    assert (one.state.record["actual_setup"]["processes"], two.state.record["actual_setup"]["processes"]) == (1, 2)
    attempts = [event for event in two.events() if event["type"] == "attempt"]
    assert len(attempts) == 1, "the first process alone writes the journal"


def test_a_stop_ends_both_and_a_resume_is_exact(
    home: Path, byte_model_dir: Path, torchrun: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {**SHORT, "shards": 2, "max_steps": 6}
    straight = load(byte_model_dir).train(chats(), **options)
    report = Loop.report

    def stopping(loop: Loop, *numbers: Any) -> None:
        report(loop, *numbers)
        if loop.step == 3:
            commands.send(loop.services.folder.commands, "stop", save=True)

    with monkeypatch.context() as patch:
        patch.setattr(Loop, "report", stopping)
        run = load(byte_model_dir).train(chats(), **options)
    assert (run.status, run.step) == ("stopped", 3)
    run.resume(executor=torchrun).wait(timeout=120)
    assert sha(run) == sha(straight)
    assert run.losses() == straight.losses()


@pytest.mark.parametrize(
    ("rank", "step", "place"),
    [(0, 2, "loss"), (1, 2, "loss"), (1, 1, "begin"), pytest.param(1, 0, "prepare", marks=pytest.mark.full)],
)
def test_where_one_fails_all_end(
    rank: int, step: int, place: str, home: Path, byte_model_dir: Path, torchrun: str
) -> None:
    """In the middle of a step the others wait for its gradients: they would wait for as long as a pause may take."""
    registry.register("objective", "toy_failing", "tests.ports.toy_objectives:Failing")
    methods.register(methods.get("lora").replace(name="failing", objective="toy_failing"))
    try:
        options = {**SHORT, "shards": 2, "fail_rank": rank, "fail_step": step, "fail_in": place, "save_steps": 1}
        model = load(byte_model_dir)
        run = model.train(chats(), method="failing", executor=torchrun, **{**options, "background": True})
        launcher = executors.chosen(torchrun).started
        assert launcher.wait(timeout=120) == 0, (run.path / "torchrun.log").read_text()[-3000:]
        with pytest.raises(ProcessLookupError):
            os.killpg(launcher.pid, 0)  # it began a session of its own: nobody of that is left
        assert (run.status, run.step) == ("failed", step)
        assert "ZeroDivisionError" in run.error.what
        assert ("Process 2 of 2" in run.error.what) == (rank == 1)
        assert "ZeroDivisionError" in (run.path / "torchrun.log").read_text() or rank == 0
        if rank == 1:
            run.resume(model, executor="thread").wait(timeout=60, raise_on_failure=True)
    finally:
        methods.unregister("failing")
        registry.unregister("objective", "toy_failing")


@pytest.mark.parametrize("shards", [2, 3, 5])
def test_shards_change_nothing_but_rounding(home: Path, byte_model_dir: Path, shards: int) -> None:
    """Five shards of four rows: one of them is empty."""
    whole, parts = (load(byte_model_dir).train(chats(), shards=n, **SHORT) for n in (1, shards))
    assert parts.losses() == pytest.approx(whole.losses(), rel=1e-5)
    assert parts.config.shards == shards
    assert json.loads((parts.path / "run.json").read_text())
