"""A group: the answers to one prompt, what they scored, and what each of their tokens is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from shadownb.engine.environments import Episode
from shadownb.engine.inference.types import Completion
from shadownb.engine.objectives.policy.acting import shown
from shadownb.engine.objectives.policy.advantages import advantages
from shadownb.engine.rendering.examples import Example
from shadownb.engine.rendering.masks import NOT_TRAINED, Rendered

if TYPE_CHECKING:
    from shadownb.engine.objectives.policy.gradient import PolicyGradient
    from shadownb.engine.objectives.sources import SourceRun

_WATCHED = 2  # answers of a batch whose divergence is looked at where the loss has none


@dataclass
class Group:
    """The answers to one prompt.

    Attributes
    ----------
    scores
        Of each answer ``{"reward", "rewards", "reasons"}``, as :class:`~.rewards.Rewards` gives them.
    rows
        Prompt and answer as they are trained: the very tokens that were sampled.
    old, reference
        Log-probabilities of an answer's tokens, of the weights that gave it and of the model as the run found it; None where
        nobody needs them.
    advantages
        How much better each answer is than what it is compared with.
    """

    prompt: Example
    answers: list[Completion]
    scores: list[dict[str, Any]]
    rows: list[Rendered] = field(init=False)
    old: list[list[float] | None] = field(init=False)
    reference: list[list[float] | None] = field(init=False)
    advantages: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        asked = self.prompt.rows[0].input_ids
        self.rows = [
            answer.row
            if isinstance(answer, Episode)
            else Rendered([*asked, *answer.token_ids], [NOT_TRAINED] * len(asked) + list(answer.token_ids))
            for answer in self.answers
        ]
        self.old, self.reference = [None] * len(self.rows), [None] * len(self.rows)

    @property
    def rewards(self) -> list[float | None]:
        """What each answer is worth; None where nothing could score it."""
        return [score["reward"] for score in self.scores]

    def told(self) -> dict[str, Any]:
        """Return the group as readers of the run see it."""
        items = [
            {
                "completion": shown(answer),
                "finish_reason": answer.finish_reason,
                "tokens": len(answer.token_ids),
                **score,
                "advantage": advantage,
            }
            for answer, score, advantage in zip(self.answers, self.scores, self.advantages, strict=True)
        ]
        said = self.prompt.said
        return {"row": self.prompt.id, "prompt": str(said[-1]["content"]) if said else "", "completions": items}


def compare(groups: Sequence[Group], run: SourceRun, objective: PolicyGradient) -> float | None:
    """Fill in what tokens are compared with, and the advantages.

    Returns the divergence from the model as the run found it, in nats a token; None where nobody looks at it.
    """
    own = objective.own
    places = [(group, at) for group in groups for at, row in enumerate(group.rows) if row.predicted_tokens]
    bundles = [(group.rows[at],) for group, at in places]
    if objective.recomputes:
        for (group, at), rows in zip(places, run.log_probs(bundles), strict=True):
            group.old[at] = rows[0]
    elif own.old_logprobs == "stored":
        for group, at in places:
            group.old[at] = group.answers[at].logprobs
    if own.beta:
        for (group, at), rows in zip(places, run.log_probs(bundles, reference=True), strict=True):
            group.reference[at] = rows[0]
    found = advantages(
        [_less_divergence(group, own.beta) if own.kl_in == "reward" else group.rewards for group in groups],
        estimator=own.advantage_estimator,
        scale=own.scale_rewards,
    )
    for group, of_group in zip(groups, found, strict=True):
        group.advantages = of_group
    return _divergence(groups, run, objective)


def _less_divergence(group: Group, beta: float) -> list[float | None]:
    """Return the rewards less what an answer has gone from the reference, summed over its tokens, as RLOO has it."""
    if not beta:
        return group.rewards
    return [
        None if reward is None or now is None or then is None else reward - beta * (sum(now) - sum(then))
        for reward, now, then in zip(group.rewards, group.old, group.reference, strict=True)
    ]


def _divergence(groups: Sequence[Group], run: SourceRun, objective: PolicyGradient) -> float | None:
    pairs = [
        (now, then)
        for group in groups
        for now, then in zip(group.old, group.reference, strict=True)
        if now is not None and then is not None
    ]
    if not pairs and (objective.own.max_kl is not None or objective.own.beta):
        rows = [(row,) for group in groups for row in group.rows if row.predicted_tokens]
        some = rows[:: max(1, len(rows) // _WATCHED)][:_WATCHED]
        pairs = [
            (now[0], then[0])
            for now, then in zip(run.log_probs(some), run.log_probs(some, reference=True), strict=True)
        ]
    apart = [a - b for now, then in pairs for a, b in zip(now, then, strict=True)]
    return sum(apart) / len(apart) if apart else None


def examples_of(groups: Sequence[Group], batch: int, objective: PolicyGradient) -> list[Example]:
    """Return the answers that have a part in the loss, each with what the step's sum is divided by, which counts all that could.

    A batch without anything to learn gives one whose advantage is 0: its step moves nothing, and rates and epochs are where they
    would be.
    """
    masked = objective.own.mask_truncated_completions
    every: list[Example] = []
    counted: list[Example] = []
    for place, group in enumerate(groups):
        for sample, row in enumerate(group.rows):
            if not row.predicted_tokens:
                continue
            cut = masked and group.answers[sample].finish_reason == "length"
            columns = {
                "advantage": 0.0 if cut else group.advantages[sample],
                "old": group.old[sample],
                "reference": group.reference[sample],
            }
            every.append(Example((row,), columns=columns, id=f"answers/{batch}/{place}/{sample}"))
            counted += [] if cut else every[-1:]
    total = {
        "answers": sum(len(group.rows) for group in groups),
        "tokens": sum(example.rows[0].predicted_tokens for example in counted),
    }
    chosen = [example for example in counted if example.columns["advantage"] or objective.divergence_in_loss]
    if not chosen:
        shortest = min(every, key=lambda example: len(example.rows[0].input_ids))
        chosen = [_with(shortest, advantage=0.0, reference=None)]
    return [_with(example, total=total) for example in chosen]


def _with(example: Example, **columns: Any) -> Example:
    return Example(example.sequences, columns={**example.columns, **columns}, id=example.id)
