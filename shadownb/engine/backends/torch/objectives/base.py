"""Objective: what the loss of one optimizer step is, over examples that are computed in pieces.

The trainer owns loop, pieces, gate and events; an objective says how the log-probabilities of a piece become loss and
metrics. A step's loss is a sum over its pieces divided by one number (trained tokens, pairs, answers), so the split into
pieces changes nothing but rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from shadownb.engine.backends.torch.pieces import Piece
from shadownb.engine.rendering import Rendered
from shadownb.engine.rendering.examples import Example

if TYPE_CHECKING:
    from shadownb.engine.config import TrainConfig

# (rows of each bundle) -> yields (numbers of the bundles of a piece, the piece's log-probabilities summed by row)
Scored = Callable[[Sequence[Sequence[Rendered]]], Iterator[tuple[list[int], torch.Tensor]]]


class Objective:
    """One objective of one run.

    Attributes
    ----------
    unit
        What the loss is a mean over.
    max_length
        Most tokens of a row, also of one that the objective makes.
    """

    unit: ClassVar[str]

    def __init__(self, config: TrainConfig, max_length: int) -> None:
        self.config = config
        self.max_length = max_length
        self._since_log: dict[str, list[float]] = {}

    # -- data -------------------------------------------------------------------------------------------------------

    def arrange(self, examples: list[Example]) -> list[Example]:
        """Return the examples as they are trained, after all were rendered."""
        return examples

    def prepare(self, examples: Sequence[Example], scored: Scored, *, needed: Sequence[int], held_out: bool) -> None:
        """Compute what must be known before the first step; ``needed`` are the numbers of the examples the run will see."""

    def write_state(self, folder: Path) -> None:
        """Write what :meth:`prepare` found into a checkpoint."""

    def load_state(self, folder: Path) -> bool:
        """Read what :meth:`write_state` wrote; returns whether it was there."""
        return True

    # -- loss -------------------------------------------------------------------------------------------------------

    def count(self, examples: Sequence[Example]) -> int:
        """Return the number that a step's summed loss is divided by."""
        raise NotImplementedError

    def begin(self, examples: Sequence[Example], scored: Scored, *, held_out: bool) -> None:
        """Look at a whole step before its pieces are computed."""

    def loss(self, nll: torch.Tensor, piece: Piece, examples: Sequence[Example], *, held_out: bool) -> torch.Tensor:
        """Return the summed loss of a piece, shape ().

        Parameters
        ----------
        nll
            Shape (N,): negative log-probabilities of the piece's targets.
        examples
            Those whose rows are in the piece, in that order.
        """
        raise NotImplementedError

    # -- metrics ----------------------------------------------------------------------------------------------------

    def note(self, name: str, values: torch.Tensor) -> None:
        """Remember values of which the next report gives the mean."""
        total = self._since_log.setdefault(name, [0.0, 0.0])
        total[0] += float(values.detach().sum())
        total[1] += values.numel()

    def metrics(self) -> dict[str, float]:
        """Return the means since the last call."""
        means = {name: total / count for name, (total, count) in self._since_log.items() if count}
        self._since_log = {}
        return means

    @property
    def since_log(self) -> dict[str, list[float]]:
        """Sums and counts that are not reported yet; part of a checkpoint."""
        return self._since_log

    @since_log.setter
    def since_log(self, value: dict[str, Any]) -> None:
        self._since_log = {name: list(pair) for name, pair in value.items()}


def sum_by_row(values: torch.Tensor, piece: Piece) -> torch.Tensor:
    """Return (N,) values of a piece summed to its rows, shape (rows,)."""
    return values.new_zeros(piece.rows).index_add(0, piece.owners, values)
