"""Which answers of a batch are trained, and what their sum is divided by."""

from __future__ import annotations

from typing import Any

import shadownb as snb
from shadownb.engine.inference import Completion
from shadownb.engine.objectives.policy.gradient import PolicyGradient
from shadownb.engine.objectives.policy.groups import Group, examples_of
from shadownb.engine.rendering import Rendered
from shadownb.engine.rendering.examples import Example

ASKED = Example((Rendered([1, 2, 3], [-100] * 3),), asks=True, id="rows/0", said=[{"role": "user", "content": "?"}])


def group(*answers: tuple[int, float | None, str]) -> Group:
    """Answers of so many tokens, with their rewards and how they ended; the advantage is the reward less a half."""
    made = Group(
        ASKED,
        [Completion("x" * n, [7] * n, ending, 3, n, logprobs=[-1.0] * n) for n, _, ending in answers],  # type: ignore[arg-type]
        [{"reward": reward, "rewards": {"one": reward}, "reasons": {}} for _, reward, _ in answers],
    )
    made.advantages = [0.0 if reward is None else reward - 0.5 for reward in made.rewards]
    made.reference = [[-1.5] * n for n, _, _ in answers]
    return made


def objective(**options: Any) -> PolicyGradient:
    return PolicyGradient(snb.TrainConfig(method="grpo", reward_fns=["exact"], **options), 64)


def chosen(found: list[Example]) -> list[int]:
    return [example.rows[0].predicted_tokens for example in found]


MIXED = group((4, 1.0, "stop"), (6, 0.0, "length"), (2, 0.5, "stop"), (3, None, "stop"))


def test_answers_without_an_advantage_are_not_computed_and_still_counted() -> None:
    found = examples_of([MIXED], 0, objective())
    assert chosen(found) == [4, 6]
    assert all(example.columns["total"] == {"answers": 4, "tokens": 4 + 6 + 2 + 3} for example in found)
    assert objective(loss_type="grpo").count(found) == 4
    assert objective(loss_type="dr_grpo", max_completion_length=10).count(found) == 40


def test_with_a_divergence_in_the_loss_every_answer_has_a_part() -> None:
    assert chosen(examples_of([MIXED], 0, objective(beta=0.1))) == [4, 6, 2, 3]
    assert chosen(examples_of([MIXED], 0, objective(beta=0.1, kl_in="reward"))) == [4, 6]


def test_answers_that_were_cut_off_leave_the_sum_and_the_tokens_that_it_is_divided_by() -> None:
    """trl#6369: 25 kept and 5 cut tokens divide by 25."""
    own = objective(mask_truncated_completions=True)
    found = examples_of([group((25, 1.0, "stop"), (5, 0.0, "length"))], 0, own)
    assert chosen(found) == [25] and own.count(found) == 25


def test_a_batch_that_teaches_nothing_is_a_step_that_moves_nothing() -> None:
    for own, batch in (
        (objective(), group((4, 0.5, "stop"), (2, 0.5, "stop"))),
        (objective(mask_truncated_completions=True), group((4, 1.0, "length"), (2, 0.0, "length"))),
        (objective(mask_truncated_completions=True, beta=0.1), group((4, 1.0, "length"), (2, 0.0, "length"))),
    ):
        (found,) = examples_of([batch], 0, own)
        assert found.rows[0].predicted_tokens == 2 and found.columns["advantage"] == 0.0
        assert found.columns["reference"] is None, "and no divergence either"
        assert own.count([found]) > 0
