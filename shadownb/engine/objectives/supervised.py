"""Imitation: the mean next-token loss over the trained tokens of a step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from shadownb.engine.methods.spec import SUPERVISED_FORMATS
from shadownb.engine.objectives.base import Objective, Row
from shadownb.engine.rendering.examples import Example, windows
from shadownb.engine.rendering.masks import LossOn

if TYPE_CHECKING:
    from shadownb.engine.objectives.arrays import Ops, Tokens
    from shadownb.engine.rendering.renderer import Renderer


class Supervised(Objective):
    """Next-token cross-entropy, every trained token with the same weight."""

    unit = "tokens"
    formats = SUPERVISED_FORMATS
    # Which tokens are trained is a choice only where rows are imitated.
    fields = ("packing", "loss_on", "assistant_only_loss")

    @classmethod
    def suits(cls, row: Row) -> bool:
        """Return whether the row is one conversation or text without a verdict."""
        return "chosen" not in row and "label" not in row

    @classmethod
    def examples(
        cls, renderer: Renderer, row: Row, *, loss_on: LossOn, max_length: int | None, long_rows: str
    ) -> list[Example]:
        """Return an example a sequence; a text that is too long is cut or split into windows."""
        if long_rows == "split" and "text" in row:
            whole = renderer.render(row, loss_on="all")
            return [Example((window,)) for window in windows(whole, max_length)]
        sequences = renderer.render_all(row, loss_on=loss_on, max_length=max_length)
        return [Example((sequence,)) for sequence in sequences]

    def count(self, examples: Sequence[Example]) -> int:
        """Return the number of trained tokens."""
        return sum(row.predicted_tokens for example in examples for row in example.rows)

    def loss(self, ops: Ops[Any], tokens: Tokens[Any], examples: Sequence[Example], *, held_out: bool) -> Any:
        """Return the summed negative log-probability."""
        return ops.sum(-tokens.logp)
