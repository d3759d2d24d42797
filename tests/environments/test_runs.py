"""Policy gradients in environments: the run goes on exactly, whatever the environment does, and the user sees what went wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import shadownb as snb
from shadownb.engine.objectives.policy.kept import KeptAnswers
from shadownb.engine.runs import Run
from shadownb.engine.runs.loop import Loop
from shadownb.errors import ConfigError
from tests.engine.methods_data import stop_after
from tests.environments import games
from tests.policy.killed import same_result

Train = Callable[..., Run]
ROWS = [{"prompt": f"Number {n}?", "number": n} for n in range(8)]
OPTIONS: dict[str, Any] = {
    "method": "grpo", "num_generations": 3, "max_completion_length": 200, "max_steps": 3, "save_steps": 1, "lora_r": 4,
    "save_total_limit": 9, "sample_max_new_tokens": 0, "learning_rate": 1e-3, "per_device_train_batch_size": 2,
    "warmup_steps": 0, "tool_timeout": 5.0,
}  # fmt: skip


@pytest.fixture
def train(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Train:
    monkeypatch.setenv("SHADOWNB_HOME", str(tmp_path / "home"))

    def made(environment: Any, **options: Any) -> Run:
        model = snb.load(str(folder), max_length=400, dtype="float32", backend=options.pop("backend", "auto"))
        rows = options.pop("rows", ROWS)
        run: Run = model.train(rows, environment=environment, background=True, **{**OPTIONS, **options})
        return run.wait(timeout=300)

    return made


def ended(run: Run) -> Run:
    assert run.status == "succeeded", run.error or run.traceback()
    return run


def codes(run: Run) -> list[str]:
    return [event["code"] for event in run.events() if event["type"] == "warning"]


def test_every_turn_of_the_model_is_trained_on_its_own_tokens_and_nothing_else(
    train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampled: list[Any] = []
    trained: list[Any] = []
    add, compute = KeptAnswers.add, Loop.compute
    monkeypatch.setattr(KeptAnswers, "add", lambda self, r: sampled.append(r.completion) or add(self, r))
    monkeypatch.setattr(
        Loop, "compute", lambda self, examples, step: trained.extend(examples) or compute(self, examples, step)
    )
    run = ended(train(games.Vowels, beta=0.1, max_steps=1, old_logprobs="stored", eval_dataset=ROWS[:2]))
    assert sorted(e.token_ids for e in sampled) == sorted(
        [label for label in example.rows[0].labels if label >= 0] for example in trained
    )
    assert run.metrics[0]["ratio"] == pytest.approx(1.0, abs=1e-4), (
        "what was sampled is what is trained, behind every turn"
    )
    assert run.metrics[0]["turns"] == 3.0 and run.metrics[0]["reward"] > 0.5
    assert run.metrics[0]["reward"] == pytest.approx(sum(e.reward for e in sampled) / len(sampled), abs=1e-5)
    assert run.eval_metrics[-1]["eval_reward"] > 0.5
    shown = run.completions(1)[0]["completions"][0]
    assert shown["completion"].count("assistant: ") == 3 and "user: 2 more." in shown["completion"]


def test_it_learns(train: Train) -> None:
    run = ended(train(games.Vowels, max_steps=12, learning_rate=5e-3, num_generations=6))
    rewards = [metrics["reward"] for metrics in run.metrics]
    assert sum(rewards[-3:]) / 3 > sum(rewards[:3]) / 3 + 0.3, rewards


def test_a_stop_inside_a_batch_goes_on_to_the_same_end(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"num_iterations": 2, "max_steps": 4, "beta": 0.1}
    straight = ended(train(games.Vowels, **options))
    add, added = KeptAnswers.add, []

    def stopping(self: Any, rollout: Any) -> None:
        add(self, rollout)
        added.append(rollout)
        if len(added) == 8:  # the second of the second batch
            snb.runs.load(snb.runs.list()[0].id).stop()

    with monkeypatch.context() as patch:
        patch.setattr(KeptAnswers, "add", stopping)
        run = train(games.Vowels, **options)
    assert (run.status, run.step) == ("stopped", 2), run.error
    ended(run.resume().wait(timeout=120))
    same_result(run, straight)


@pytest.mark.parametrize("method", ["rloo", "reinforce_pp"])
def test_the_other_policy_gradients_have_it_too(train: Train, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    straight = ended(train(games.Vowels, method=method))
    with monkeypatch.context() as patch:
        stop_after(patch, 1)
        run = train(games.Vowels, method=method)
    ended(run.resume().wait(timeout=120))
    same_result(run, straight)


def test_one_that_never_ends_is_told_of_and_counted(train: Train) -> None:
    run = ended(train(games.Endless, max_turns=3, max_steps=2))
    assert codes(run) == ["episodes-unfinished"]
    assert run.metrics[-1]["unfinished_ratio"] == run.metrics[-1]["clipped_ratio"] == 1.0


def test_one_that_hangs_is_ended_told_of_and_counted(train: Train) -> None:
    run = ended(train(games.Hangs, tool_timeout=0.4, max_steps=1, per_device_train_batch_size=4, max_turns=3))
    assert "tool-timeout" in codes(run) and run.metrics[0]["tool_timeouts"] > 0


def test_one_that_breaks_leaves_its_episodes_out_and_counts_them(train: Train) -> None:
    run = ended(train(games.Breaks, max_steps=1, per_device_train_batch_size=4))
    assert "reward-failed" in codes(run) and run.metrics[0]["unscored"] in (3, 6, 9), (
        "three episodes of each odd number"
    )
    told = next(event for event in run.events() if event.get("code") == "reward-failed")
    assert "reset() raised RuntimeError: no board" in told["why"]


def test_scorers_see_whole_episodes_beside_the_environments_reward(train: Train) -> None:
    seen: list[Any] = []

    def turns(prompts: Any, completions: Any, **columns: Any) -> list[float]:
        seen.extend(completions)
        return [len(completion) / 100 for completion in completions]

    rows = [{"prompt": [{"role": "user", "content": row["prompt"]}], "number": row["number"]} for row in ROWS]
    run = ended(train(games.Vowels, reward_fns=[turns], rows=rows, max_steps=1, reward_weights=[2.0]))
    assert [m["role"] for m in seen[0]] == ["assistant", "user"] * 3
    metrics = run.metrics[0]
    assert metrics["reward"] == pytest.approx(metrics["rewards_environment"] + 2 * metrics["rewards_turns"], abs=1e-5)
    assert metrics["rewards_turns"] == pytest.approx(0.06)


@pytest.mark.parametrize(
    ("environment", "match"),
    [
        ("nowhere", "environment='nowhere' is neither a class of a cell nor registered"),
        ("tests.environments.games:Nobody", "cannot be imported"),
        (3, "environment=3 cannot be called"),
    ],
)
def test_what_is_no_environment_is_refused_before_anything_starts(train: Train, environment: Any, match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        train(environment)
    assert not snb.runs.list()


def test_a_class_without_reset_says_so(train: Train) -> None:
    run = train(dict)
    assert run.status == "failed" and "environment=dict has no reset()" in str(run.error)


@pytest.mark.full
def test_a_worker_process_imports_it(train: Train) -> None:
    here = ended(train(games.Vowels))
    there = ended(train("tests.environments.games:Vowels", executor="process"))
    assert here.losses() == there.losses()
