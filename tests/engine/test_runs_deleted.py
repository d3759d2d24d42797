"""A run is deleted: what it taught stays in the model that is loaded, and no other run is left unable to go on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import shadownb as snb
from shadownb.engine.runs.job import load_model
from shadownb.errors import RunError
from tests.engine.conftest import until
from tests.engine.methods_data import CASES, Case, sha, stop_after


def trained_once(case: Case, folder: Path) -> tuple[Any, Any]:
    model = case.load(folder)
    return model, case.train(model, max_steps=2)


@pytest.mark.parametrize("name", ["lora", "full"])
def test_a_model_whose_run_is_gone_trains_on_and_resumes(
    name: str, home: Path, byte_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = CASES[name]
    straight = case.train(trained_once(case, byte_model_dir)[0])
    model, first = trained_once(case, byte_model_dir)
    before = sha(model)
    snb.runs.delete(first.id)
    with monkeypatch.context() as patch:
        stop_after(patch, 3)
        run = case.train(model)
    assert (run.status, run.step, run.parent) == ("stopped", 3, first.id), run.error or run.traceback()
    assert sha(load_model(run.folder)) == before
    again = snb.runs.load(run.id)
    again.resume().wait(timeout=120)
    assert again.status == "succeeded", again.error or again.traceback()
    assert again.checkpoint_at().manifest["trained_sha256"] == straight.checkpoint_at().manifest["trained_sha256"]


def test_a_worker_trains_on_from_a_run_that_is_gone(home: Path, byte_model_dir: Path) -> None:
    case = CASES["lora"]
    straight = case.train(trained_once(case, byte_model_dir)[0])
    model, first = trained_once(case, byte_model_dir)
    snb.runs.delete(first.id)
    run = case.train(model, executor="process")
    assert run.status == "succeeded", run.error or run.traceback()
    assert run.checkpoint_at().manifest["trained_sha256"] == straight.checkpoint_at().manifest["trained_sha256"]


def test_a_discard_goes_back_to_weights_whose_run_is_gone(home: Path, byte_model_dir: Path) -> None:
    case = CASES["full"]
    model, first = trained_once(case, byte_model_dir)
    before = sha(model)
    snb.runs.delete(first.id)
    run = model.train(case.rows, method="full", background=True, max_steps=5000, sample_max_new_tokens=0)
    until(run, lambda s: s.step >= 1)
    run.discard().wait(timeout=60)
    assert run.status == "discarded", run.error or run.traceback()
    assert sha(model) == before


def test_a_run_that_others_need_is_not_deleted(
    home: Path, byte_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = CASES["lora"]
    model, first = trained_once(case, byte_model_dir)
    with monkeypatch.context() as patch:
        stop_after(patch, 3)
        second = case.train(model)
    with pytest.raises(RunError, match=f"{second.id} .stopped. began with the result of {first.id}") as caught:
        snb.runs.delete(first.id)
    assert second.id in caught.value.fix
    second.resume().wait(timeout=120)
    assert second.status == "succeeded", second.error or second.traceback()
    snb.runs.delete(first.id)
    assert [run.id for run in snb.runs.list()] == [second.id]
    assert sha(snb.load(second.id)) == sha(model)


def test_a_checkpoint_that_others_started_from_is_not_pruned(
    home: Path, byte_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = CASES["lora"]
    model = case.load(byte_model_dir)
    with monkeypatch.context() as patch:
        stop_after(patch, 2)
        first = case.train(model, save_total_limit=1)
        second = case.train(model)
    assert (first.status, second.status) == ("stopped", "stopped")
    snb.runs.load(first.id).resume().wait(timeout=120)
    assert [c.step for c in first.checkpoints()] == [2, 4]
    before = sha(snb.load(str(first.checkpoint_at(2).path), dtype="float32"))
    assert sha(load_model(second.folder)) == before
