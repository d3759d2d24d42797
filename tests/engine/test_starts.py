"""What a run starts from: the fresh base, the model as it is, or a saved result; and what says so."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

import shadownb as snb
from shadownb.errors import (
    BusyError,
    CheckpointError,
    ConfigError,
    MethodError,
    ModelError,
    OutOfMemoryError,
    ShadowWarning,
)
from tests.engine.conftest import until
from tests.tiny_models import biased

FAST: dict[str, Any] = {"background": False, "max_steps": 3, "learning_rate": 0.01, "sample_max_new_tokens": 0}
LONG: dict[str, Any] = {**FAST, "background": True, "max_steps": 500}


@pytest.fixture
def small(home: Path, byte_model_dir: Path) -> Any:
    return snb.load(str(byte_model_dir), dtype="float32", max_length=256)


def losses(run: Any) -> list[float]:
    return [row["loss"] for row in run.metrics if "loss" in row]


def base_weights(model: Any) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.weights.base_parameters().items()}


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(("method", "executor"), [("lora", "thread"), ("full", "thread"), ("bitfit", "process")])
def test_from_the_base_a_second_run_is_the_first_again(
    home: Path, byte_model_dir: Path, rows: list[Any], method: str, executor: str
) -> None:
    model = snb.load(str(biased(byte_model_dir)), dtype="float32", max_length=256)
    first = model.train(rows, method=method, **FAST)
    on = model.train(rows, method=method, start="trained", **FAST)
    again = model.train(rows, method=method, start="base", executor=executor, **FAST)
    assert losses(again) == losses(first) != losses(on)
    assert (first.parent, on.parent, again.parent) == (None, first.id, None)
    assert [run.started_from for run in (first, on, again)] == ["the base", f"step 3 of run {first.id}", "the base"]
    assert f"from step 3 of run {first.id}" in repr(on) and "from the base" in repr(again)
    assert model.trained == (again.id, 3) and model.verify_base()[0]


def test_another_method_can_begin_at_the_base_of_a_model_that_was_trained_whole(small: Any, rows: list[Any]) -> None:
    before = base_weights(small)
    small.train(rows, method="full", **FAST)
    with pytest.raises(MethodError):
        small.train(rows, method="lora", start="trained", **FAST)
    run = small.train(rows, method="lora", start="base", **FAST)
    assert run.status == "succeeded" and same(base_weights(small), before)


def test_the_result_of_any_run_can_be_started_from(small: Any, rows: list[Any], tmp_path: Path) -> None:
    first = small.train(rows, **FAST)
    small.save(tmp_path / "saved")
    on = small.train(rows, start="trained", **FAST)
    for start in (first, first.id, first.checkpoint):
        run = small.train(rows, start=start, **FAST)
        assert losses(run) == losses(on) and run.parent == first.id, start
    from_folder = small.train(rows, start=tmp_path / "saved", **FAST)
    assert losses(from_folder) == losses(on) and from_folder.started_from == f"the adapter in {tmp_path / 'saved'}"
    worker = small.train(rows, start=first.id, executor="process", **FAST)
    assert losses(worker) == losses(on) and worker.parent == first.id
    table = snb.runs.diff(first, on, from_folder)
    assert table.differences["start"] == ["the base", f"step 3 of run {first.id}", from_folder.started_from]
    assert f"step 3 of run {first.id}" in repr(snb.runs.diff(on, worker)), "shared by all, and not the base"
    assert "start" not in snb.runs.diff(first, small.train(rows, start="base", **FAST)).differences


def test_training_on_without_having_said_so_is_told(small: Any, rows: list[Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", ShadowWarning)
        first = small.train(rows, **FAST)
        small.train(rows, start="base", **FAST)
        snb.load(first.id, dtype="float32").train(rows, **FAST)  # whoever loads a result means it
    with pytest.warns(ShadowWarning, match=r"trains on from step 3 of run .*start='base' begins anew"):
        on = small.train(rows, **FAST)
    assert [warning["code"] for warning in on.state.warnings] == ["trained-on"]


def test_a_run_that_waits_starts_where_it_was_asked_to_when_its_turn_comes(small: Any, rows: list[Any]) -> None:
    first = small.train(rows, **{**LONG, "max_steps": 4})
    on = small.train(rows, start=first, **{**FAST, "background": True})
    again = small.train(rows, start="base", **{**LONG, "max_steps": 4})
    for run in (first, on, again):
        run.wait(timeout=120)
    assert on.started_from == f"step 4 of run {first.id}" and on.parent == first.id
    assert losses(again) == losses(first)


@pytest.mark.parametrize("start", ["base", "first"])
def test_a_run_that_keeps_nothing_leaves_the_model_as_it_found_it(small: Any, rows: list[Any], start: str) -> None:
    first = small.train(rows, **FAST)
    on = small.train(rows, start="trained", **FAST)
    weights = small.adapter.owned()
    before = {name: tensor.detach().clone() for name, tensor in weights.items()}
    run = small.train(rows, start="base" if start == "base" else first, **LONG)
    until(run, lambda state: state.step > 1)
    run.discard()
    run.wait(timeout=60)
    assert run.status == "discarded" and small.trained == (on.id, 3)
    assert same({name: tensor.detach() for name, tensor in small.adapter.owned().items()}, before)
    assert small.trained_on == on.trained_on


def test_what_would_lose_weights_is_refused(small: Any, rows: list[Any]) -> None:
    run = small.train(rows, **FAST)
    snb.runs.delete(run.id)
    with pytest.raises(ModelError, match=r"in memory only.*\n.*\n.*model\.save"):
        small.train(rows, start="base", **FAST)
    assert small.trained == (run.id, 3)
    copy = small.fresh_copy()
    assert copy.train(rows, **FAST).started_from == "the base" and small.trained == (run.id, 3)


def test_a_start_that_is_none_is_refused_before_anything_begins(
    small: Any, rows: list[Any], byte_model_dir: Path, tmp_path: Path
) -> None:
    first = small.train(rows, **FAST)
    known = [run.id for run in snb.runs.list()]
    for wrong in ("bsae", tmp_path, 3):
        with pytest.raises(ConfigError, match="nothing to start from"):
            small.train(rows, start=wrong, **FAST)
    with pytest.raises(ConfigError, match="resume_from_checkpoint"):
        small.train(rows, start="base", resume_from_checkpoint=first.id, **FAST)
    other = snb.load(str(biased(byte_model_dir)), dtype="float32")
    with pytest.raises(CheckpointError, match="another base"):
        other.train(rows, start=first, **FAST)
    assert [run.id for run in snb.runs.list()] == known
    going_on = small.train(rows, start="base", **LONG)
    with pytest.raises(BusyError):
        snb.load(str(byte_model_dir), dtype="float32").train(rows, start=going_on, executor="process", **FAST)
    going_on.discard()
    going_on.wait(timeout=60)


def test_a_fresh_copy_shares_nothing_and_is_refused_where_it_does_not_fit(
    small: Any, rows: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = base_weights(small)
    first = small.train(rows, **FAST)
    copy = small.fresh_copy()
    assert copy.trained is None and (copy.max_length, copy.dtype_name) == (256, "float32")
    copy.train(rows, method="full", **FAST)
    assert same(base_weights(small), before) and small.trained == (first.id, 3)
    monkeypatch.setattr("shadownb.engine.opening.free_memory_gb", lambda model: 0.0)
    with pytest.raises(OutOfMemoryError, match="start='base'"):
        small.fresh_copy()
