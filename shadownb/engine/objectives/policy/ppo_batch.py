"""A batch of answers as PPO trains it: what each token earned, what was expected of it, and the minibatches of its steps."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shadownb.engine.objectives.policy import gae
from shadownb.engine.objectives.policy.groups import Group
from shadownb.engine.objectives.policy.rollouts import Rollouts
from shadownb.engine.rendering.examples import Example
from shadownb.engine.seeds import derived_seed

if TYPE_CHECKING:
    from shadownb.engine.objectives.policy.ppo import Ppo


@dataclass
class _Answer:
    """One answer with a number a token of everything.

    Attributes
    ----------
    old
        Log-probabilities, of the weights that gave it.
    said
        What the value head said, in its own units.
    rewards
        What each token earned: its divergence's cost, and the last one the answer's reward.
    """

    group: Group
    number: int
    place: tuple[int, int]
    old: list[float]
    said: list[float]
    rewards: list[float]
    advantages: list[float] = field(default_factory=list)
    returns: list[float] = field(default_factory=list)


class PpoRollouts(Rollouts):
    """Answers of the present weights, each batch trained for several epochs of minibatches."""

    _objective: Ppo

    def next(self, step: int) -> Sequence[Example]:
        """Return the minibatch of a step; the first step of a batch has its answers made."""
        batch = super().next(step)
        own = self._objective.own
        epoch, part = divmod(step % own.num_iterations, own.num_mini_batches)
        order = list(batch)
        random.Random(derived_seed(self._seed, "minibatches", self._batch[0], epoch)).shuffle(order)
        return order[part :: own.num_mini_batches] or order[:1]  # fewer answers than parts: somebody's twice

    def _compare(self, groups: Sequence[Group], number: int) -> float | None:
        """Look at the answers with the weights of now and with those of the start, and compute what each token is worth."""
        own, scale = self._objective.own, self._objective.scale
        places = [
            (group, (place, at))
            for place, group in enumerate(groups)
            for at, row in enumerate(group.rows)
            if row.predicted_tokens and group.rewards[at] is not None
        ]
        bundles = [(group.rows[at],) for group, (_, at) in places]
        seen = self._run.seen(bundles, "logp", "value")
        starts = self._run.log_probs(bundles, reference=True) if self._objective.watches_start else seen["logp"]
        self._answers = [
            _Answer(group, at, (place, at), old[0], said[0], self._earned(group, at, old[0], start[0]))
            for (group, (place, at)), old, said, start in zip(places, seen["logp"], seen["value"], starts, strict=True)
        ]
        if own.whiten_rewards:
            for answer, rewards in zip(
                self._answers, gae.whitened([a.rewards for a in self._answers], shift=False), strict=True
            ):
                answer.rewards = rewards
        earned = [gae.to_go(answer.rewards, own.gamma) for answer in self._answers]
        if not scale.weight:
            scale.look(earned)  # so that a head that says 0 says their mean
        values = [scale.told(answer.said) for answer in self._answers]
        for answer, value in zip(self._answers, values, strict=True):
            answer.advantages = gae.advantages(answer.rewards, value, gamma=own.gamma, lam=own.lam)
            answer.returns = [a + v for a, v in zip(answer.advantages, value, strict=True)]
        self._note(earned, values)
        scale.look(earned)
        for answer, white in zip(self._answers, gae.whitened([a.advantages for a in self._answers]), strict=True):
            answer.advantages = white
        for group in groups:
            group.advantages = [0.0] * len(group.rows)
        for answer in self._answers:
            answer.group.advantages[answer.number] = math.fsum(answer.advantages) / len(answer.advantages)
        if not self._objective.watches_start or not self._answers:
            return None
        apart = [
            a - b
            for answer, start in zip(self._answers, starts, strict=True)
            for a, b in zip(answer.old, start[0], strict=True)
        ]
        return math.fsum(apart) / len(apart)

    def _earned(self, group: Group, at: int, old: Sequence[float], start: Sequence[float]) -> list[float]:
        """Return what each token of an answer earned."""
        own, reward = self._objective.own, group.rewards[at]
        assert reward is not None
        if own.missing_eos_penalty is not None and group.answers[at].finish_reason == "length":
            reward -= own.missing_eos_penalty
        apart = [b - a for a, b in zip(old, start, strict=True)]  # of the start to now
        found = [-own.kl_coef * (-log if own.kl_estimator == "k1" else math.expm1(log) - log) for log in apart]
        found[-1] += reward
        return found

    def _note(self, earned: gae.Rows, values: gae.Rows) -> None:
        explained = gae.explained_variance(values, earned)
        numbers = {
            "explained_variance": explained,
            "value": gae.moments(values)[0],
            "return": gae.moments(earned)[0],
            "advantage_std": math.sqrt(gae.moments([answer.advantages for answer in self._answers])[1]),
        }
        for name, number in numbers.items():
            if number is not None and self._answers:
                self._objective.note_number(name, number)

    def _examples(self, groups: Sequence[Group], number: int) -> list[Example]:
        """Return the answers with what a step needs of each token; values and returns are in the head's units."""
        scale, warmup = self._objective.scale, number < self._objective.own.critic_warmup
        found = [
            Example(
                (answer.group.rows[answer.number],),
                columns={
                    "old": answer.old,
                    "advantages": answer.advantages,
                    "values": answer.said,
                    "returns": scale.said(answer.returns),
                    "warmup": warmup,
                },
                id=f"answers/{number}/{answer.place[0]}/{answer.place[1]}",
            )
            for answer in self._answers
        ]
        return found or [_idle(groups, number)]


def _idle(groups: Sequence[Group], number: int) -> Example:
    """Return an answer whose step moves nothing, of a batch that nothing could score: rates and epochs are where they would be."""
    rows = [row for group in groups for row in group.rows if row.predicted_tokens]
    row = min(rows, key=lambda one: len(one.input_ids))
    columns = {"old": None, "advantages": None, "values": None, "returns": None, "warmup": True}
    return Example((row,), columns=columns, id=f"answers/{number}/idle")
