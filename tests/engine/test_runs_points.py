"""A stop at an evaluation point, after the last step, or in the middle of one: the resumed run is the one that was not stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import shadownb as snb
from shadownb.engine.objectives.dpo import Dpo
from shadownb.engine.runs import Run, commands
from shadownb.engine.runs.loop import Loop
from shadownb.engine.runs.services import RunServices
from shadownb.errors import CheckpointError
from tests.engine.methods_data import CASES

# The rate is so high that the evaluations of steps 4 and 6 are worse than that of step 2, which then is the result.
JUDGED: dict[str, Any] = {
    "background": True,
    "max_steps": 12,
    "save_steps": 2,
    "save_total_limit": 20,
    "lora_dropout": 0.2,
    "learning_rate": 3.0,
    "lora_r": 4,
    "sample_max_new_tokens": 2,
    "eval_steps": 2,
    "early_stopping_patience": 2,
    "load_best_model_at_end": True,
}


def judgement(run: Run) -> Any:
    assert run.status == "succeeded", run.error or run.traceback()
    evaluations = [(m["step"], m["eval_loss"]) for m in run.eval_metrics]
    result = run.result()
    assert result is not None
    shown = [(sample["step"], sample["items"]) for sample in run.samples()]
    return (
        [(m["loss"], m["grad_norm"]) for m in run.metrics],
        evaluations,
        shown,
        run.state.best,
        run.state.note,
        result.step,
        result.manifest["trained_sha256"],
    )


_undisturbed: dict[float, Any] = {}


def judgement_at(rate: float, folder: Path, rows: list[Any]) -> Any:
    """Return what a run with this rate comes to that nothing disturbs; each is trained once."""
    if rate not in _undisturbed:
        model = snb.load(str(folder), max_length=256, dtype="float32")
        run = model.train(rows, eval_dataset=rows[:6], **{**JUDGED, "learning_rate": rate})
        _undisturbed[rate] = judgement(run.wait(timeout=60))
    return _undisturbed[rate]


def stop_at(patch: pytest.MonkeyPatch, owner: Any, name: str, step: int) -> None:
    """Let every run get a stop as soon as the given method is called for a step."""
    inner = getattr(owner, name)

    def stopping(self: Any, *args: Any) -> Any:
        services, number = (self.services, self.step) if isinstance(self, Loop) else (self, args[0])
        if number == step:
            commands.send(services.folder.commands, "stop", save=True)
            services.control.poll()
        return inner(self, *args)

    patch.setattr(owner, name, stopping)


@pytest.mark.parametrize("moment", [(Loop, "report"), (Loop, "evaluate"), (RunServices, "sample")], ids=lambda m: m[1])
def test_a_stop_at_an_evaluation_point_loses_no_evaluation(
    moment: Any, home: Path, byte_model_dir: Path, rows: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = judgement_at(JUDGED["learning_rate"], byte_model_dir, rows)
    evaluations, result = expected[1], expected[5]
    assert [number for number, _ in evaluations] == [2, 4, 6]
    assert result == 2
    for step in (2, 4, 6):
        model = snb.load(str(byte_model_dir), max_length=256, dtype="float32")
        with monkeypatch.context() as patch:
            stop_at(patch, *moment, step)
            run = model.train(rows, eval_dataset=rows[:6], **JUDGED).wait(timeout=60)
        assert (run.status, run.step) == ("stopped", step), run.error or run.traceback()
        run.resume().wait(timeout=60)
        assert judgement(run) == expected
        assert model.trained == (run.id, 2)


def test_a_stop_after_the_last_step_resumes_to_no_further_one(
    home: Path, byte_model_dir: Path, rows: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {**JUDGED, "learning_rate": 1e-3}  # 12 steps of 5 an epoch: the last epoch is not whole
    expected = judgement_at(1e-3, byte_model_dir, rows)
    assert [number for number, _ in expected[1]] == [2, 4, 6, 8, 10, 12]
    for moment in ((Loop, "report"), (Loop, "evaluate"), (RunServices, "sample")):
        model = snb.load(str(byte_model_dir), max_length=256, dtype="float32")
        with monkeypatch.context() as patch:
            stop_at(patch, *moment, 12)
            run = model.train(rows, eval_dataset=rows[:6], **options).wait(timeout=60)
        assert (run.status, run.step) == ("stopped", 12), run.error or run.traceback()
        run.resume().wait(timeout=60)
        assert judgement(run) == expected


@pytest.mark.parametrize("rate", [1e-3, 3.0], ids=["all steps", "early"])
def test_a_kill_between_the_last_checkpoint_and_the_end_trains_nothing_more(
    rate: float, home: Path, byte_model_dir: Path, rows: list[Any]
) -> None:
    model = snb.load(str(byte_model_dir), max_length=256, dtype="float32")
    run = model.train(rows, eval_dataset=rows[:6], **{**JUDGED, "learning_rate": rate}).wait(timeout=60)
    expected = judgement(run)
    *before, end = run.folder.events.read_bytes().splitlines(keepends=True)
    assert b'"end"' in end
    run.folder.events.write_bytes(b"".join(before))
    again = snb.runs.load(run.id)
    assert again.status == "interrupted"
    again.resume().wait(timeout=60)
    assert judgement(again) == expected


def test_another_run_s_last_checkpoint_leaves_nothing_to_train(
    home: Path, byte_model_dir: Path, rows: list[Any]
) -> None:
    options = {"background": True, "num_train_epochs": 1, "sample_max_new_tokens": 0, "lora_r": 4}
    model = snb.load(str(byte_model_dir), max_length=256, dtype="float32")
    first = model.train(rows, **options).wait(timeout=60)
    model = snb.load(str(byte_model_dir), max_length=256, dtype="float32")
    run = model.train(rows, resume_from_checkpoint=first.id, **options).wait(timeout=60)
    assert run.status == "failed"
    assert isinstance(run.error, CheckpointError)
    assert "leave nothing to train" in run.error.what
    assert model.adapter is None


def test_a_stop_within_a_step_leaves_no_metric_of_it(
    home: Path, byte_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = CASES["dpo"]
    options = {"max_tokens_per_forward": 64}
    expected = case.train(case.load(byte_model_dir), **options).metrics
    loss, seen = Dpo.loss, []

    def stopping(self: Dpo, *args: Any, **kwargs: Any) -> Any:
        found = loss(self, *args, **kwargs)
        seen.append(1)
        if len(seen) == 6:  # in the second step, which has pieces left
            commands.send(snb.runs.latest().folder.commands, "stop", save=True)
        return found

    with monkeypatch.context() as patch:
        patch.setattr(Dpo, "loss", stopping)
        run = case.train(case.load(byte_model_dir), **options)
    assert (run.status, run.step) == ("stopped", 1), run.error or run.traceback()
    run.resume().wait(timeout=60)
    names = ("step", "loss", "grad_norm", "rewards_chosen", "rewards_rejected", "rewards_margin", "rewards_accuracy")
    assert [[m[name] for name in names] for m in run.metrics] == [[m[name] for name in names] for m in expected]
