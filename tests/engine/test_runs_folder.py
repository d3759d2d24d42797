"""What a run's folder says to processes that did not launch it: which runs there are, and what their method was."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import shadownb as snb
from shadownb.engine import methods
from shadownb.engine.runs import Run, executors
from shadownb.engine.runs.liveness import launch_of
from shadownb.errors import ConfigError, MethodError, RunNotFoundError
from tests.engine.methods_data import OPTIONS, chats, stop_after

LORA = methods.get("lora")
STEPS: dict[str, Any] = {**OPTIONS, "lora_r": 2, "lr_scheduler_type": "constant"}


@pytest.fixture
def registry() -> Iterator[None]:
    """Puts LoRA back and takes away what a test registered."""
    known = {spec.name for spec in methods.available()}
    yield
    methods.register(LORA, replace=True)
    for spec in methods.available():
        if spec.name not in known:
            methods.unregister(spec.name)


def train(folder: Path, method: str = "lora", **options: Any) -> Run:
    model = snb.load(str(folder), max_length=256, dtype="float32")
    run = model.train(chats(), method=method, background=True, **{**STEPS, **options}).wait(timeout=120)
    assert run.error is None, run.traceback()
    return run


def rates(run: Run) -> list[float]:
    return [metrics["learning_rate"] for metrics in run.metrics]


# -- which runs there are -----------------------------------------------------------------------------------------------


def test_a_delete_that_was_killed_leaves_nothing_that_is_listed(home: Path, byte_model_dir: Path) -> None:
    killed, kept = train(byte_model_dir, max_steps=1), train(byte_model_dir, max_steps=1)
    left = killed.path.with_name(f".deleted-{killed.id}-1")
    killed.path.rename(left)
    assert [run.id for run in snb.runs.list()] == [kept.id]
    assert snb.runs.latest().id == kept.id
    for name in (killed.id, left.name):
        with pytest.raises(RunNotFoundError):
            snb.runs.load(name)
    snb.runs.delete(kept.id)
    assert list((home / "runs").iterdir()) == [], "the next delete takes away what the killed one left"


# -- what the method was ------------------------------------------------------------------------------------------------


def test_a_name_that_a_record_uses_is_free_to_register(home: Path, byte_model_dir: Path, registry: None) -> None:
    mine = methods.register(LORA.replace(name="mine", title="Mine", default_learning_rate=3e-3))
    run = train(byte_model_dir, "mine", max_steps=1)
    methods.unregister("mine")  # as in a kernel that was started again
    with pytest.raises(MethodError, match="mine"):
        methods.get("mine")

    (listed,) = snb.runs.list()
    assert "mine" in repr(snb.runs.list())
    assert listed.config.method == "mine" and listed.config.resolved_learning_rate() == 3e-3
    assert "mine" not in [spec.name for spec in methods.available()], "the picker shows what was registered here"
    changed = methods.register(mine.replace(default_learning_rate=1e-4))
    assert methods.get("mine") == changed
    assert snb.runs.load(run.id).config.method == "mine"
    assert methods.get("mine") == changed, "a record takes nothing away"
    with pytest.raises(MethodError, match="registered already"):
        methods.register(mine)


@pytest.mark.parametrize("executor", ["thread", "process"])
def test_a_built_in_that_was_replaced_trains_everywhere(
    executor: str, home: Path, byte_model_dir: Path, registry: None
) -> None:
    methods.register(LORA.replace(default_learning_rate=3e-3), replace=True)
    run = train(byte_model_dir, executor=executor, max_steps=2)
    assert rates(run) == [3e-3] * 2


def test_a_resume_trains_the_method_of_the_launch(
    home: Path, byte_model_dir: Path, registry: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    methods.register(LORA.replace(default_learning_rate=3e-3), replace=True)
    with monkeypatch.context() as patch:
        stop_after(patch, 2)
        run = train(byte_model_dir)
    assert (run.status, run.step) == ("stopped", 2)
    methods.register(LORA, replace=True)
    again = snb.runs.load(run.id)
    again.resume().wait(timeout=120)
    assert again.status == "succeeded", again.traceback()
    assert rates(again) == [3e-3] * 4
    assert methods.get("lora") == LORA, "what this kernel means by the name stays"
    assert rates(train(byte_model_dir, max_steps=1)) == [LORA.default_learning_rate]


def test_a_record_with_an_option_of_another_version_is_read(home: Path, byte_model_dir: Path) -> None:
    run = train(byte_model_dir)
    file = run.folder.path / "config.yaml"
    file.write_text(file.read_text() + "option_of_another_version: 4\n")
    found = snb.runs.load(run.id)
    assert found.config == run.config
    spec = run.folder.spec
    run.folder.write_spec({**spec, "given": [*spec["given"], "option_of_another_version"]})
    with pytest.raises(ConfigError, match="option_of_another_version=4 is not a training option"):
        _ = snb.runs.load(run.id).config


def test_a_run_that_ends_while_it_is_looked_at_is_not_interrupted(
    home: Path, byte_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = train(byte_model_dir)
    launch = launch_of(run.state)
    while executors.known_by(launch.executor).holds(run.path, launch):  # its thread ends just after the run
        time.sleep(0.01)
    lines = run.folder.events.read_bytes().splitlines(keepends=True)
    run.folder.events.write_bytes(b"".join(lines[:-1]))  # the owner is at its end
    found = snb.runs.load(run.id)

    def ends_and_lets_go(folder: Any) -> bool:
        run.folder.events.write_bytes(b"".join(lines))
        return False

    monkeypatch.setattr(type(run.folder), "is_owned", ends_and_lets_go)
    assert found.status == "succeeded"
    assert found.state.status == "succeeded"
