"""What rows have seen: keys and values of their tokens, of each row its own, and once what several rows start with."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn.functional import pad

_STEP = 64  # tokens that a cache grows by at least


class Block:
    """Tokens that several rows start with.

    Attributes
    ----------
    keys, values
        Shape (layers, heads, tokens, width of a head).
    """

    def __init__(self, keys: torch.Tensor, values: torch.Tensor) -> None:
        self.keys, self.values = keys, values
        self.length = keys.shape[2]


class OwnTokens:
    """The tokens of each row that no other row sees, in places that rows take and leave.

    Attributes
    ----------
    keys, values
        Shape (layers, places, heads, tokens, width of a head); zeros where nothing was written, because what a mask hides is
        multiplied by 0.
    lengths
        How many tokens the row of each taken place has.
    """

    def __init__(self, like: torch.Tensor) -> None:
        self.keys = like.new_zeros((like.shape[0], 0, like.shape[1], 0, like.shape[3]))
        self.values = self.keys
        self.lengths: list[int] = []

    def add(self, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Give a row the next place, with its first tokens, shape (layers, heads, tokens, width)."""
        place, length = len(self.lengths), keys.shape[2]
        self.reserve(place + 1, length)
        self.keys[:, place, :, :length] = keys
        self.values[:, place, :, :length] = values
        self.lengths.append(length)

    def remove(self, place: int) -> None:
        """Take a row out; the last one moves to its place."""
        last, length = len(self.lengths) - 1, self.lengths.pop()
        if place != last:
            self.lengths[place] = length
            for tensor in (self.keys, self.values):
                tensor[:, place, :, :length] = tensor[:, last, :, :length]

    def reserve(self, places: int, tokens: int) -> None:
        """Make room for rows and for tokens of each, by at least a half more where it is too small."""
        _, have_places, _, have_tokens, _ = self.keys.shape
        if places <= have_places and tokens <= have_tokens:
            return
        if places > have_places:
            have_places = max(places, have_places * 3 // 2)
        if tokens > have_tokens:
            have_tokens = max(tokens + _STEP, have_tokens * 3 // 2)
        taken = len(self.lengths)
        self.keys, self.values = (_grown(t, taken, have_places, have_tokens) for t in (self.keys, self.values))


def _grown(tensor: torch.Tensor, taken: int, places: int, tokens: int) -> torch.Tensor:
    grown = tensor.new_zeros((tensor.shape[0], places, tensor.shape[2], tokens, tensor.shape[4]))
    grown[:, :taken, :, : tensor.shape[3]] = tensor[:, :taken]
    return grown


class Group:
    """Blocks of similar length that are looked at together, each by the rows behind it.

    Attributes
    ----------
    keys, values
        Shape (layers, blocks, heads, tokens of the longest, width of a head).
    mask
        Added to scores, shape (blocks, 1, 1, tokens); None where all are equally long.
    """

    def __init__(self, blocks: Sequence[Block]) -> None:
        self.blocks = list(blocks)
        longest = max(block.length for block in blocks)
        self.keys, self.values = (
            torch.stack([pad(tensor, (0, 0, 0, longest - tensor.shape[2])) for tensor in tensors], dim=1)
            for tensors in ([block.keys for block in blocks], [block.values for block in blocks])
        )
        lengths = [block.length for block in blocks]
        self.mask = None if min(lengths) == longest else hidden_behind(lengths, longest, self.keys)
        self.rows = self.gather = self.back = torch.empty(0, dtype=torch.long)
        self.width = 0

    def seat(self, chains: Sequence[Sequence[Block]]) -> None:
        """Note which of the rows, whose blocks are ``chains``, look at which block."""
        number = {id(block): at for at, block in enumerate(self.blocks)}
        members: list[list[int]] = [[] for _ in self.blocks]
        for row, chain in enumerate(chains):
            for block in chain:
                if id(block) in number:
                    members[number[id(block)]].append(row)
        self.width = max(map(len, members))
        padded = [each + [0] * (self.width - len(each)) for each in members]
        self.gather = torch.tensor(padded).flatten()
        places = {row: at * self.width + n for at, each in enumerate(members) for n, row in enumerate(each)}
        rows = sorted(places)
        self.back = torch.tensor([places[row] for row in rows])
        self.rows = torch.tensor(rows)

    @property
    def empty(self) -> bool:
        """Whether no row looks at it."""
        return self.width == 0


def grouped(chains: Sequence[Sequence[Block]], known: Sequence[Group]) -> list[Group]:
    """Return the groups that hold the blocks of all rows, as far as they fit those that are ``known``.

    A row has at most one block in a group. Blocks are grouped where none is more than a half longer than another, since all are
    padded to the longest.
    """
    levels: dict[int, tuple[int, Block]] = {}
    for chain in chains:
        for level, block in enumerate(chain):
            levels[id(block)] = (level, block)
    wanted: dict[tuple[int, int], list[Block]] = {}
    for level, block in levels.values():
        wanted.setdefault((level, _size(block.length)), []).append(block)
    found = []
    for blocks in wanted.values():
        ids = {id(block) for block in blocks}
        kept = next(
            (g for g in known if ids <= {id(b) for b in g.blocks} and len(g.blocks) <= 2 * len(ids)),
            None,
        )
        found.append(kept or Group(blocks))
    for group in found:
        group.seat(chains)
    return found


def _size(length: int) -> int:
    size = 0
    while length > 16:
        length, size = length * 2 // 3, size + 1
    return size


def hidden_behind(lengths: Sequence[int], longest: int, like: torch.Tensor) -> torch.Tensor:
    """Return what hides places from each length on, shape (rows, 1, 1, longest), to be added to scores."""
    places = torch.arange(longest)[None] >= torch.tensor(lengths)[:, None]
    return torch.zeros(places.shape, dtype=like.dtype).masked_fill_(places, float("-inf"))[:, None, None]
