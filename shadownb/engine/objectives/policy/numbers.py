"""The numbers of a batch of answers, for the curves of a run and for whoever watches it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from shadownb.engine.objectives.policy import acting as episodes
from shadownb.engine.objectives.policy.advantages import is_flat, spread
from shadownb.engine.objectives.policy.groups import Group
from shadownb.engine.objectives.policy.watch import BatchFacts

if TYPE_CHECKING:
    from shadownb.engine.objectives.policy.gradient import PolicyGradient


def noted(
    objective: PolicyGradient, groups: Sequence[Group], scorers: Sequence[str], divergence: float | None, seconds: float
) -> BatchFacts:
    """Note the numbers of a batch for the next report, and return what is looked at of it.

    The entropy is estimated from the tokens that were sampled, by the model's own log-probability of each: on average that is the
    entropy where ``temperature`` is 1 and nothing is cut off the distribution.
    """
    answers = [answer for group in groups for answer in group.answers]
    scores = [score for group in groups for score in group.scores]
    lengths = [len(answer.token_ids) for answer in answers]
    cut = [answer.finish_reason == "length" for answer in answers]
    flat = sum(is_flat(group.rewards) for group in groups)
    logs = [value for answer in answers for value in answer.logprobs or ()]
    entropy = -sum(logs) / len(logs) if logs else None
    rewards = {"reward": [score["reward"] for score in scores]}
    if len(scorers) > 1:  # one alone is the reward
        rewards |= {f"rewards_{name}": [score["rewards"][name] for score in scores] for name in scorers}
    for name, values in rewards.items():
        known = [value for value in values if value is not None]
        if known:
            objective.note_number(name, sum(known) / len(known))
            objective.note_number(f"{name}_std", spread(known))
    ended = [reward for reward, is_cut in zip(rewards["reward"], cut, strict=True) if not is_cut and reward is not None]
    numbers = {
        "reward_finished": sum(ended) / len(ended) if ended else None,
        "frac_reward_zero_std": flat / len(groups),
        "completion_length": sum(lengths) / len(lengths),
        "clipped_ratio": sum(cut) / len(cut),
        "entropy": entropy,
        "kl": None if objective.divergence_in_loss else divergence,  # else the loss notes it, token by token
        "rollout_s": seconds,
        **episodes.numbers(answers),
    }
    for name, value in numbers.items():
        if value is not None:
            objective.note_number(name, value)
    return BatchFacts([group.rewards for group in groups], flat, entropy, sum(lengths) / len(lengths), divergence)
