"""Distillation as a user meets it: a student comes to say what its teacher says, and whatever cannot be compared is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import shadownb as snb
from shadownb.engine.objectives.policy.kept import KeptAnswers
from shadownb.engine.objectives.teaching.source import TaughtAnswers
from shadownb.engine.runs import Run
from shadownb.engine.runs.loop import Loop
from shadownb.errors import CheckpointError, ConfigError, DataError, MethodError
from tests.engine.methods_data import stop_after
from tests.teaching.conftest import OPTIONS, ROWS

Load = Callable[..., Any]


def distilled(model: Any, rows: Any = None, **options: Any) -> Run:
    run: Run = model.train(
        ROWS if rows is None else rows, **{"method": "distill", **OPTIONS, **options}, background=True
    ).wait(timeout=120)
    return run


def ended(run: Run) -> Run:
    assert run.status == "succeeded", run.error or run.traceback()
    return run


def codes(run: Run) -> list[str]:
    return [event["code"] for event in run.events() if event["type"] == "warning"]


@pytest.mark.parametrize(
    "options",
    [{}, {"lmbda": 1.0, "beta": 1.0, "loss_top_k": 0}, {"lmbda": 0.0, "beta": 0.0, "seq_kd": True, "sft_weight": 0.5}],
    ids=["mixed", "on-policy", "off-policy"],
)
def test_a_student_comes_to_say_what_its_teacher_says(load: Load, options: dict[str, Any]) -> None:
    student, teacher = load(), load("teacher")
    before = {student.generate("Number 3?", max_new_tokens=8, temperature=1.0, seed=seed) for seed in range(8)}
    run = ended(distilled(student, teacher=teacher, max_steps=25, learning_rate=5e-3, eval_dataset=ROWS[:4], **options))
    assert len(before) > 1, "the student knew no better before"
    assert {student.generate("Number 3?", max_new_tokens=8, temperature=1.0, seed=seed) for seed in range(8)} == {
        "even"
    }
    kl = [metrics["eval_reverse_kl"] for metrics in run.eval_metrics]
    assert abs(kl[-1]) < 0.1 and run.eval_metrics[-1]["eval_loss"] == pytest.approx(kl[-1], abs=1e-5)
    assert run.metrics[-1]["on_policy"] == options.get("lmbda", 0.5)
    assert run.metrics[-1]["divergence"] < 0.2 * run.metrics[0]["divergence"]
    if run.metrics[-1]["on_policy"]:
        shown = run.completions(25)[0]["completions"][0]
        assert shown["completion"] == "even" and "nats a token" in shown["reasons"]["teacher"]


def test_the_loss_is_the_divergence_of_both_models_on_the_very_tokens_that_were_sampled(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over the whole vocabulary, computed plainly from the logits of both."""
    torch = pytest.importorskip("torch")
    sampled: list[list[int]] = []
    add, compute = KeptAnswers.add, Loop.compute
    seen: list[Any] = []

    def noting(self: Any, rollout: Any) -> None:
        sampled.append(rollout.completion.token_ids)
        add(self, rollout)

    def looking(self: Any, examples: Any, step: int) -> float:
        seen.extend(examples)
        return compute(self, examples, step)

    monkeypatch.setattr(KeptAnswers, "add", noting)
    monkeypatch.setattr(Loop, "compute", looking)
    teacher = load("teacher")
    run = ended(distilled(load(), teacher=teacher, max_steps=1, beta=0.3, loss_top_k=0, lmbda=0.5, temperature=0.8))
    own = [e for e in seen if e.columns["on_policy"]]
    assert sorted(sampled) == sorted([label for label in e.rows[0].labels if label >= 0] for e in own) and len(own) == 2
    student = load()  # as it was before the step
    total, count = 0.0, 0
    for example in seen:
        row = example.rows[0]
        at = [place - 1 for place, label in enumerate(row.labels) if label >= 0]
        with torch.no_grad():
            p, q = (
                (m.module.eval()(input_ids=torch.tensor([row.input_ids])).logits[0, at].double() / 0.8).softmax(-1)
                for m in (student, teacher)
            )
        m = 0.7 * p + 0.3 * q
        total += float((0.3 * q * (q / m).log() + 0.7 * p * (p / m).log()).sum())
        count += len(at)
    assert run.losses()[0] == pytest.approx(total / count, rel=1e-4)
    top = ended(distilled(load(), teacher=teacher, max_steps=1, beta=0.3, loss_top_k=250, lmbda=0.5, temperature=0.8))
    assert top.losses()[0] == pytest.approx(total / count, rel=1e-3), "what is beyond the likeliest is next to nothing"


