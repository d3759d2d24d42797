"""The rows of one optimizer step as batches without padding.

All rows of a step are computed in as few forward passes as ``max_tokens_per_forward`` allows. In a batch the rows lie one
behind the other in a single sequence (:mod:`shadownb.engine.rendering.packing`). Attention keeps the rows apart
(:mod:`.attention`), logits are computed only where a token is trained. Losses are summed and divided by the step's count, so
the split into batches changes nothing but rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from shadownb.engine.rendering import Rendered
from shadownb.engine.rendering.packing import Segment, Tree


@dataclass(frozen=True)
class PackedBatch:
    """Rows packed into one sequence of T tokens.

    Attributes
    ----------
    input_ids, position_ids
        Shape (1, T), int64.
    segments
        In the order of the sequence, without gaps.
    keep
        Shape (N,): positions whose next token is trained.
    targets
        Shape (N,): those next tokens.
    owners
        Shape (N,): the number of the row each of them belongs to.
    rows
        How many rows are packed.
    places, whole
        Shape (T,): where each token stands among the ``whole`` tokens that there would be if what no loss depends on were computed
        as well. None where nothing was left out.
    """

    input_ids: torch.Tensor
    position_ids: torch.Tensor
    segments: tuple[Segment, ...]
    keep: torch.Tensor
    targets: torch.Tensor
    owners: torch.Tensor
    rows: int
    places: torch.Tensor | None = None
    whole: int = 0

    def behind_prefix(self, length: int) -> PackedBatch:
        """Return the batch with room for ``length`` learned embeddings that every row sees; ``input_ids`` stay as they are."""
        moved = [
            Segment(s.start + length, s.length, ((0, length), *((start + length, n) for start, n in s.behind)))
            for s in self.segments
        ]
        return replace(
            self,
            position_ids=torch.cat(
                (torch.arange(length, device=self.position_ids.device)[None], self.position_ids + length), dim=1
            ),
            segments=(Segment(0, length), *moved),
            keep=self.keep + length,
        )

    def alone(self) -> list[PackedBatch]:
        """Return each row as a batch of its own, in their order; only for batches that share nothing."""
        return [self._part(number, segment) for number, segment in enumerate(self.segments)]

    def _part(self, number: int, segment: Segment) -> PackedBatch:
        span = slice(segment.start, segment.start + segment.length)
        mine, places, whole = self.owners == number, None, segment.length
        if self.places is not None:
            starts = [int(self.places[other.start]) for other in self.segments]
            places = self.places[span] - starts[number]
            whole = [*starts, self.whole][number + 1] - starts[number]
        return PackedBatch(
            self.input_ids[:, span],
            self.position_ids[:, span],
            (Segment(0, segment.length),),
            self.keep[mine] - segment.start,
            self.targets[mine],
            self.owners[mine] - number,
            1,
            places,
            whole,
        )


def pack(rows: Sequence[Rendered], *, share: bool, device: torch.device | str = "cpu") -> PackedBatch:
    """Pack rows into one batch."""
    tree = Tree(rows, share=share)
    return PackedBatch(
        input_ids=torch.tensor([tree.ids], device=device),
        position_ids=torch.tensor([tree.positions], device=device),
        segments=tuple(tree.segments),
        keep=torch.tensor(tree.keep, dtype=torch.long, device=device),
        targets=torch.tensor(tree.targets, dtype=torch.long, device=device),
        owners=torch.tensor(tree.owners, dtype=torch.long, device=device),
        rows=len(rows),
        places=torch.tensor(tree.places, device=device) if tree.whole > len(tree.ids) else None,
        whole=tree.whole,
    )
