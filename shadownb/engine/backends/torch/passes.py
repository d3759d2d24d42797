"""From examples to log-probabilities: how the rows of a step, of an evaluation and of a reference are computed in pieces."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch.nn.functional import cross_entropy

from shadownb.engine.backends.torch.attention import Packing, piece_layout, target_logits
from shadownb.engine.backends.torch.pieces import Piece, pack
from shadownb.engine.backends.torch.surfaces import Surface
from shadownb.engine.rendering import Rendered
from shadownb.engine.rendering.examples import Example
from shadownb.engine.rendering.packing import Bundle, split


@dataclass
class Passes:
    """The forward passes of a model with a surface on it.

    Attributes
    ----------
    max_tokens
        Most tokens of a piece.
    shares
        Whether what rows start with is computed once for all of them.
    autocast
        The 16-bit format that a GPU computes in; None computes in the weights' own.
    one_operation
        Whether a LoRA layer and its base are computed as one.
    layers_in_one_operation
        How many were, in the newest pass.
    """

    surface: Surface
    packing: Packing
    device: torch.device
    max_tokens: int
    shares: bool
    autocast: torch.dtype | None = None
    one_operation: bool = False
    layers_in_one_operation: int = 0

    def pieces(self, examples: Sequence[Example]) -> Iterator[tuple[Piece, list[Example]]]:
        """Yield the pieces of examples, each with the examples whose rows are in it, in that order."""
        for group in self._split([example.rows for example in examples]):
            members = [examples[number] for number in group]
            yield self._pack([row for example in members for row in example.rows]), members

    def bundles(self, bundles: Sequence[Bundle]) -> Iterator[tuple[Piece, list[int]]]:
        """Yield the pieces of bundles of rows, each with the numbers of its bundles."""
        for group in self._split(bundles):
            yield self._pack([row for number in group for row in bundles[number]]), group

    def _split(self, bundles: Sequence[Bundle]) -> list[list[int]]:
        limit = 0 if self.packing.kind == "single" else self.max_tokens
        return split(bundles, limit, share=self.shares)

    def _pack(self, rows: Sequence[Rendered]) -> Piece:
        return pack(rows, share=self.shares, device=self.device)

    @contextlib.contextmanager
    def nll(self, piece: Piece) -> Iterator[torch.Tensor]:
        """Yield the negative log-probabilities of a piece's targets, shape (N,); logits exist only at those positions."""
        # Gradient checkpointing runs the forward pass again in the backward pass, so the layout holds for both.
        with contextlib.ExitStack() as layouts:
            parts = piece.alone() if self.packing.kind == "single" and piece.rows > 1 else [piece]
            yield torch.cat([self._part(part, layouts) for part in parts])

    def _part(self, piece: Piece, layouts: contextlib.ExitStack) -> torch.Tensor:
        called, computed, inputs = self.surface.feed(self.surface.module, piece)
        layout = layouts.enter_context(piece_layout(self.surface.base, computed, self.packing))
        if self.one_operation:
            self.layers_in_one_operation = layouts.enter_context(self.surface.in_one_operation())
        with self._cast():
            return cross_entropy(target_logits(called, computed, inputs, layout), computed.targets, reduction="none")

    def _cast(self) -> contextlib.AbstractContextManager[object]:
        if self.autocast is None:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, self.autocast)
