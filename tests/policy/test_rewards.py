"""What a reward may do wrong, and what a run makes of it: a typed error at first, else a skip that is counted and told."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import pytest

import shadownb as snb
from shadownb.engine import functions
from shadownb.engine.runs import Run
from shadownb.errors import ConfigError, DataError
from tests.policy.conftest import OPTIONS, ROWS
from tests.policy.scorers import shortness, vowels

Train = Callable[..., Run]


def warned(run: Run, code: str) -> list[dict[str, Any]]:
    return [warning for warning in run.state.warnings if warning["code"] == code]


def raises(prompts: Any, completions: Any, **columns: Any) -> Any:
    raise ZeroDivisionError("nobody divides by this")


def hangs(prompts: Any, completions: Any, **columns: Any) -> Any:
    while True:
        time.sleep(0.01)


def too_few(prompts: Any, completions: Any, **columns: Any) -> Any:
    return [1.0] * (len(completions) - 1)


def nan(prompts: Any, completions: Any, **columns: Any) -> Any:
    return [math.nan] * len(completions)


def none(prompts: Any, completions: Any, **columns: Any) -> Any:
    return None


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (raises, "ZeroDivisionError: nobody divides by this"), (hangs, "longer than 0.3 s"), (nan, "nan"),
        (too_few, "3 values for 4 answers"), (none, "returned None"),
    ],
)  # fmt: skip
def test_one_that_never_works_ends_the_run_at_its_first_batch(train: Train, function: Any, told: str) -> None:
    run = train(reward_fns=[function], reward_timeout=0.3 if function is hangs else 60)
    assert run.status == "failed" and run.step == 0
    assert run.error is not None and function.__name__ in run.error.what and told in run.error.why
    assert run.error.fix


@pytest.mark.parametrize("wrong", [None, math.nan, "raise"])
def test_one_that_fails_now_and_then_is_left_out_and_counted(train: Train, wrong: Any) -> None:
    """trl#5902: an answer without a reward is in no mean, and its advantage is 0."""
    calls: list[int] = []

    def moody(prompts: Any, completions: Any, **columns: Any) -> Any:
        calls.append(len(completions))
        if wrong == "raise" and len(calls) % 2:
            raise ValueError("a bad day")
        return [
            wrong if wrong != "raise" and place == 1 else float(len(said)) for place, said in enumerate(completions)
        ]

    run = train(reward_fns=[moody, vowels])
    assert run.status == "succeeded", run.error
    (warning,) = warned(run, "reward-failed")
    assert warning["what"].startswith("moody gave no reward for ")
    assert all(metrics["unscored"] >= 2 for metrics in run.metrics)
    answers = [answer for group in run.completions() for answer in group["completions"]]
    assert any(answer["rewards"]["moody"] is None and answer["reasons"]["moody"] for answer in answers)
    assert all(answer["reward"] is not None for answer in answers), "the other scorer had its say"

    alone = train(reward_fns=[moody])
    if wrong != "raise":
        unscored = [a for g in alone.completions() for a in g["completions"] if a["reward"] is None]
        assert len(unscored) == 2 and all(answer["advantage"] == 0.0 for answer in unscored)
        assert alone.status == "succeeded"


def test_equal_rewards_everywhere_change_nothing_and_are_told(train: Train) -> None:
    def same(prompts: Any, completions: Any, **columns: Any) -> list[float]:
        return [1.0] * len(completions)

    run = train(reward_fns=[same], max_steps=4)
    assert run.status == "succeeded"
    assert [metrics["frac_reward_zero_std"] for metrics in run.metrics] == [1.0] * 4
    assert all(metrics["grad_norm"] == 0.0 for metrics in run.metrics)
    assert len(warned(run, "no-spread")) == 1 and "graded" in warned(run, "no-spread")[0]["fix"]


def test_a_base_that_scores_nothing_is_told_to_imitate_first(train: Train) -> None:
    run = train(reward_fns=[lambda prompts, completions: [0.0] * len(completions)], max_steps=5)
    (warning,) = warned(run, "no-reward")
    assert "0.000" in warning["what"] and "method='lora'" in warning["fix"]


# -- before anything starts -------------------------------------------------------------------------------------------


def test_options_that_cannot_be_right_are_refused_by_name(load: Callable[[], Any]) -> None:
    model = load()
    for options, told in (
        ({"reward_fns": []}, "needs reward_fns"),
        ({"reward_fns": ["vowel_counter"]}, "vowel_counter"),
        ({"reward_fns": [3]}, "reward_fns=3 cannot be called"),
        ({"reward_fns": ["exact"]}, "expected answer"),
        ({"num_generations": 1}, "num_generations=1"),
        ({"reward_weights": [1.0, 2.0]}, "reward_weights"),
        ({"delta": 1.1}, "delta=1.1"),
        ({"loss_type": "ppo"}, "loss_type='ppo'"),
        ({"old_logprobs": "stored", "temperature": 0.7}, "temperature=0.7"),
    ):
        with pytest.raises(ConfigError, match=told.replace("(", r"\(")):
            model.train(ROWS, **{**OPTIONS, "reward_fns": [vowels], **options})
    with pytest.raises(ConfigError, match="is for grpo"):
        model.train([{"prompt": "a", "completion": "b"}], method="lora", num_generations=4)
    assert snb.runs.list() == []


def test_one_answer_a_prompt_is_enough_against_the_whole_batch(train: Train) -> None:
    run = train(method="reinforce_pp", num_generations=1, per_device_train_batch_size=4)
    assert run.status == "succeeded" and run.metrics[-1]["grad_norm"] > 0


