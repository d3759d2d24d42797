"""Which rows are computed together, and how they lie in one sequence; tokens and numbers only.

What several rows of a step start with (the system prompt of a task that is done over and over, the prompt of a chosen and a
rejected answer) stands in the sequence once: it is a tree of segments.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from shadownb.engine.rendering.masks import NOT_TRAINED, Rendered

# A shared start shorter than this costs more in bookkeeping than it saves.
_MIN_SHARED = 16

Bundle = Sequence[Rendered]  # rows that are computed in the same pass: one, or the answers of a preference pair


@dataclass(frozen=True)
class Segment:
    """A run of tokens that sees itself and the segments ``behind`` it, each as (start, length) in the piece."""

    start: int
    length: int
    behind: tuple[tuple[int, int], ...] = ()


def best_fit(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Return rows grouped into packs of at most ``capacity`` tokens, longest first into the fullest pack that has room."""
    packs: list[list[int]] = []
    room: list[int] = []
    for row in sorted(range(len(lengths)), key=lambda index: (-lengths[index], index)):
        fitting = [(left, pack) for pack, left in enumerate(room) if left >= lengths[row]]
        if fitting:
            left, pack = min(fitting)
            packs[pack].append(row)
            room[pack] = left - lengths[row]
        else:
            packs.append([row])
            room.append(capacity - lengths[row])
    return packs


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


def common_start(rows: Sequence[Rendered]) -> int:
    """Return how many first tokens all rows share, none of which (nor the next) is trained; 0 if not worth it."""
    shared = _common(rows, [_shareable(row) for row in rows], 0) if len(rows) > 1 else 0
    return shared if shared >= _MIN_SHARED else 0


@dataclass
class Tree:
    """Rows laid down one behind the other, depth first, each shared start once.

    Attributes
    ----------
    ids, positions
        The tokens of the whole sequence, and the place of each in its row.
    keep, targets, owners
        Positions whose next token is trained, that token, and the number of the row it belongs to.
    leaves
        By the row's number the segment that is its own and ends it.
    places, whole
        Where each token stands, and how many there are, where rows are laid down with all their tokens: a dropout mask is drawn
        for those, so that what is not computed changes no number of it.
    """

    rows: Sequence[Rendered]
    share: bool
    ids: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    segments: list[Segment] = field(default_factory=list)
    keep: list[int] = field(default_factory=list)
    targets: list[int] = field(default_factory=list)
    owners: list[int] = field(default_factory=list)
    leaves: dict[int, Segment] = field(default_factory=dict)
    places: list[int] = field(default_factory=list)
    whole: int = 0

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

    def _segment(
        self, ids: Sequence[int], depth: int, behind: tuple[tuple[int, int], ...], *, left_out: int = 0
    ) -> Segment:
        segment = Segment(len(self.ids), len(ids), behind)
        self.segments.append(segment)
        self.ids.extend(ids)
        self.places.extend(range(self.whole, self.whole + len(ids)))
        self.whole += len(ids) + left_out
        self.positions.extend(range(depth, depth + len(ids)))
        return segment

    def _leaf(self, member: int, depth: int, behind: tuple[tuple[int, int], ...]) -> None:
        row = self.rows[member]
        needed = _needed(row)
        left_out = len(row.input_ids) - needed
        leaf = self.leaves[member] = self._segment(row.input_ids[depth:needed], depth, behind, left_out=left_out)
        offset = leaf.start - depth
        for position in range(depth, min(needed, len(row.input_ids) - 1)):
            if row.labels[position + 1] != NOT_TRAINED:
                self.keep.append(offset + position)
                self.targets.append(row.labels[position + 1])
                self.owners.append(member)


def _needed(row: Rendered) -> int:
    """Return how many first tokens of a row are computed: none sees those behind it, and the last target is no input."""
    return next((n for n in range(len(row.labels) - 1, 0, -1) if row.labels[n] != NOT_TRAINED), len(row.input_ids))


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
