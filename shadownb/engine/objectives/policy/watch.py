"""Whether a run can learn, and whether it has gone wrong: told at its start, and ended where answers have collapsed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from shadownb.engine.objectives.base import Remark
from shadownb.engine.objectives.policy.options import AnswerOptions

# On the shipped task 12 steps of SFT left an entropy of 0.1 nats a token, and GRPO from there changed nothing.
_SURE = 0.3
_LOOKED_AT = 8  # groups before it is said that most of them teach nothing
_FLAT = 0.75
_BATCHES = 3  # in a row, before a run is ended
_SHRUNK, _SHORT = (
    0.1,
    4.0,
)  # share of the first length, and tokens that no answer needs to be shorter than to be suspect
_MAX_KL = 5.0


@dataclass
class BatchFacts:
    """What is looked at of a batch of answers.

    Attributes
    ----------
    rewards
        Of each group, None for what nothing could score.
    flat
        How many groups have no spread.
    entropy
        Nats a token; None where it is not known.
    length
        Mean tokens of an answer.
    kl
        Nats a token from the model as the run found it; None where nobody looked.
    """

    rewards: Sequence[Sequence[float | None]]
    flat: int
    entropy: float | None
    length: float
    kl: float | None = None


@dataclass
class PolicyWatch:
    """Looks at each batch; its state is part of checkpoints."""

    told: list[str] = field(default_factory=list)
    groups: int = 0
    flat: int = 0
    best: float = 0.0  # the largest reward, by its size, of the first groups
    first_length: float = 0.0
    first_reward: float = 0.0
    batches: int = 0
    short: int = 0
    far: int = 0

    def look(self, batch: BatchFacts, own: AnswerOptions) -> Iterator[Remark]:
        """Take note of a batch; yields what the user should see of a run that cannot learn."""
        known = [reward for group in batch.rewards for reward in group if reward is not None]
        mean = sum(known) / len(known) if known else 0.0
        if not self.batches:
            self.first_length, self.first_reward = batch.length, mean
        self.batches += 1
        collapsed = batch.length < max(_SHRUNK * self.first_length, min(_SHORT, self.first_length / 2))
        self.short = self.short + 1 if collapsed and mean <= self.first_reward else 0
        limit = own.max_kl or _MAX_KL
        self.far = self.far + 1 if batch.kl is not None and batch.kl > limit else 0
        if self.groups < _LOOKED_AT:
            self.groups += len(batch.rewards)
            self.flat += batch.flat
            self.best = max([self.best, *map(abs, known)])
            yield from self._of_the_start(batch)

    def _of_the_start(self, batch: BatchFacts) -> Iterator[Remark]:
        if batch.entropy is not None and batch.entropy < _SURE and self.first("too-sure"):
            yield Remark(
                f"The model is nearly sure of its answers: {batch.entropy:.2f} nats a token.",
                why=f"Answers to one prompt then hardly differ, and below about {_SURE} nats a run seldom learns.",
                fix="Raise temperature, start from an earlier checkpoint, or train fewer steps of SFT before.",
                code="too-sure",
            )
        if self.groups < _LOOKED_AT:
            return
        if self.best == 0.0 and self.first("no-reward"):
            yield Remark(
                f"No answer to the first {self.groups} prompts scored anything: every reward is 0.000.",
                why="There is nothing that could be made more likely.",
                fix="Train on right answers first (method='lora') and go on from that run, or give a graded reward, which says of "
                "wrong answers which one is less so.",
                code="no-reward",
            )
        elif self.flat >= _FLAT * self.groups and self.first("no-spread"):
            yield Remark(
                f"In {self.flat} of the first {self.groups} groups all answers scored alike.",
                why="What is learned is the difference within a group, so these teach nothing.",
                fix="Give a graded reward, harder or easier prompts, a higher temperature, or more num_generations.",
                code="no-spread",
            )

    def first(self, code: str) -> bool:
        """Return whether something has not been told yet; from now on it has."""
        new = code not in self.told
        if new:
            self.told.append(code)
        return new

    def collapsed(self, own: AnswerOptions) -> str:
        """Return why the run is to end; empty where it is to go on."""
        if self.far >= _BATCHES:
            return f"the divergence from the start stayed above {own.max_kl or _MAX_KL:g} nats a token"
        if own.stop_on_collapse and self.short >= _BATCHES:
            return f"answers shrank to a tenth of {self.first_length:.0f} tokens without scoring more"
        return ""

    def state_dict(self) -> dict[str, Any]:
        """Return the state as JSON-compatible values."""
        return asdict(self)
