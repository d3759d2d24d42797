"""The rows of one optimizer step as pieces without padding.

All rows of a step are computed in as few forward passes as ``max_tokens_per_forward`` allows. In a piece the rows lie one
behind the other in a single sequence, and what several of them start with (the system prompt of a task that is done over
and over, the prompt of a chosen and a rejected answer) stands there once: the piece is a tree of segments. Attention
keeps the rows apart (:mod:`.attention`), logits are computed only where a token is trained. Losses are summed and divided
by the step's count, so the split into pieces changes nothing but rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch

from shadownb.engine.rendering import Rendered
from shadownb.engine.rendering.masks import NOT_TRAINED

# A shared start shorter than this costs more in bookkeeping than it saves.
_MIN_SHARED = 16

Bundle = Sequence[Rendered]  # rows that are computed in the same piece: one, or the answers of a preference pair


@dataclass(frozen=True)
class Segment:
    """A run of tokens that sees itself and the segments ``behind`` it, each as (start, length) in the piece."""

    start: int
    length: int
    behind: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Piece:
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
    """

    input_ids: torch.Tensor
    position_ids: torch.Tensor
    segments: tuple[Segment, ...]
    keep: torch.Tensor
    targets: torch.Tensor
    owners: torch.Tensor
    rows: int

    def behind_prefix(self, length: int) -> Piece:
        """Return the piece with room for ``length`` learned embeddings that every row sees; ``input_ids`` stay as they are."""
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

    def alone(self) -> list[Piece]:
        """Return each row as a piece of its own, in their order; only for pieces that share nothing."""
        return [self._part(number, segment) for number, segment in enumerate(self.segments)]

    def _part(self, number: int, segment: Segment) -> Piece:
        span = slice(segment.start, segment.start + segment.length)
        mine = self.owners == number
        return Piece(
            self.input_ids[:, span],
            self.position_ids[:, span],
            (Segment(0, segment.length),),
            self.keep[mine] - segment.start,
            self.targets[mine],
            self.owners[mine] - number,
            1,
        )


def split(bundles: Sequence[Bundle], max_tokens: int, *, share: bool) -> list[list[int]]:
    """Return the numbers of the bundles of each piece, whose packed length is at most ``max_tokens`` (a longer one is alone).

    Bundles are taken in order of length, so that a piece's attention is even; the order within a step has no effect on
    the sum of the losses.
    """
    shared = common_start([row for bundle in bundles for row in bundle]) if share else 0
    sizes = [_packed_length(bundle, share=share) for bundle in bundles]
    groups: list[list[int]] = []
    total = 0
    for number in sorted(range(len(bundles)), key=lambda n: sizes[n]):
        if groups and total + sizes[number] - shared <= max_tokens:
            groups[-1].append(number)
            total += sizes[number] - shared
        else:
            groups.append([number])
            total = sizes[number]
    return groups


def pack(rows: Sequence[Rendered], *, share: bool, device: torch.device | str = "cpu") -> Piece:
    """Pack rows into one piece."""
    tree = _Tree(rows, share=share)
    return Piece(
        input_ids=torch.tensor([tree.ids], device=device),
        position_ids=torch.tensor([tree.positions], device=device),
        segments=tuple(tree.segments),
        keep=torch.tensor(tree.keep, dtype=torch.long, device=device),
        targets=torch.tensor(tree.targets, dtype=torch.long, device=device),
        owners=torch.tensor(tree.owners, dtype=torch.long, device=device),
        rows=len(rows),
    )


def common_start(rows: Sequence[Rendered]) -> int:
    """Return how many first tokens all rows share, none of which (nor the next) is trained; 0 if not worth it."""
    shared = _common(rows, [_shareable(row) for row in rows], 0) if len(rows) > 1 else 0
    return shared if shared >= _MIN_SHARED else 0


@dataclass
class _Tree:
    """The segments of a piece while they are laid down, depth first."""

    rows: Sequence[Rendered]
    share: bool
    ids: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    segments: list[Segment] = field(default_factory=list)
    keep: list[int] = field(default_factory=list)
    targets: list[int] = field(default_factory=list)
    owners: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._free = [_shareable(row) if self.share else 0 for row in self.rows]
        self._place(list(range(len(self.rows))), 0, ())

    def _place(self, members: list[int], depth: int, behind: tuple[tuple[int, int], ...]) -> None:
        """Lay down rows that are alike in their first ``depth`` tokens, which stand in ``behind`` already."""
        if len(members) == 1:
            self._leaf(members[0], depth, behind)
            return
        common = _common([self.rows[m] for m in members], [self._free[m] for m in members], depth)
        if common >= _MIN_SHARED:
            segment = self._segment(self.rows[members[0]].input_ids[depth : depth + common], depth, behind)
            behind, depth, common = (*behind, (segment.start, segment.length)), depth + common, 0
        branches: dict[int, list[int]] = {}
        for member in members:
            at = depth + common
            # A row that may share nothing more is a branch of its own.
            token = self.rows[member].input_ids[at] if self._free[member] > at else -1 - member
            branches.setdefault(token, []).append(member)
        for branch in branches.values():
            self._place(branch, depth, behind)

    def _segment(self, ids: Sequence[int], depth: int, behind: tuple[tuple[int, int], ...]) -> Segment:
        segment = Segment(len(self.ids), len(ids), behind)
        self.segments.append(segment)
        self.ids.extend(ids)
        self.positions.extend(range(depth, depth + len(ids)))
        return segment

    def _leaf(self, member: int, depth: int, behind: tuple[tuple[int, int], ...]) -> None:
        row = self.rows[member]
        offset = self._segment(row.input_ids[depth:], depth, behind).start - depth
        for position in range(depth, len(row.input_ids) - 1):
            if row.labels[position + 1] != NOT_TRAINED:
                self.keep.append(offset + position)
                self.targets.append(row.labels[position + 1])
                self.owners.append(member)


def _shareable(row: Rendered) -> int:
    """Return how many first tokens other rows may share; the one before the first trained token is the row's own."""
    return max(0, row.first_trained - 1)


def _common(rows: Sequence[Rendered], free: Sequence[int], depth: int) -> int:
    limit = min(free)
    if limit <= depth:
        return 0
    parts = [row.input_ids[depth:limit] for row in rows]
    # What the smallest and the largest list share, all share.
    first, last = min(parts), max(parts)
    return next((n for n, (a, b) in enumerate(zip(first, last, strict=True)) if a != b), len(first))


def _packed_length(bundle: Bundle, *, share: bool) -> int:
    total = sum(len(row.input_ids) for row in bundle)
    return total - (len(bundle) - 1) * common_start(bundle) if share else total
