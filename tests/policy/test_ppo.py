"""PPO: its loss is trl's last one, values are learned beside the policy, and a killed run goes on exactly, its head included."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import shadownb as snb
from shadownb.engine.backends.torch.arrays import TorchOps
from shadownb.engine.objectives.policy import gae
from shadownb.engine.objectives.policy.ppo import Ppo
from shadownb.engine.objectives.policy.ppo_batch import PpoRollouts
from shadownb.engine.rendering import Rendered
from shadownb.engine.rendering.examples import Example
from shadownb.engine.runs import Run
from shadownb.engine.runs.loop import Loop
from shadownb.errors import ConfigError
from tests.engine.methods_data import stop_after
from tests.policy import killed
from tests.policy.conftest import OPTIONS as SHARED
from tests.policy.conftest import ROWS
from tests.policy.scorers import vowels
from tests.policy.test_loss import LENGTHS, Answers, Tokens

Train = Callable[..., Run]
PPO: dict[str, Any] = {"method": "ppo", "num_ppo_epochs": 2, "num_mini_batches": 2, "max_steps": 8, "critic_warmup": 1}


def ended(run: Run) -> Run:
    assert run.status == "succeeded", run.error or run.traceback()
    return run


def head_of(run: Run, step: int) -> dict[str, torch.Tensor]:
    return load_file(run.checkpoint_at(step).path / "training" / "head.safetensors")


# -- the loss ---------------------------------------------------------------------------------------------------------


class Valued(Tokens):
    """Tokens whose values are a leaf of their own."""

    def __init__(self, rows: list[torch.Tensor], values: list[torch.Tensor]) -> None:
        super().__init__(rows)
        self.values = torch.cat(values).requires_grad_()
        self.value = self.values[self._order]


def of_ppo(warmup: bool, **options: Any) -> tuple[Ppo, Any, list[Example], dict[str, list[torch.Tensor]]]:
    """Four answers as a pass gives them, and their numbers."""
    answers, draw = Answers(), torch.Generator().manual_seed(2)
    numbers = {name: [torch.randn(n, generator=draw) for n in LENGTHS] for name in ("advantages", "values", "returns")}
    numbers |= {"now": answers.now, "old": answers.old}
    value = [before + 0.5 * torch.randn(len(before), generator=draw) for before in numbers["values"]]
    examples = [
        Example(
            (Rendered([1] * (length + 2), [-100, -100, *([1] * length)]),),
            columns={
                name: numbers[name][number].tolist() for name in ("old", "advantages", "values", "returns")
            } | {"warmup": warmup},
            id=str(number),
        )
        for number, length in enumerate(LENGTHS)
    ]  # fmt: skip
    objective = Ppo(snb.TrainConfig(method="ppo", reward_fns=["exact"], **options), 64)
    return objective, Valued(answers.now, value), examples, {**numbers, "value": value}


@pytest.mark.parametrize("warmup", [False, True])
@pytest.mark.parametrize("options", [{}, {"cliprange": 0.1, "cliprange_value": 0.4, "vf_coef": 0.7}])
def test_loss_and_gradient_are_those_of_trls_last_ppo_trainer(options: dict[str, Any], warmup: bool) -> None:
    """The lines of trl 0.29's PPOTrainer.train, over one minibatch: masked means over all tokens, no padding here."""
    objective, tokens, examples, numbers = of_ppo(warmup, **options)
    ops = TorchOps(torch.device("cpu"))
    objective.begin(ops, examples, None, held_out=False)  # type: ignore[arg-type]
    loss = objective.loss(ops, tokens, examples, held_out=False) / objective.count(examples)
    loss.backward()
    own = objective.own
    now, value = (torch.cat(numbers[name]).clone().requires_grad_() for name in ("now", "value"))
    old, advantage, before, target = (torch.cat(numbers[name]) for name in ("old", "advantages", "values", "returns"))
    clipped = torch.clamp(value, before - own.cliprange_value, before + own.cliprange_value)
    vf_loss = 0.5 * torch.max((value - target).square(), (clipped - target).square()).mean()
    ratio = torch.exp(now - old)
    pg_loss = torch.max(-advantage * ratio, -advantage * ratio.clamp(1 - own.cliprange, 1 + own.cliprange)).mean()
    expected = own.vf_coef * vf_loss + (0.0 if warmup else 1.0) * pg_loss
    torch.autograd.backward(expected)
    assert float(loss.detach()) == pytest.approx(float(expected.detach()), abs=1e-6)
    if warmup:
        assert tokens.leaf.grad is None and objective.head_alone
    else:
        torch.testing.assert_close(tokens.leaf.grad, now.grad, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(tokens.values.grad, value.grad, atol=1e-6, rtol=1e-5)
    metrics = objective.metrics()
    assert (
        metrics["value_loss"] == pytest.approx(float(vf_loss.detach()), abs=1e-6) and 0 < metrics["vf_clip_ratio"] < 1
    )
    assert warmup or 0 < metrics["clip_ratio"] < 1


# -- a run ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("estimator", ["k1", "k3"])
def test_what_a_token_earns_is_the_cost_of_its_divergence_and_at_the_end_the_reward(
    train: Train, estimator: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches: list[tuple[PpoRollouts, list[Any]]] = []
    examples = PpoRollouts._examples

    def noting(self: PpoRollouts, groups: Any, number: int) -> Any:
        batches.append((self, list(self._answers)))
        return examples(self, groups, number)

    monkeypatch.setattr(PpoRollouts, "_examples", noting)
    ended(
        train(**{**PPO, "critic_warmup": 0}, kl_estimator=estimator, kl_coef=0.5, gamma=0.9, missing_eos_penalty=0.25)
    )
    assert len(batches) == 2
    for source, answers in batches:
        assert len(answers) == 2 * 4
        for answer in answers:
            reward = answer.group.rewards[answer.number]
            cut = answer.group.answers[answer.number].finish_reason == "length"
            apart = [answer.rewards[-1] - (reward - 0.25 * cut), *answer.rewards[:-1]]
            if source is batches[0][0] and answers is batches[0][1]:
                assert apart == pytest.approx([0.0] * len(apart), abs=1e-6), "nothing has moved yet"
            elif estimator == "k3":
                assert max(apart) <= 1e-9, "what is never negative is never earned"
    moved = [reward for answer in batches[1][1] for reward in answer.rewards[:-1]]
    assert max(map(abs, moved)) > 1e-4


def test_the_head_learns_alone_first_and_the_policy_stays(train: Train) -> None:
    run = ended(train(**PPO, save_steps=2))
    first, second = run.checkpoint_at(2), run.checkpoint_at(4)
    assert first.manifest["trained_sha256"] == second.manifest["trained_sha256"], "the first batch trains the head"
    assert run.checkpoint_at(6).manifest["trained_sha256"] != second.manifest["trained_sha256"]
    assert not torch.equal(head_of(run, 2)["weight"], head_of(run, 4)["weight"])
    metrics = run.metrics
    assert all("ratio" not in one for one in metrics[:4]) and metrics[4]["ratio"] == pytest.approx(1.0, abs=1e-4)
    assert metrics[0]["explained_variance"] == pytest.approx(0.0, abs=1e-9), "a head that says 0 says the mean"
    curves = {"explained_variance", "value", "return", "kl", "entropy", "completion_length", "reward"}
    assert curves <= set(metrics[4]) and not curves & set(metrics[5]), "once a batch"
    each_step = {"value_loss", "vf_clip_ratio", "clip_ratio", "approx_kl", "ratio"}
    assert all(each_step <= set(one) for one in metrics[4:])


def test_each_answer_is_trained_once_an_epoch_in_another_order(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[list[str]] = []
    compute = Loop.compute

    def looking(self: Any, examples: Any, step: int) -> float:
        steps.append([example.id for example in examples])
        return compute(self, examples, step)

    monkeypatch.setattr(Loop, "compute", looking)
    ended(train(**PPO))
    assert [len(step) for step in steps] == [4] * 8
    for number in range(4):
        epoch = steps[2 * number] + steps[2 * number + 1]
        assert len(set(epoch)) == 8 and all(name.startswith(f"answers/{number // 2}/") for name in epoch)
    assert len({tuple(step) for step in steps}) == 8


def test_a_head_learns_what_depends_on_the_prompt(train: Train) -> None:
    """A reward that the prompt alone decides is foretold after some batches, as far as an untrained model's states tell it."""
    rows = [{"prompt": ("aaaa" if n % 2 else "zzzz") + "?", "good": n % 2} for n in range(8)]

    def by_prompt(prompts: Any, completions: Any, good: Any, **columns: Any) -> list[float]:
        return [100.0 + 5.0 * one for one in good]

    options = {"num_ppo_epochs": 4, "num_mini_batches": 1, "max_steps": 40, "critic_warmup": 99, "kl_coef": 0.0}
    run = ended(train(rows, reward_fns=[by_prompt], **{**PPO, **options}, per_device_train_batch_size=4, save_steps=40))
    explained = [one["explained_variance"] for one in run.metrics if "explained_variance" in one]
    assert explained[0] == pytest.approx(0.0) and sum(explained[-5:]) / 5 > 0.1, explained


@pytest.mark.parametrize("stop", [2, 5])
def test_a_resume_between_two_minibatches_is_exact(train: Train, stop: int, monkeypatch: pytest.MonkeyPatch) -> None:
    straight = ended(train(**PPO))
    with monkeypatch.context() as patch:
        stop_after(patch, stop)
        run = train(**PPO)
    assert (run.status, run.step) == ("stopped", stop), run.error
    ended(snb.runs.load(run.id).resume().wait(timeout=120))
    killed.same_result(run, straight)
    for name, tensor in head_of(straight, 8).items():
        assert torch.equal(head_of(run, 8)[name], tensor)
    same = [{k: v for k, v in one.items() if k in ("explained_variance", "value", "value_loss")} for one in run.metrics]
    assert same == [{k: one[k] for k in mine} for one, mine in zip(straight.metrics, same, strict=True)]


def test_killed_after_the_third_of_eight_groups_it_goes_on_with_the_same_tokens(
    train: Train, byte_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {k: v for k, v in killed.EIGHT.items() if k != "beta"}
    one_step = {"method": "ppo", "num_ppo_epochs": 1, "critic_warmup": 0}
    monkeypatch.setattr(killed, "EIGHT", {**options, **one_step})
    killed.goes_on(byte_model_dir, "torch", ended(train(**killed.EIGHT)), monkeypatch)


def test_a_resume_in_a_worker_and_a_run_of_it_are_those_of_a_thread(train: Train) -> None:
    options = {**PPO, "reward_fns": ["tests.policy.scorers:vowels"], "max_steps": 4}
    killed.same_result(ended(train(executor="process", **options)), ended(train(**options)))


def test_what_nothing_scored_is_in_no_step_and_no_mean(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    """trl#5902, token by token: an answer without a reward is neither trained nor whitened with."""
    seen: list[str] = []
    compute = Loop.compute

    def looking(self: Any, examples: Any, step: int) -> float:
        seen.extend(example.id for example in examples)
        return compute(self, examples, step)

    def some(prompts: Any, completions: Any, **columns: Any) -> list[float | None]:
        return [None if place % 2 else float(place) for place in range(len(completions))]

    monkeypatch.setattr(Loop, "compute", looking)
    run = ended(train(ROWS, reward_fns=[some], **{**PPO, "max_steps": 4}))
    assert set(seen) == {f"answers/0/{place}/{sample}" for place in range(2) for sample in (0, 2)}
    assert run.metrics[0]["unscored"] == 4 and run.metrics[0]["reward"] == 1.0
    told = [one["advantage"] for group in run.completions()[:2] for one in group["completions"]]
    assert [told[at] for at in (1, 3, 5, 7)] == [0.0] * 4 and told[0] < 0 < told[2]


def test_a_batch_that_nothing_could_score_moves_nothing(train: Train) -> None:
    batches = []

    def first_alone(prompts: Any, completions: Any, **columns: Any) -> list[float | None]:
        batches.append(len(completions))
        return [float(place) if len(batches) <= 2 else None for place in range(len(completions))]

    options = {**PPO, "num_mini_batches": 1, "critic_warmup": 0, "max_steps": 4}
    run = ended(train(ROWS, reward_fns=[first_alone], **options))
    trained = [run.checkpoint_at(step).manifest["trained_sha256"] for step in (1, 2, 3, 4)]
    assert trained[0] != trained[1] == trained[2] == trained[3]
    assert run.metrics[2]["unscored"] == 8 and run.metrics[2]["loss"] == run.metrics[3]["loss"] == 0.0


def test_the_divergence_is_from_the_model_as_the_run_found_it(train: Train, load: Callable[[], Any]) -> None:
    """trl#4723, for PPO: on from a trained adapter the first divergence is 0."""
    model = load()
    chats = [
        {"messages": [{"role": "user", "content": f"Number {n}?"}, {"role": "assistant", "content": "aeiou"}]}
        for n in range(8)
    ]
    model.train(chats, method="lora", lora_r=4, max_steps=5, learning_rate=1e-2, background=False)
    run = ended(train(model=model, start="trained", **{**PPO, "critic_warmup": 0}))
    assert run.metrics[0]["kl"] == pytest.approx(0.0, abs=1e-7)
    assert abs(run.metrics[4]["kl"]) > 1e-5


@pytest.mark.parametrize("temperature", [0.6, 1.4])
def test_before_an_update_the_ratio_is_one_at_every_temperature(train: Train, temperature: float) -> None:
    run = ended(train(temperature=temperature, **{**PPO, "critic_warmup": 0, "max_steps": 1}))
    assert run.metrics[0]["ratio"] == pytest.approx(1.0, abs=1e-4)


def test_the_reward_on_rows_held_out_is_evaluated(train: Train) -> None:
    run = ended(train(**PPO, eval_dataset=ROWS[:2], eval_steps=4))
    assert all("eval_reward" in one for one in run.eval_metrics) and len(run.eval_metrics) == 2


# -- refused ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reward_fns": []}, "needs reward_fns"),
        ({"num_mini_batches": 9}, r"num_mini_batches=9 is more than the 8 answers"),
        ({"beta": 0.2}, r"beta=0.2 has no effect"),
        ({"reward_fns": ["exact"]}, "compares with an expected answer"),
        ({"gamma": 1.5}, r"gamma=1.5"),
    ],
)
def test_what_it_cannot_use_is_refused_by_name(load: Any, options: dict[str, Any], message: str) -> None:
    given = {**SHARED, **PPO, "reward_fns": [vowels], **options}
    with pytest.raises(ConfigError, match=message):
        load().train(ROWS, background=False, **given)
    assert not snb.runs.list()


def test_a_value_learning_rate_is_the_heads_alone() -> None:
    config = snb.TrainConfig(method="ppo", reward_fns=["exact"], learning_rate=1e-3, value_learning_rate=5e-4)
    assert Ppo(config, 64).head.rate == pytest.approx(0.5)
    plain = Ppo(snb.TrainConfig(method="ppo", reward_fns=["exact"], normalize_values=False), 64)
    assert plain.head.rate == 1.0 and not plain.head.normalised and not plain.scale.on


def test_moments_of_a_batch_are_those_of_all_its_tokens() -> None:
    assert gae.moments([[1.0], [2.0, 3.0]]) == (2.0, 1.0)