@pytest.mark.parametrize("stop", [1, 3])
def test_a_run_goes_on_to_the_same_weights(load: Load, stop: int, monkeypatch: pytest.MonkeyPatch) -> None:
    teacher = load("teacher")
    options = {"teacher": teacher, "seq_kd": True, "save_steps": 1}
    straight = ended(distilled(load(), **options))
    with monkeypatch.context() as patch:
        stop_after(patch, stop)
        run = distilled(load(), **options)
    assert (run.status, run.step) == ("stopped", stop)
    ended(run.resume(load(), executor="thread").wait(timeout=120))
    assert run.losses() == straight.losses()
    assert [m["completion_length"] for m in run.metrics] == [m["completion_length"] for m in straight.metrics]


def test_answers_that_were_there_when_a_run_was_stopped_inside_a_step_are_not_given_again(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"teacher": load("teacher"), "lmbda": 1.0}
    straight = ended(distilled(load(), **options))
    teach, kept = TaughtAnswers._with_teacher, []

    def stopping(self: TaughtAnswers, examples: Any) -> Any:
        kept.append(len(examples))
        if len(kept) == 3:
            snb.runs.load(snb.runs.list()[0].id).stop()
            self._run.check()
        return teach(self, examples)

    with monkeypatch.context() as patch:
        patch.setattr(TaughtAnswers, "_with_teacher", stopping)
        run = distilled(load(), **options)
    assert (run.status, run.step) == ("stopped", 2)
    added: list[Any] = []
    monkeypatch.setattr(KeptAnswers, "add", lambda self, rollout: added.append(rollout) or _add(self, rollout))
    ended(run.resume(load(), executor="thread").wait(timeout=120))
    assert run.losses() == straight.losses() and len(added) == 4, (
        "the third step's four were kept, the fourth's are new"
    )


_add = KeptAnswers.add


def test_another_teacher_is_refused_where_a_run_goes_on(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        stop_after(patch, 1)
        run = distilled(load(), teacher=load("teacher"))
    again = run.resume(load(), teacher=load("student"), executor="thread").wait(timeout=120)
    with pytest.raises(
        CheckpointError, match="learned from the teacher 'teacher', and the teacher 'student' is another"
    ):
        again.raise_error() if hasattr(again, "raise_error") else again.wait(raise_on_failure=True)
    ended(run.resume(load(), teacher=load("teacher"), executor="thread").wait(timeout=120))


def test_a_teacher_with_other_tokens_is_refused_by_name(load: Load, folders: dict[str, Path], tmp_path: Path) -> None:
    """trl#4561: of the same size, with two tokens exchanged."""
    other = tmp_path / "exchanged"
    shutil.copytree(folders["teacher"], other)
    file = other / "tokenizer.json"
    told = json.loads(file.read_text())
    vocabulary = told["model"]["vocab"]
    vocabulary["a"], vocabulary["b"] = vocabulary["b"], vocabulary["a"]
    file.write_text(json.dumps(told))
    run = distilled(load(), teacher=str(other))
    assert run.status == "failed" and run.error is not None
    assert "The teacher" in str(run.error) and "another tokenizer" in str(run.error) and "2 differ" in str(run.error)


def test_what_cannot_teach_is_refused_before_anything_starts(load: Load) -> None:
    student = load()
    for options, error, match in (
        ({}, ConfigError, "needs a teacher"),
        ({"teacher_model": "x", "teacher": "smollm2-135m"}, ConfigError, "teacher_model='x'"),
        ({"teacher": 3}, ConfigError, "teacher=3 is neither"),
        ({"teacher": "x", "lmbda": 1.5}, ConfigError, "lmbda=1.5"),
        ({"teacher": "x", "reward_fns": ["exact"]}, ConfigError, "reward_fns.* has no effect"),
        ({"teacher": load("teacher"), "executor": "process"}, ConfigError, r"teacher=\[.*\] cannot be called in"),
    ):
        with pytest.raises(error, match=match):
            student.train(ROWS, **{**OPTIONS, "method": "distill", **options})
    with pytest.raises(MethodError, match="cannot be used here"):
        student.train([{"text": "a b"}], method="distill", teacher="x")
    assert not snb.runs.list()
    run = distilled(student, teacher=student)
    assert "very model that is trained" in str(run.error)


def test_a_teacher_that_was_loaded_for_the_run_is_freed(load: Load, folders: dict[str, Path]) -> None:
    made: list[Any] = []
    from shadownb.engine.teachers.local import LocalTeacher

    loaded = LocalTeacher._loaded
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LocalTeacher, "_loaded", lambda self, name: made.append(loaded(self, name)) or made[-1])
        ended(distilled(load(), teacher=str(folders["teacher"]), max_steps=1))
    assert len(made) == 1 and not made[0].is_loaded
    mine = load("teacher")
    ended(distilled(load(), teacher=mine, max_steps=1))
    assert mine.is_loaded, "one that was given is its owner's"


