"""KTO: single answers with a verdict, against the model as the run found it.

The drift from the reference (``kl``) is estimated on mismatched answers: each prompt with an answer to the prompt before it.
Where neighbours have other prompts, that is the answer of the example before it, as with trl, whose formulas these are.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from shadownb.engine.config_options import option
from shadownb.engine.objectives.base import Chart, Remark, Row, Score
from shadownb.engine.objectives.reference import REWARDS, Referenced, ReferenceOptions, answer
from shadownb.engine.rendering import Rendered
from shadownb.engine.rendering.examples import Example
from shadownb.engine.rendering.masks import NOT_TRAINED, LossOn

if TYPE_CHECKING:
    from shadownb.engine.config import TrainConfig
    from shadownb.engine.objectives.arrays import Ops, Tokens
    from shadownb.engine.rendering.renderer import Renderer


class KtoOptions(ReferenceOptions):
    """What is chosen of KTO."""

    desirable_weight: float = option(
        1.0, "Weight of the answers labelled good in the loss.", "preference", advanced=True, gt=0
    )
    undesirable_weight: float = option(
        1.0, "Weight of the answers labelled bad in the loss.", "preference", advanced=True, gt=0
    )


class Kto(Referenced):
    """Kahneman-Tversky optimisation (Ethayarajh et al., 2024)."""

    unit = "answers"
    formats = ("unpaired_preference", "preference")
    options = KtoOptions
    own: KtoOptions
    charts = (REWARDS, Chart("kl", "KL divergence", (("kl", "KL divergence"),)))

    def __init__(self, config: TrainConfig, max_length: int) -> None:
        super().__init__(config, max_length)
        self._mismatched: dict[str, Rendered] = {}
        self._drift: Any = None

    @classmethod
    def suits(cls, row: Row) -> bool:
        """Return whether the row is an answer with a verdict."""
        return "label" in row

    @classmethod
    def examples(
        cls, renderer: Renderer, row: Row, *, loss_on: LossOn, max_length: int | None, long_rows: str
    ) -> list[Example]:
        """Return the answer with its verdict; of a pair both answers."""
        if "chosen" in row:
            return [
                Example(answer(renderer, row, row[side], max_length), desirable=side == "chosen")
                for side in ("chosen", "rejected")
            ]
        return [Example(answer(renderer, row, row["completion"], max_length), desirable=row["label"])]

    @classmethod
    def captions(cls, example: Example) -> list[tuple[str, tuple[Rendered, ...]]]:
        """Return the answer with its verdict."""
        return [("desirable" if example.desirable else "undesirable", example.sequences)]

    @classmethod
    def looked_at(cls, seen: float, distinct: float) -> float:
        """Return that each answer is looked at twice, at its own prompt and another; at the latter again in every step."""
        return 2 * distinct + seen

    def remarks(self, examples: Sequence[Example], unit: str) -> Iterator[Remark]:
        """Tell of answers that all have one verdict."""
        if len({example.desirable for example in examples}) > 1:
            return
        verdict, other = ("good", "bad") if examples[0].desirable else ("bad", "good")
        yield Remark(
            f"All {len(examples):,} answers of the {unit} are {verdict}.",
            why=f"KTO learns from good answers beside bad ones. Without {other} ones there is no reward margin that says whether "
            "it tells them apart.",
            fix=f"Add {other} answers"
            + (", or leave the labels out and train with method='lora'." if examples[0].desirable else "."),
            code="one-verdict",
        )

    def arrange(self, examples: list[Example]) -> list[Example]:
        """Give each prompt an answer to another one; returns the examples as they are."""
        groups = _by_prompt(examples)
        for number, group in enumerate(groups):
            others = groups[number - 1]
            for place, example in enumerate(group):  # a pair's better answer gets a better one, the worse a worse
                reply = others[place % len(others)].rows[-1]
                self._mismatched[example.id] = _mismatch(example.rows[-1], reply, self.max_length)
        return examples

    def bundles(self, examples: Sequence[Example]) -> list[tuple[Rendered, ...]]:
        """Return each example's rows and its mismatched one."""
        return [(*example.rows, self._mismatched[example.id]) for example in examples]

    def sides(self, ops: Ops[Any], sums: Any, example: Example) -> Any:
        """Return the log-probabilities of the answer and of the mismatched one."""
        count = len(example.rows)
        mismatched = sums[count] if len(sums) > count else ops.numbers(0.0)
        return ops.stack([ops.sum(sums[:count]), mismatched])

    def policy(self, ops: Ops[Any], tokens: Tokens[Any], examples: Sequence[Example]) -> Any:
        """Return the model's own log-probabilities of the answers, shape (examples,)."""
        sums = tokens.by_row(tokens.logp)
        ends = list(itertools.accumulate(len(example.rows) for example in examples))
        return ops.stack([ops.sum(sums[start:end]) for start, end in zip([0, *ends], ends, strict=False)])

    def begin(self, ops: Ops[Any], examples: Sequence[Example], score: Score, *, held_out: bool) -> None:
        """Estimate how far the model has drifted from the reference, over all examples of the step."""
        now = [0.0] * len(examples)
        for numbers, tokens in score([(self._mismatched[example.id],) for example in examples]):
            for number, value in zip(numbers, ops.listed(tokens.by_row(tokens.logp)), strict=True):
                now[number] = value
        drift = ops.mean(ops.numbers(now) - self.reference(ops, examples)[:, 1])
        self._drift = ops.clip(drift, 0.0, None)  # it estimates a divergence
        self.note(ops, "kl", self._drift)

    def loss(self, ops: Ops[Any], tokens: Tokens[Any], examples: Sequence[Example], *, held_out: bool) -> Any:
        """Return the summed, weighted loss of the answers."""
        ratios = self.policy(ops, tokens, examples) - self.reference(ops, examples)[:, 0]
        good = [example.desirable for example in examples]
        rewards = ops.listed(self.own.beta * ops.stop(ratios))
        for name, wanted in (("rewards_chosen", True), ("rewards_rejected", False)):
            chosen = [reward for reward, verdict in zip(rewards, good, strict=True) if verdict is wanted]
            self.note(ops, name, ops.numbers(chosen))
        drift = self._drift
        gain = ops.sigmoid(self.own.beta * ops.where(ops.numbers(good), ratios - drift, drift - ratios))
        weights = (self.own.undesirable_weight, self.own.desirable_weight)
        return ops.sum(ops.numbers([weights[verdict] for verdict in good]) * (1 - gain))

    def metrics(self) -> dict[str, float]:
        """Return the means since the last call, and the margin where there were answers of both verdicts."""
        means = super().metrics()
        if "rewards_chosen" in means and "rewards_rejected" in means:
            means["rewards_margin"] = means["rewards_chosen"] - means["rewards_rejected"]
        return means


def _by_prompt(examples: Sequence[Example]) -> list[list[Example]]:
    """Return examples in groups, each of neighbours with one prompt, and of another prompt than the groups next to it.

    The first group is next to the last. Where all examples have the same prompt, each is a group.
    """
    groups = [list(group) for _, group in itertools.groupby(examples, _prompt)]
    if len(groups) > 1 and _prompt(groups[0][0]) == _prompt(groups[-1][0]):
        groups[0] = groups.pop() + groups[0]
    return groups if len(groups) > 1 else [[example] for example in examples]


def _prompt(example: Example) -> list[int]:
    first = example.rows[0]  # the others are of later turns, behind the answer's first ones
    return first.input_ids[: first.first_trained]


def _mismatch(prompt: Rendered, reply: Rendered, length: int) -> Rendered:
    """Return the prompt of one row with the answer of another."""
    before, start = prompt.first_trained, reply.first_trained
    return replace(
        prompt,
        input_ids=(prompt.input_ids[:before] + reply.input_ids[start:])[:length],
        labels=([NOT_TRAINED] * before + reply.labels[start:])[:length],
    )
