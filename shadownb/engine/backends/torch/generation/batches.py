"""Rows on their way to their answers, and several groups of them one after another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from shadownb.engine.backends.torch.generation.borrowing import View
from shadownb.engine.inference.rows import Row


class Batches(Protocol):
    """Rows of one side of the weights; whoever calls holds the weights."""

    view: View

    @property
    def done(self) -> bool:
        """Whether every row is finished."""
        ...

    def advance(self) -> list[Row]:
        """Go one step on; returns the rows that are finished by it."""
        ...


class InTurn:
    """Groups that are decoded in different ways, the second when the first is done."""

    def __init__(self, view: View, groups: Sequence[Batches]) -> None:
        self.view, self._groups = view, list(groups)

    @property
    def done(self) -> bool:
        """Whether every row of every group is finished."""
        return all(group.done for group in self._groups)

    def advance(self) -> list[Row]:
        """Go one step on with the first group that is not done."""
        group = next(group for group in self._groups if not group.done)
        group.view = self.view
        return group.advance()