def test_rows_with_a_teachers_probabilities_need_nobody_to_ask(load: Load) -> None:
    student, teacher = load(), load("teacher")
    from shadownb.engine.objectives import examples
    from shadownb.engine.objectives.teaching.teacher import narrowed

    rows = []
    for row, canonical in zip(ROWS, snb.Dataset.from_list(ROWS).canonical_rows(), strict=True):
        sequence = examples(student.renderer, canonical)[0].rows[0]
        ((_, targets, logs),) = teacher.backend.distributions(teacher, [sequence], "tuned")
        said = narrowed(logs, targets, 8, 1.0)
        rows.append({**row, "teacher_ids": said.ids.tolist(), "teacher_logprobs": said.logs.tolist()})
    asked = ended(distilled(load(), teacher=teacher, lmbda=0.0, loss_top_k=8))
    given = ended(distilled(load(), rows, lmbda=0.0))
    assert given.losses() == pytest.approx(asked.losses(), rel=1e-4)
    with pytest.raises(ConfigError, match=r"lmbda=0\.5 asks for the student's own answers"):
        distilled(load(), rows)
    broken = [{**rows[0], "teacher_ids": rows[0]["teacher_ids"][:-1]}, *rows[1:]]
    run = distilled(load(), broken, lmbda=0.0)
    assert "rows-skipped" in codes(ended(run))
    told = next(event for event in run.events() if event["type"] == "warning")
    assert "teacher_ids and teacher_logprobs do not have as many numbers" in told["why"]
    impossible = [{**row, "teacher_logprobs": np.ones_like(row["teacher_logprobs"]).tolist()} for row in rows]
    run = distilled(load(), impossible, lmbda=0.0)
    assert isinstance(run.error, DataError) or "no log-probabilities" in str(run.error)


def test_short_answers_raise_the_alarm(load: Load) -> None:
    long = [
        {"messages": [row["messages"][0], {"role": "assistant", "content": "even, as I said before"}]} for row in ROWS
    ]
    run = ended(distilled(load(), long, teacher=load("teacher"), max_steps=4))
    assert codes(run) == ["answers-short"], "it was short from the beginning, so it may go on"
    told = next(event for event in run.events() if event["type"] == "warning")
    assert "the teacher's have 23" in told["what"]


@pytest.mark.full
def test_a_worker_process_loads_the_teacher_by_its_name(load: Load, folders: dict[str, Path]) -> None:
    here = ended(distilled(load(), teacher=str(folders["teacher"])))
    there = ended(distilled(load(), teacher=str(folders["teacher"]), executor="process"))
    assert there.losses() == here.losses()
