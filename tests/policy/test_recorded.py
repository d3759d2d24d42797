"""Scored attempts that were made before: every turn of them, compared within their group."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from shadownb.engine.objectives.policy import recorded
from shadownb.engine.runs import Run
from shadownb.engine.runs.loop import Loop
from shadownb.engine.trajectories import Trajectory, TrajectoryGroup
from shadownb.errors import ConfigError, DataError, MethodError, ShadowWarning

Train = Callable[..., Run]


def attempt(question: str, *answers: str, reward: float | None) -> Trajectory:
    messages = []
    for number, answer in enumerate(answers):
        messages += [{"role": "user", "content": f"{question} {number}"}, {"role": "assistant", "content": answer}]
    return Trajectory(messages, reward=reward)


def groups() -> list[TrajectoryGroup]:
    return [
        TrajectoryGroup(
            [
                attempt(f"n {n}", "one", "uno", reward=1.0),
                attempt(f"n {n}", "two", "due", reward=0.0),
                attempt(f"n {n}", "x", "y", reward=0.4),
            ]
        )
        for n in range(3)
    ]


def test_every_assistant_turn_is_trained_with_the_advantage_of_its_attempt(
    train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    compute = Loop.compute
    monkeypatch.setattr(
        Loop, "compute", lambda self, examples, step: seen.extend(examples) or compute(self, examples, step)
    )
    run = train(groups(), max_steps=3, **PLAIN)
    assert run.status == "succeeded", run.error or run.traceback()
    assert len(seen) == 3 * 4 - 3, "nine attempts in steps of four: the rest is a step, too"
    for example in seen:
        assert sum(row.predicted_tokens for row in example.rows) in (8, 4), (
            "both answers and their ends, a token a letter"
        )
        assert example.columns["advantage"] != 0


PLAIN: dict[str, Any] = {"num_generations": 8, "max_completion_length": 256, "per_device_train_batch_size": 4}


def test_the_first_ratio_is_one_to_the_model_as_the_run_found_it(train: Train) -> None:
    run = train(groups(), max_steps=3, beta=0.1, **PLAIN)
    assert run.metrics[0]["ratio"] == pytest.approx(1.0, abs=1e-4)
    assert run.metrics[0]["kl"] == pytest.approx(0.0, abs=1e-6)
    assert run.metrics[-1]["ratio"] != pytest.approx(1.0, abs=1e-4)


def test_it_is_told_once_when_attempts_are_pushed_away_further_than_others_can_be_pulled_closer(train: Train) -> None:
    few = train(groups(), max_steps=2, **PLAIN)
    assert not [w for w in few.state.warnings if w["code"] == "attempts-used-up"]
    many = train(groups(), max_steps=24, learning_rate=1e-2, **PLAIN)
    (warning,) = [w for w in many.state.warnings if w["code"] == "attempts-used-up"]
    assert min(each["ratio"] for each in many.metrics) < 0.8 and "below the bound of 0.8" in warning["what"]


def test_stored_log_probabilities_count_where_they_are_of_these_tokens(train: Train) -> None:
    rows = recorded.rows_of(groups())
    assert rows is not None
    plain = train(rows, max_steps=1, **PLAIN)
    found = [{**row, "old_logprobs": [-1.0] * 3} for row in rows]
    run = train(found, max_steps=1, **PLAIN)
    (warning,) = [w for w in run.state.warnings if w["code"] == "other-logprobs"]
    assert "9 of 9" in warning["what"] and run.losses() == plain.losses()
    counts = {"one": 4 + 4, "two": 4 + 4, "x": 2 + 2}  # letters, and the end of each turn
    fitting = [{**row, "old_logprobs": [-1.0] * counts[row["messages"][1]["content"]]} for row in rows]
    run = train(fitting, max_steps=1, **PLAIN)
    assert not [w for w in run.state.warnings if w["code"] == "other-logprobs"], run.state.warnings
    likelier = [{**row, "old_logprobs": [-0.001] * len(row["old_logprobs"])} for row in fitting]
    other = train(likelier, max_steps=3, **PLAIN)
    assert other.metrics[-1]["ratio"] < 0.5 and other.state.warnings == [], (
        "far from whoever gave them, not pushed away"
    )
    assert run.metrics[0]["ratio"] != pytest.approx(1.0, abs=1e-3)
    ignoring = train(fitting, max_steps=1, old_logprobs="recomputed", **PLAIN)
    assert ignoring.losses() == plain.losses()


def test_what_says_nothing_is_left_out_and_told(train: Train) -> None:
    flat = TrajectoryGroup([attempt("f", "a", reward=0.5), attempt("f", "b", reward=0.5)])
    with pytest.warns(ShadowWarning, match="1 attempts are left out"):
        unscored = TrajectoryGroup([*groups()[0].trajectories, attempt("n 0", "q", reward=None)])
        run = train([unscored, flat], max_steps=1, **PLAIN)
    assert run.status == "succeeded"
    (warning,) = [w for w in run.state.warnings if w["code"] == "no-advantage"]
    assert warning["what"].startswith("2 of 5 rows")


def test_what_cannot_be_meant_is_refused(load: Callable[[], Any]) -> None:
    model = load()
    flat = TrajectoryGroup([attempt("f", "a", reward=0.5), attempt("f", "b", reward=0.5)])
    with pytest.raises(DataError, match="nothing to learn"):
        model.train([flat], method="grpo")
    with pytest.raises(DataError, match="has both a reward and an answer"):
        model.train([TrajectoryGroup([attempt("f", "a", reward=None)])], method="grpo")
    with pytest.raises(DataError, match="compared with each other"):
        model.train(groups()[0].trajectories, method="grpo")
    with pytest.raises(ConfigError, match=r"temperature=0\.5 has no effect"):
        model.train(groups(), method="grpo", temperature=0.5)
    with pytest.raises(ConfigError, match="eval_dataset has no effect"):
        model.train(groups(), method="grpo", eval_dataset="auto")
    with pytest.raises((DataError, MethodError)):
        model.train(groups(), method="lora")


def test_attempts_resume_exactly(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    import shadownb as snb
    from tests.engine.methods_data import curve, stop_after

    straight = train(groups(), max_steps=3, beta=0.1, **PLAIN)
    with monkeypatch.context() as patch:
        stop_after(patch, 2)
        run = train(groups(), max_steps=3, beta=0.1, **PLAIN)
    again = snb.runs.load(run.id)
    again.resume().wait(timeout=60)
    assert again.status == "succeeded", again.error or again.traceback()
    assert curve(again) == curve(straight)
