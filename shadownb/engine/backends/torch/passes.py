"""From examples to log-probabilities: how the rows of a step, of an evaluation and of a reference are computed in pieces."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch.nn.functional import cross_entropy

from shadownb.engine.backends.torch.arrays import TorchTokens, Watched
from shadownb.engine.backends.torch.attention import Packing, piece_layout, target_logits
from shadownb.engine.backends.torch.pieces import Piece, pack
from shadownb.engine.backends.torch.surfaces import Surface
from shadownb.engine.objectives.arrays import Need
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
    needs
        What the objective needs of a pass beside log-probabilities.
    head
        The scalar head, where the objective needs values: (N, width) to (N, 1).
    """

    surface: Surface
    packing: Packing
    device: torch.device
    max_tokens: int
    shares: bool
    autocast: torch.dtype | None = None
    one_operation: bool = False
    layers_in_one_operation: int = 0
    needs: frozenset[Need] = frozenset()
    head: torch.nn.Module | None = None

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
    def tokens(self, piece: Piece) -> Iterator[TorchTokens]:
        """Yield the trained tokens of a piece; logits exist only at those positions, and stay only where they are needed."""
        # Gradient checkpointing runs the forward pass again in the backward pass, so the layout holds for both.
        with contextlib.ExitStack() as layouts:
            parts = piece.alone() if self.packing.kind == "single" and piece.rows > 1 else [piece]
            found = [self._part(part, layouts) for part in parts]
            yield TorchTokens(-torch.cat([nll for nll, _ in found]), piece, _joined([watched for _, watched in found]))

    def _part(self, piece: Piece, layouts: contextlib.ExitStack) -> tuple[torch.Tensor, Watched]:
        called, computed, inputs = self.surface.feed(self.surface.module, piece)
        layout = layouts.enter_context(piece_layout(self.surface.base, computed, self.packing))
        if self.one_operation:
            self.layers_in_one_operation = layouts.enter_context(self.surface.in_one_operation())
        hidden = layouts.enter_context(self._hidden()) if self.needs & {"hidden", "value"} else []
        with self._cast():
            logits = target_logits(called, computed, inputs, layout)
            nll = cross_entropy(logits, computed.targets, reduction="none")
        kept = hidden[-1][0] if hidden else None
        return nll, Watched(
            self.needs,
            logits if self.needs & {"logits", "entropy", "top_k"} else None,
            kept.float() if kept is not None and "hidden" in self.needs else None,
            self.head(kept.float())[:, 0] if kept is not None and self.head is not None else None,
        )

    @contextlib.contextmanager
    def _hidden(self) -> Iterator[list[torch.Tensor]]:
        """Yield a list that gets what the output embeddings are multiplied with, shape (1, N, width), at each pass."""
        seen: list[torch.Tensor] = []
        hook = self.surface.base.get_output_embeddings().register_forward_pre_hook(
            lambda _, inputs: seen.append(inputs[0])
        )
        try:
            yield seen
        finally:
            hook.remove()

    def _cast(self) -> contextlib.AbstractContextManager[object]:
        if self.autocast is None:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, self.autocast)


def _joined(parts: list[Watched]) -> Watched:
    """Return what several passes left as one."""
    if len(parts) == 1:
        return parts[0]
    columns = ([getattr(part, name) for part in parts] for name in ("logits", "hidden", "value"))
    return Watched(parts[0].needs, *(torch.cat(column) if column[0] is not None else None for column in columns))
