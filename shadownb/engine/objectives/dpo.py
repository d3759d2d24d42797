"""DPO: pairs of a better and a worse answer, against the model as the run found it.

The formulas are those of trl's trainer (a test compares loss and gradients with it); what is ours is the way the
log-probabilities are computed: a pair's prompt once, logits only at the answers, the reference once before the first step.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

from shadownb.engine.config_options import option
from shadownb.engine.objectives.base import Chart, Remark, Row, Score
from shadownb.engine.objectives.reference import REWARDS, Referenced, ReferenceOptions, answer
from shadownb.engine.rendering import Rendered
from shadownb.engine.rendering.examples import Example
from shadownb.engine.rendering.masks import NOT_TRAINED, LossOn

if TYPE_CHECKING:
    from shadownb.engine.objectives.arrays import Ops, Tokens
    from shadownb.engine.rendering.renderer import Renderer

# Pairs of the shipped task's one-line JSON share 95 % and took 68 right answers of 96 to 38, with sft_weight=1 they stayed 68.
# Two samples to one open question share 26 %, a first sentence and its whole answer 26 %.
_ALIKE = 0.75


class DpoOptions(ReferenceOptions):
    """DPO's own options."""

    loss_type: Literal["sigmoid", "hinge", "ipo"] = option(
        "sigmoid", "Loss function of the pair's reward margin, named as in trl.", "preference", advanced=True
    )
    sft_weight: float = option(
        1.0,
        "Weight of a next-token loss on the better answer, added to the DPO loss, so that this answer becomes likely and not "
        "merely less unlikely than the worse one (trl: loss_type ['sigmoid', 'sft']; RPO: alpha). 0 is plain DPO.",
        "preference",
        ge=0,
    )


class Dpo(Referenced):
    """Direct preference optimisation (Rafailov et al., 2023), with trl's sigmoid, hinge and ipo losses, alone or with sft."""

    unit = "pairs"
    formats = ("preference",)
    options = DpoOptions
    own: DpoOptions
    charts = (
        REWARDS,
        Chart("rewards_accuracy", "Preference accuracy", (("rewards_accuracy", "accuracy"),), share=True),
    )
    _sft_scale = 0.0  # of the step

    @classmethod
    def suits(cls, row: Row) -> bool:
        """Return whether the row is a pair."""
        return "chosen" in row

    @classmethod
    def examples(
        cls, renderer: Renderer, row: Row, *, loss_on: LossOn, max_length: int | None, long_rows: str
    ) -> list[Example]:
        """Return the pair."""
        chosen, rejected = (answer(renderer, row, row[side], max_length) for side in ("chosen", "rejected"))
        return [Example(chosen, rejected)]

    @classmethod
    def captions(cls, example: Example) -> list[tuple[str, tuple[Rendered, ...]]]:
        """Return the two answers."""
        return [("chosen", example.sequences), ("rejected", example.rejected)]

    @classmethod
    def looked_at(cls, seen: float, distinct: float) -> float:
        """Return that the reference looks at every pair once."""
        return distinct

    def remarks(self, examples: Sequence[Example], unit: str) -> Iterator[Remark]:
        """Tell of answers so much alike that DPO alone can make the better one less likely."""
        shared = statistics.median(_shared_tokens(example) for example in examples)
        if not self.own.sft_weight and shared >= _ALIKE:
            yield Remark(
                f"The two answers of the {unit} are much alike: they share {shared:.0%} of their tokens (median).",
                why="Where answers differ in few tokens DPO can make the better one less likely too, and the likelihood goes to "
                "answers that stand in no pair (Pal et al., 2024).",
                fix="Leave sft_weight at 1.0, which keeps the better answers likely; where each prompt has one right answer, "
                "method='lora' on the better answers is the stronger choice.",
                code="pairs-alike",
            )

    def begin(self, ops: Ops[Any], examples: Sequence[Example], score: Score, *, held_out: bool) -> None:
        """Learn how many tokens the step's better answers have."""
        # trl's "sft" is a mean over the tokens of the step's better answers, while what is summed here is divided by pairs.
        tokens = sum(row.predicted_tokens for example in examples for row in example.sequences)
        self._sft_scale = self.own.sft_weight * len(examples) / max(1, tokens)

    def loss(self, ops: Ops[Any], tokens: Tokens[Any], examples: Sequence[Example], *, held_out: bool) -> Any:
        """Return the summed preference loss, and that of imitating the better answers."""
        policy = self.policy(ops, tokens, examples)
        preferred = self._preferred(ops, policy - self.reference(ops, examples), examples)
        return preferred - self._sft_scale * ops.sum(policy[:, 0]) if self._sft_scale else preferred

    def _preferred(self, ops: Ops[Any], ratios: Any, examples: Sequence[Example]) -> Any:
        """Return the summed preference loss of (pairs, sides) log-ratios to the reference."""
        beta = self.own.beta
        rewards = beta * ops.stop(ratios)
        self.note(ops, "rewards_chosen", rewards[:, 0])
        self.note(ops, "rewards_rejected", rewards[:, 1])
        self.note(ops, "rewards_margin", rewards[:, 0] - rewards[:, 1])
        right = [better > worse for better, worse in ops.listed(rewards)]
        self.note(ops, "rewards_accuracy", ops.numbers([float(pair) for pair in right]))
        margin = ratios[:, 0] - ratios[:, 1]
        if self.own.loss_type == "sigmoid":
            return ops.sum(-ops.log_sigmoid(beta * margin))
        if self.own.loss_type == "hinge":
            return ops.sum(ops.relu(1 - beta * margin))
        lengths = [
            [max(1, sum(r.predicted_tokens for r in side)) for side in (e.sequences, e.rejected)] for e in examples
        ]
        means = ratios / ops.numbers([[float(length) for length in pair] for pair in lengths])
        return ops.sum((means[:, 0] - means[:, 1] - 1 / (2 * beta)) ** 2)


def _shared_tokens(example: Example) -> float:
    """Return which share of the trained tokens of a pair's two answers stands in both, in any order."""
    first, second = (
        Counter(label for row in side for label in row.labels if label != NOT_TRAINED)
        for side in (example.sequences, example.rejected)
    )
    return 2 * (first & second).total() / max(1, first.total() + second.total())
