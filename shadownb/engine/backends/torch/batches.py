"""Which rows each optimizer step sees: a function of the seed and the epoch alone, so that a resume finds its place."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

import torch
from torch.utils.data import DataLoader, Sampler

from shadownb.engine.backends.torch.randomness import generator
from shadownb.engine.rendering.examples import Example


class StepSampler(Sampler[list[int]]):
    """Yields the row numbers of one optimizer step at a time.

    Every row comes once an epoch, in an order drawn anew for each epoch. With ``packing`` an item is not a row but a pack
    of rows that together are at most ``max_length`` tokens long (best fit, longest first).
    """

    def __init__(
        self, lengths: Sequence[int], items_per_step: int, seed: int, *, packing: bool, max_length: int
    ) -> None:
        self._items = best_fit(lengths, max_length) if packing else [[index] for index in range(len(lengths))]
        self._items_per_step = items_per_step
        self._seed = seed
        self._epoch = 0

    @property
    def items(self) -> int:
        """Rows, or packs, in one epoch."""
        return len(self._items)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order is drawn next."""
        self._epoch = epoch

    def rows_of_first(self, steps: int) -> list[int]:
        """Return the numbers, ascending, of the rows that a run's first ``steps`` steps see."""
        return sorted(row for batch in itertools.islice(self._batches(epoch=0), steps) for row in batch)

    def __iter__(self) -> Iterator[list[int]]:
        return self._batches(self._epoch)

    def _batches(self, epoch: int) -> Iterator[list[int]]:
        order = torch.randperm(len(self._items), generator=generator(self._seed, "order", epoch)).tolist()
        for start in range(0, len(order), self._items_per_step):
            yield [row for item in order[start : start + self._items_per_step] for row in self._items[item]]

    def __len__(self) -> int:
        return math.ceil(len(self._items) / self._items_per_step)


def step_loader(rows: Sequence[Example], sampler: StepSampler) -> DataLoader[list[Example]]:
    """Return a loader whose batches are lists of rows, one optimizer step each."""
    return DataLoader(
        rows,  # type: ignore[arg-type]
        batch_sampler=sampler,
        collate_fn=list,
        generator=torch.Generator().manual_seed(0),  # or the loader would draw from the global generator
    )


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
