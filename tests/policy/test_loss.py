"""The losses and advantages of policy gradients are those of trl's trainers, in value and gradient, for each variant."""

from __future__ import annotations

from collections import defaultdict
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import shadownb as snb
from shadownb.engine.backends.torch.arrays import TorchOps
from shadownb.engine.objectives.policy.advantages import advantages
from shadownb.engine.objectives.policy.gradient import PolicyGradient
from shadownb.engine.rendering import Rendered
from shadownb.engine.rendering.examples import Example

LENGTHS = (5, 1, 7, 3)
CUT = (False, False, True, False)


class Answers:
    """Four answers with numbers of their own, as a pass gives them, and as the padded table of a trainer."""

    def __init__(self) -> None:
        draw = torch.Generator().manual_seed(7)
        self.now = [(-3 * torch.rand(n, generator=draw)) for n in LENGTHS]
        # Far enough apart that both sides of the clipping are reached.
        self.old = [row + 0.6 * torch.randn(len(row), generator=draw) for row in self.now]
        self.reference = [row + 0.3 * torch.randn(len(row), generator=draw) for row in self.now]
        self.advantages = [1.3, -0.7, -1.1, 0.5]

    def table(self, rows: list[torch.Tensor]) -> torch.Tensor:
        return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)

    @property
    def mask(self) -> torch.Tensor:
        return self.table([torch.ones(n) for n in LENGTHS])


class Tokens:
    """The trained tokens of a pass, in an order that is not the rows'."""

    def __init__(self, rows: list[torch.Tensor]) -> None:
        self.rows = len(rows)
        owners = torch.cat([torch.full((len(row),), number) for number, row in enumerate(rows)])
        self._order = torch.randperm(len(owners), generator=torch.Generator().manual_seed(1))
        self._owners = owners[self._order]
        self.leaf = torch.cat(rows).requires_grad_()
        self.logp = self.leaf[self._order]

    def by_row(self, values: torch.Tensor) -> torch.Tensor:
        return values.new_zeros(self.rows).index_add(0, self._owners, values)

    def over(self, values: Any) -> torch.Tensor:
        return torch.tensor(values)[self._owners]

    def spread(self, values: Any) -> torch.Tensor:
        return torch.tensor([number for row in values for number in row])[self._order]


def ours(options: dict[str, Any], *, method: str = "grpo") -> tuple[float, torch.Tensor]:
    answers = Answers()
    config = snb.TrainConfig(
        method=method, reward_fns=["exact"], max_completion_length=8, old_logprobs="stored", **options
    )
    objective = PolicyGradient(config, 64)
    total = {
        "answers": 4,
        "tokens": sum(
            n for n, cut in zip(LENGTHS, CUT, strict=True) if not (cut and objective.own.mask_truncated_completions)
        ),
    }
    examples, kept = [], []
    for number, length in enumerate(LENGTHS):
        if CUT[number] and objective.own.mask_truncated_completions:
            continue
        row = Rendered([1] * (length + 2), [-100, -100, *([1] * length)])
        columns = {"advantage": answers.advantages[number], "old": answers.old[number].tolist(),
                   "reference": answers.reference[number].tolist(), "total": total}  # fmt: skip
        examples.append(Example((row,), columns=columns, id=str(number)))
        kept.append(answers.now[number])
    tokens = Tokens(kept)
    loss = objective.loss(TorchOps(torch.device("cpu")), tokens, examples, held_out=False) / objective.count(examples)
    loss.backward()
    assert tokens.leaf.grad is not None
    return float(loss.detach()), tokens.leaf.grad


