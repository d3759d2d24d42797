"""A step in shards: two processes come to the bits of one, and one shard is what there always was."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import shadownb as snb
from shadownb.engine import registry
from shadownb.engine.runs import commands
from shadownb.engine.runs.loop import Loop
from tests.engine.methods_data import OPTIONS, chats, pairs

SHORT: dict[str, Any] = {**OPTIONS, "max_steps": 4, "lora_r": 4, "background": False, "per_device_train_batch_size": 4}


@pytest.fixture
def torchrun(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("MASTER_PORT", str(free.getsockname()[1]))
    registry.register("executor", "torchrun", "tests.ports.torchrun_executor:TorchrunExecutor")
    yield "torchrun"
    registry.unregister("executor", "torchrun")


def load(folder: Path) -> Any:
    return snb.load(str(folder), dtype="float32", max_seq_length=256)


def sha(run: Any) -> str:
    assert run.status == "succeeded", run.error or (run.path / "torchrun.log").read_text()[-3000:]
    return str(run.checkpoint_at().manifest["trained_sha256"])


@pytest.mark.parametrize("method", ["lora", "dpo"])
def test_two_processes_are_one(method: str, home: Path, byte_model_dir: Path, torchrun: str) -> None:
    rows = chats() if method == "lora" else pairs()
    options = {**SHORT, "shards": 2, "method": method, "eval_dataset": rows[:4], "eval_steps": 2}
    one = load(byte_model_dir).finetune(rows, **options)
    two = load(byte_model_dir).finetune(rows, executor=torchrun, **options)
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
    straight = load(byte_model_dir).finetune(chats(), **options)
    report = Loop.report

    def stopping(loop: Loop, *numbers: Any) -> None:
        report(loop, *numbers)
        if loop.step == 3:
            commands.send(loop.services.folder.commands, "stop", save=True)

    with monkeypatch.context() as patch:
        patch.setattr(Loop, "report", stopping)
        run = load(byte_model_dir).finetune(chats(), **options)
    assert (run.status, run.step) == ("stopped", 3)
    run.resume(executor=torchrun).wait(timeout=120)
    assert sha(run) == sha(straight)
    assert run.losses() == straight.losses()


@pytest.mark.parametrize("shards", [2, 3, 5])
def test_shards_change_nothing_but_rounding(home: Path, byte_model_dir: Path, shards: int) -> None:
    """Five shards of four rows: one of them is empty."""
    whole, parts = (load(byte_model_dir).finetune(chats(), shards=n, **SHORT) for n in (1, shards))
    assert parts.losses() == pytest.approx(whole.losses(), rel=1e-5)
    assert parts.config.shards == shards
    assert json.loads((parts.path / "run.json").read_text())
