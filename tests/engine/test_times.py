"""The time of a run: what is in its seconds, and what is not."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import shadownb as snb
from shadownb.engine.inference import WeightsGate
from shadownb.engine.objectives.reference import Referenced
from shadownb.engine.runs import clock
from tests.engine.methods_data import OPTIONS, chats, pairs, stop_after, verdicts

REFERENCE_S = 1000.0  # far more than all that a run does here takes


@pytest.fixture
def slow_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reference of a set of rows takes a thousand seconds, by the run's clock."""
    late = 0.0
    prepare = Referenced.prepare

    def slow(self: Any, *args: Any, **more: Any) -> None:
        nonlocal late
        late += 0.0 if self._resumed else REFERENCE_S  # a resume reads it from the checkpoint
        prepare(self, *args, **more)

    monkeypatch.setattr(clock, "time", SimpleNamespace(perf_counter=lambda: time.perf_counter() + late))
    monkeypatch.setattr(Referenced, "prepare", slow)


@pytest.mark.parametrize("method", ["dpo", "kto"])
def test_the_reference_is_counted_once_and_not_taken_for_a_step(
    method: str, home: Path, byte_model_dir: Path, slow_reference: None
) -> None:
    rows = pairs() if method == "dpo" else verdicts()
    model: Any = snb.load(str(byte_model_dir), max_length=256, dtype="float32")
    with pytest.MonkeyPatch.context() as patch:
        stop_after(patch, 4)
        options: dict[str, Any] = {**OPTIONS, "max_steps": 8, "save_steps": 4, "logging_steps": 1}
        run = model.train(rows, method=method, lora_r=4, background=False, **options)
    assert run.status == "stopped"
    run.resume(executor="thread").wait(timeout=60)
    assert run.status == "succeeded" and run.resumed
    for metrics in run.metrics:
        assert REFERENCE_S < metrics["elapsed_s"] < 1.5 * REFERENCE_S
        assert (metrics["eta_s"] or 0) < REFERENCE_S / 2 and metrics["tokens_per_s"] > 1
    assert REFERENCE_S < run.duration_s < 1.5 * REFERENCE_S
    assert run.steps_per_s == pytest.approx(8 / run.duration_s)
    assert REFERENCE_S < run.to_dict()["elapsed_s"] < 1.5 * REFERENCE_S


def test_the_reference_of_evaluation_rows_is_counted_too(
    home: Path, byte_model_dir: Path, slow_reference: None
) -> None:
    model: Any = snb.load(str(byte_model_dir), max_length=256, dtype="float32")
    run = model.train(pairs(), method="dpo", eval_dataset=pairs(2), lora_r=4, background=False, **OPTIONS)
    assert 2 * REFERENCE_S < run.duration_s < 2.5 * REFERENCE_S


def test_a_run_without_a_reference_has_none_in_its_time(home: Path, byte_model_dir: Path, slow_reference: None) -> None:
    model: Any = snb.load(str(byte_model_dir), max_length=256, dtype="float32")
    assert model.train(chats(), lora_r=4, background=False, **OPTIONS).duration_s < REFERENCE_S / 2


def test_waiting_and_pauses_are_left_out_also_before_the_first_step(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(clock, "time", SimpleNamespace(perf_counter=lambda: now))
    gate = WeightsGate()
    gate.yielded_seconds = 7.0  # of a run before this one
    counted = clock.RunClock(gate)
    counted.start()
    now, gate.yielded_seconds = 10.0, 10.0  # the reference took ten seconds, three of them behind an answer
    assert counted.elapsed() == 7
    with counted.not_counted():
        now = 110.0
    now += 5
    assert counted.elapsed() == 12
