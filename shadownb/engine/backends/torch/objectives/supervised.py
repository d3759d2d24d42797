"""Imitation: the mean next-token loss over the trained tokens of a step."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from shadownb.engine.backends.torch.objectives.base import Objective
from shadownb.engine.backends.torch.pieces import Piece
from shadownb.engine.rendering.examples import Example


class Supervised(Objective):
    """Next-token cross-entropy, every trained token with the same weight."""

    unit = "tokens"

    def count(self, examples: Sequence[Example]) -> int:
        return sum(row.predicted_tokens for example in examples for row in example.rows)

    def loss(self, nll: torch.Tensor, piece: Piece, examples: Sequence[Example], *, held_out: bool) -> torch.Tensor:
        return nll.sum()