def padded(options: dict[str, Any], trainer: Any) -> tuple[float, torch.Tensor]:
    """What trl's trainer makes of the same numbers; its model is a table of log-probabilities."""
    answers = Answers()
    leaves = [row.clone().requires_grad_() for row in answers.now]
    mask = answers.mask
    if options.get("mask_truncated_completions"):
        mask = mask * torch.tensor([[0.0 if cut else 1.0] for cut in CUT])
    own = snb.TrainConfig(
        method="grpo", **{k: v for k, v in options.items() if k not in ("loss_type",)}
    ).objective_options
    inputs = {
        "prompt_ids": torch.ones(4, 2, dtype=torch.long), "prompt_mask": torch.ones(4, 2), "completion_mask": mask,
        "completion_ids": torch.ones(mask.shape, dtype=torch.long), "advantages": torch.tensor(answers.advantages),
        "old_per_token_logps": answers.table(answers.old), "ref_per_token_logps": answers.table(answers.reference),
        "num_items_in_batch": mask.sum(), "old_logps": (answers.table(answers.old) * mask).sum(1),
    }  # fmt: skip
    accelerator = SimpleNamespace(
        gather=lambda x: x,
        reduce=lambda x, reduction: x,
        num_processes=1,
        gather_for_metrics=lambda x: x,
        sync_gradients=True,
    )
    trl = SimpleNamespace(
        _get_per_token_logps_and_entropies=lambda *_, **__: (answers.table(leaves), torch.zeros_like(mask), None),
        model=SimpleNamespace(training=True), accelerator=accelerator, _metrics={"train": defaultdict(list)},
        aux_loss_enabled=False, top_entropy_quantile=1.0, off_policy_mask_threshold=None, use_vllm=False,
        vllm_importance_sampling_correction=False,
        _entropy_bonus_enabled=False, use_adaptive_entropy=False, current_gradient_accumulation_steps=1, max_completion_length=8,
        loss_type=options.get("loss_type", "dapo"), importance_sampling_level=own.importance_sampling_level, beta=own.beta,
        epsilon_low=own.epsilon, epsilon_high=own.high,
        args=SimpleNamespace(delta=own.delta, use_bias_correction_kl=False, steps_per_generation=1),
    )  # fmt: skip
    loss = trainer._compute_loss(trl, None, inputs)
    loss.backward()
    return float(loss.detach()), torch.cat(
        [torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for leaf in leaves]
    )


VARIANTS: list[dict[str, Any]] = [
    *({"loss_type": name} for name in ("grpo", "bnpo", "dr_grpo", "dapo")),
    *({"loss_type": name, "beta": 0.3} for name in ("grpo", "dapo")),
    {"loss_type": "grpo", "importance_sampling_level": "sequence", "beta": 0.2},
    *({"loss_type": name, "importance_sampling_level": "sequence"} for name in ("dapo", "dr_grpo")),
    *({"loss_type": name, "mask_truncated_completions": True} for name in ("grpo", "bnpo", "dapo", "dr_grpo")),
    {"loss_type": "dapo", "epsilon": 0.1, "epsilon_high": 0.28},
    {"loss_type": "dapo", "delta": 1.4},
]  # fmt: skip


@pytest.mark.parametrize("options", VARIANTS, ids=lambda options: " ".join(map(str, options.values())))
def test_loss_and_gradient_are_those_of_grpo_in_trl(options: dict[str, Any]) -> None:
    trainer = pytest.importorskip("trl.trainer.grpo_trainer").GRPOTrainer
    loss, gradient = ours(options)
    expected, its = padded(options, trainer)
    if options.get("mask_truncated_completions"):
        starts = [sum(LENGTHS[:n]) for n in range(4)]
        its = torch.cat([its[s : s + n] for s, n, cut in zip(starts, LENGTHS, CUT, strict=True) if not cut])
    assert loss == pytest.approx(expected, abs=1e-6)
    assert torch.allclose(gradient, its, atol=1e-6)
    assert gradient.abs().max() > 0.01


def test_loss_and_gradient_are_those_of_rloo_in_trl() -> None:
    trainer = pytest.importorskip("trl.trainer.rloo_trainer").RLOOTrainer
    loss, gradient = ours({}, method="rloo")
    expected, its = padded({}, trainer)
    assert loss == pytest.approx(expected, abs=1e-6)
    assert torch.allclose(gradient, its, atol=1e-6)