def test_prompts_longer_than_the_context_are_skipped_aloud(train: Train, load: Callable[[], Any]) -> None:
    long = {"prompt": "Number " + "9" * 400, "number": 9}
    run = train([*ROWS, long], reward_fns=[vowels], max_steps=1)
    (warning,) = warned(run, "rows-skipped")
    assert (
        run.status == "succeeded" and warning["what"].startswith("1 of 9 rows") and "leaves no room" in warning["why"]
    )
    run = train([long], reward_fns=[vowels])
    assert run.status == "failed" and isinstance(run.error, DataError)
    run = train([{"prompt": "Number " + "9" * 200}], reward_fns=[vowels], max_completion_length=60, max_steps=1)
    assert "max_completion_length=60" in warned(run, "answers-cut")[0]["what"]


def test_a_function_of_a_cell_is_refused_by_a_worker_with_the_fix(
    load: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    import __main__

    def from_a_cell(prompts: Any, completions: Any, **columns: Any) -> list[float]:
        return vowels(prompts, completions)

    monkeypatch.setattr(__main__, "from_a_cell", from_a_cell, raising=False)
    model = load()
    for given in (from_a_cell, "from_a_cell", lambda prompts, completions: [0.0] * len(completions)):
        with pytest.raises(ConfigError, match="a worker process") as caught:
            model.train(ROWS, executor="process", **{**OPTIONS, "reward_fns": [given]})
        assert "%%writefile" in caught.value.fix
    run = model.train(ROWS, background=False, **{**OPTIONS, "reward_fns": ["from_a_cell"], "max_steps": 1})
    assert run.config.reward_fns == ("__main__:from_a_cell",)


def test_a_resume_finds_a_function_of_a_cell_or_asks_for_it(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.engine.methods_data import stop_after

    def anonymous(prompts: Any, completions: Any) -> list[float]:
        return vowels(prompts, completions)

    with monkeypatch.context() as patch:
        stop_after(patch, 1)
        run = train(reward_fns=[anonymous])
    assert run.status == "stopped"
    (name,) = run.config.reward_fns
    monkeypatch.delitem(functions._objects, name)  # as in another kernel
    with pytest.raises(ConfigError, match=r"run.resume\(reward_fns="):
        run.resume()
    with pytest.raises(ConfigError, match="2 entries"):
        run.resume(reward_fns=[vowels, vowels])
    assert run.resume(reward_fns=[vowels]).wait(timeout=60).status == "succeeded"


# -- what scorers are shown -------------------------------------------------------------------------------------------


def test_prompts_and_answers_come_in_the_form_of_the_rows_with_every_column(train: Train) -> None:
    seen: list[tuple[Any, Any, Any]] = []

    def looking(prompts: Any, completions: Any, number: Any, notes: Any, **more: Any) -> list[float]:
        seen.append((prompts[0], completions[0], (number[0], notes[0], sorted(more))))
        return [float(n) for n in range(len(completions))]

    beside = {"number": 7, "notes": "Some text that no reader of rows would know what to do with."}
    train([{"prompt": "Number 1?", **beside}], reward_fns=[looking], max_steps=1)
    train([{"prompt": [{"role": "user", "content": "Number 1?"}], **beside}], reward_fns=[looking], max_steps=1)
    train(
        snb.Dataset.from_list([{"prompt": "Number 1?", "answer": "one", **beside}]), reward_fns=[looking], max_steps=1
    )
    text, messages, answered = seen
    of_answers = ["completion_ids", "finish_reason"]
    assert text[0] == "Number 1?" and isinstance(text[1], str) and text[2] == (7, beside["notes"], of_answers)
    assert messages[0] == [{"role": "user", "content": "Number 1?"}] and messages[1][0]["role"] == "assistant"
    assert answered[0] == "Number 1?" and answered[2] == (7, beside["notes"], ["answer", *of_answers])


def test_scorers_by_name_object_and_function_are_summed_by_their_weights(train: Train) -> None:
    rows = [{"prompt": "Number 1?", "answer": "a"}] * 2
    run = train(rows, reward_fns=["exact", snb.Exact(), shortness], reward_weights=[1.0, 1.0, 0.5], max_steps=1)
    (group, _) = run.completions()
    for answer in group["completions"]:
        assert set(answer["rewards"]) == {"exact", "exact_2", "shortness"}
        assert answer["reward"] == pytest.approx(answer["rewards"]["exact"] * 2 + 0.5 * answer["rewards"]["shortness"])
    assert set(run.metrics[0]) >= {"rewards_exact", "rewards_shortness", "rewards_shortness_std", "reward", "reward_std", "entropy",
                                   "completion_length", "clipped_ratio", "frac_reward_zero_std", "ratio", "clip_ratio", "rollout_s",
                                   "update_s"}  # fmt: skip


def test_evaluation_rows_are_answered_and_the_best_reward_is_kept(train: Train) -> None:
    run = train(
        max_steps=4, eval_dataset=[{"prompt": "Number 9?", "number": 9}] * 2, eval_steps=1, load_best_model_at_end=True
    )
    assert run.status == "succeeded"
    rewards = [evaluation["eval_reward"] for evaluation in run.eval_metrics]
    assert [evaluation["eval_loss"] for evaluation in run.eval_metrics] == pytest.approx(
        [-reward for reward in rewards]
    )
    best = rewards.index(max(rewards)) + 1
    assert run.result() is not None and run.result().step == best  # type: ignore[union-attr]
