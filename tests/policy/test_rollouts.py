"""Answers of the weights of now: what is sampled is what is trained, exactly, also after a run was killed inside a batch."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import shadownb as snb
from shadownb.engine.objectives.policy import rollouts as policy_rollouts
from shadownb.engine.objectives.policy.kept import KeptAnswers
from shadownb.engine.runs import Run
from shadownb.engine.runs.loop import Loop
from tests.engine.methods_data import stop_after
from tests.policy.conftest import OPTIONS, ROWS
from tests.policy.killed import EIGHT, goes_on, same_result
from tests.policy.scorers import vowels

Train = Callable[..., Run]


def ended(run: Run) -> Run:
    assert run.status == "succeeded", run.error or run.traceback()
    return run


def test_sampled_tokens_are_the_trained_ones(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    """trl#5224: nothing is decoded and tokenized again on its way from the sampler to the loss."""
    sampled: list[list[int]] = []
    trained: list[list[int]] = []
    add, compute = KeptAnswers.add, Loop.compute

    def noting(self: Any, rollout: Any) -> None:
        sampled.append(rollout.completion.token_ids)
        add(self, rollout)

    def looking(self: Any, examples: Any, step: int) -> float:
        trained.extend([label for label in e.rows[0].labels if label >= 0] for e in examples)
        return compute(self, examples, step)

    monkeypatch.setattr(KeptAnswers, "add", noting)
    monkeypatch.setattr(Loop, "compute", looking)
    ended(train(beta=0.1, max_steps=2))  # with a divergence in the loss every answer has a part
    assert sorted(sampled) == sorted(trained) and len(sampled) == 2 * 2 * 4


def test_killed_after_the_third_of_eight_groups_it_goes_on_with_the_same_tokens(
    train: Train, byte_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    goes_on(byte_model_dir, "torch", ended(train(**EIGHT)), monkeypatch)


def test_answers_of_other_weights_are_not_taken(train: Train) -> None:
    """The file has the digest of the weights; a line that a killed process did not end is dropped."""
    run = ended(train(max_steps=1))
    file = next((run.path / "samples").glob("answering-*.jsonl"))
    head, first, *_ = file.read_text().splitlines()
    asked = {name: value for name, value in json.loads(head).items() if name != "weights"}
    file.write_text("\n".join([head, first, '{"prompt": 0, "samp']))
    assert len(KeptAnswers(file.parent, 0, json.loads(head)["weights"], asked).answers) == 1
    assert file.read_text() == f"{head}\n{first}\n"
    assert KeptAnswers(file.parent, 0, "other", asked).answers == {}


def test_a_stop_inside_a_batch_keeps_what_is_there_and_goes_on_exactly(
    train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight = ended(train(num_iterations=2, max_steps=4, beta=0.1))
    score = policy_rollouts.Rollouts._scores
    asked: list[str] = []

    def stopping(self: Any, prompt: Any, answers: Any) -> Any:
        asked.append(prompt.id)
        if len(asked) == 3:  # the first of the second batch
            snb.runs.load(snb.runs.list()[0].id).stop()
        return score(self, prompt, answers)

    with monkeypatch.context() as patch:
        patch.setattr(policy_rollouts.Rollouts, "_scores", stopping)
        run = train(num_iterations=2, max_steps=4, beta=0.1)
    assert (run.status, run.step) == ("stopped", 2), run.error
    ended(run.resume().wait(timeout=120))
    same_result(run, straight)


def test_a_resume_between_two_steps_of_one_batch_has_its_answers_and_what_they_are_compared_with(
    train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"num_iterations": 3, "max_steps": 6, "beta": 0.1}
    straight = ended(train(**options))
    with monkeypatch.context() as patch:
        stop_after(patch, 2)
        run = train(**options)
    assert (run.status, run.step) == ("stopped", 2)
    ended(snb.runs.load(run.id).resume().wait(timeout=120))
    same_result(run, straight)
    assert all(metrics["ratio"] != 1.0 for metrics in straight.metrics[1:3]), (
        "the second step's ratio is to the first weights"
    )


def test_steps_count_iterations(train: Train) -> None:
    run = ended(train(num_train_epochs=1, max_steps=None, num_iterations=2))
    assert run.step == len(ROWS) // OPTIONS["per_device_train_batch_size"] * 2
    assert run.metrics[-1]["epoch"] == 1.0


@pytest.mark.parametrize("temperature", [0.6, 1.0, 1.4])
def test_before_an_update_the_ratio_is_one_at_every_temperature(train: Train, temperature: float) -> None:
    """trl#4159: what is scored is the distribution that was sampled from."""
    run = ended(train(temperature=temperature, num_iterations=2, max_steps=2))
    assert run.metrics[0]["ratio"] == pytest.approx(1.0, abs=1e-4)
    assert run.metrics[0]["clip_ratio"] == 0.0


def test_the_divergence_is_from_the_model_as_the_run_found_it(train: Train, load: Callable[[], Any]) -> None:
    """trl#4723: started from a trained adapter it is 0 before the first update, and the base without it is far away."""
    model = load()
    chats = [
        {"messages": [{"role": "user", "content": f"Number {n}?"}, {"role": "assistant", "content": "aeiou"}]}
        for n in range(8)
    ]
    model.train(
        chats, method="lora", lora_r=4, max_steps=5, learning_rate=1e-2, background=False, sample_max_new_tokens=0
    )
    run = ended(train(model=model, beta=0.1, start="trained"))
    assert run.metrics[0]["kl"] == pytest.approx(0.0, abs=1e-7)
    assert run.metrics[1]["kl"] > 1e-4


@pytest.mark.parametrize("adapter", ["prompt", "bias", "weights"])
def test_any_adapter_is_trained_by_it(train: Train, adapter: str, byte_model_dir: Path) -> None:
    from tests.tiny_models import biased

    spec = snb.methods.get({"prompt": "prompt", "bias": "bitfit", "weights": "full"}[adapter])
    own = {"name": f"grpo-{adapter}", "objective": "grpo", "data_formats": ("prompt",), "defaults": ()}
    snb.methods.register(spec.replace(**own))
    try:
        model = snb.load(str(biased(byte_model_dir)), max_length=256, dtype="float32")
        options = {name: value for name, value in OPTIONS.items() if name in ("lora_r", "method")}
        run: Run = model.train(
            ROWS,
            background=False,
            reward_fns=[vowels],
            beta=0.05,
            **{**OPTIONS, **options, "method": f"grpo-{adapter}", "lora_r": 16},
        )
        assert run.metrics[0]["kl"] == pytest.approx(0.0, abs=1e-7)
        assert run.metrics[-1]["kl"] > 0
    finally:
        snb.methods.unregister(f"grpo-{adapter}")


def test_a_run_of_a_worker_is_that_of_a_thread(train: Train) -> None:
    options = {"reward_fns": ["tests.policy.scorers:vowels"], "max_steps": 2}
    same_result(ended(train(executor="process", **options)), ended(train(**options)))