def test_all_cut_is_zero_and_not_nan() -> None:
    """trl#6369: kept tokens alone are what a sum is divided by, and none gives 0."""
    own = {"reward_fns": ["exact"], "mask_truncated_completions": True}
    objective = PolicyGradient(snb.TrainConfig(method="grpo", **own), 64)
    row = Rendered([1, 1, 1], [-100, 1, 1])
    kept = Example((row,), columns={"advantage": 0.0, "old": None, "total": {"answers": 4, "tokens": 25}})
    assert objective.count([kept]) == 25
    none = Example((row,), columns={"advantage": 0.0, "old": None, "total": {"answers": 4, "tokens": 0}})
    tokens = Tokens([torch.tensor([-1.0, -2.0])])
    assert (
        float(objective.loss(TorchOps(torch.device("cpu")), tokens, [none], held_out=False).detach())
        / objective.count([none])
        == 0.0
    )


@pytest.mark.parametrize("level", ["token", "sequence"])
def test_a_bad_answer_is_pushed_down_no_further_than_the_bound(level: str) -> None:
    """What it lost below 1 - epsilon is not paid for any more, so it cannot run away; delta bounds what became likely."""
    own = {"reward_fns": ["exact"], "importance_sampling_level": level}

    def gradient(now: float, **options: Any) -> float:
        objective = PolicyGradient(snb.TrainConfig(method="grpo", **own, **options), 64)
        example = Example((Rendered([1, 1, 1], [-100, 1, 1]),), columns={"advantage": -1.0, "old": [-2.0, -2.0]})
        tokens = Tokens([torch.tensor([now, now])])
        objective.loss(TorchOps(torch.device("cpu")), tokens, [example], held_out=False).backward()
        assert tokens.leaf.grad is not None
        return float(tokens.leaf.grad.abs().sum())

    assert gradient(-2.0) > 0.5
    assert gradient(-3.0) == 0.0
    assert gradient(-0.1) > 5 and gradient(-0.1, delta=4.0) == 0.0


# -- advantages -------------------------------------------------------------------------------------------------------

REWARDS = [[0.2, 0.9, 0.4, 0.4], [1.0, None, 0.0, 0.5], [0.3, 0.3, 0.3, 0.3], [None, None, 2.0, None]]


def in_trl(scale: str, *, rloo: bool) -> list[list[float]]:
    """The formulas of trl 1.16: means and spreads (of a sample) of what is no NaN, 1e-4 under the fraction."""
    table = torch.tensor([[float("nan") if r is None else r for r in group] for group in REWARDS])

    def spread(values: torch.Tensor) -> torch.Tensor:
        known = values[~values.isnan()]
        return known.std() if len(known) > 1 else torch.tensor(float("nan"))

    found = []
    for group in table:
        known = (~group.isnan()).sum()
        baseline = (group.nansum() - group) / (known - 1) if rloo else group.nanmean()
        by = {"none": torch.tensor(1 - 1e-4), "group": spread(group), "batch": spread(table.flatten())}[scale]
        found.append(((group - baseline) / (by + 1e-4)).nan_to_num(0.0, posinf=0.0, neginf=0.0).tolist())
    return found


@pytest.mark.parametrize("rloo", [False, True])
@pytest.mark.parametrize("scale", ["group", "batch", "none"])
def test_advantages_are_those_of_trl_and_what_nothing_scored_is_in_no_mean(scale: str, rloo: bool) -> None:
    """trl#5902: [1, None, 0] has the mean 0.5, and None the advantage 0."""
    found = advantages(REWARDS, estimator="rloo" if rloo else "group", scale=scale)
    for mine, its in zip(found, in_trl(scale, rloo=rloo), strict=True):
        assert mine == pytest.approx(its, abs=1e-5)
    assert found[1][1] == 0.0 and found[2] == [0.0] * 4 and found[3] == [0.0] * 4


def test_leave_one_out_with_a_spread_is_bounded() -> None:
    """NeMo-RL#1518: three equal siblings have no spread of their own, and a million would come of it."""
    found = advantages([[1.0, 0.0, 0.0, 0.0]], estimator="rloo", scale="group")
    assert max(map(abs, found[0])) < 3


def test_reinforce_pp_compares_with_the_whole_batch() -> None:
    groups = [[1.0], [0.0], [0.5], [None]]
    found = [advantage for group in advantages(groups, estimator="reinforce_pp", scale="batch") for advantage in group]
    assert found == pytest.approx([1.0, -1.0, 0.0, 0.0], abs=1e-3)
