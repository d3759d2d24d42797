"""Epochs over rows: which of them each optimizer step sees, as a function of the seed and the step alone."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from shadownb.engine.rendering.examples import Example
from shadownb.engine.rendering.packing import best_fit
from shadownb.engine.seeds import derived_seed


class Epochs:
    """Every row once an epoch, in an order drawn anew for each.

    With ``packing`` an item is not a row but a pack of rows that together are at most ``max_length`` tokens long (best fit,
    longest first). There is no state: a resume at a step sees what the run would have seen.
    """

    def __init__(
        self, examples: Sequence[Example], items_per_step: int, seed: int, *, packing: bool, max_length: int
    ) -> None:
        self.examples = examples
        lengths = [sum(len(row.input_ids) for row in example.rows) for example in examples]
        self._packs = best_fit(lengths, max_length) if packing else [[index] for index in range(len(lengths))]
        self._items_per_step = items_per_step
        self._seed = seed
        self._order = functools.lru_cache(maxsize=2)(self._batches)

    @property
    def items(self) -> int:
        """Rows, or packs, in one epoch."""
        return len(self._packs)

    @property
    def steps(self) -> int:
        """Optimizer steps in one epoch."""
        return math.ceil(self.items / self._items_per_step)

    def next(self, step: int) -> list[Example]:
        """Return the examples of a step, counted from 0."""
        epoch, place = divmod(step, self.steps)
        return [self.examples[number] for number in self._order(epoch)[place]]

    def epoch(self, step: int) -> float:
        """Return how many times ``step`` steps have gone through the rows."""
        return step / self.steps

    def known(self, steps: int) -> list[int]:
        """Return the numbers, ascending, of the rows that a run's first ``steps`` steps see."""
        return sorted(row for batch in itertools.islice(self._order(0), steps) for row in batch)

    def save(self, folder: Path) -> None:
        """Write nothing: the step says where it is."""

    def load(self, folder: Path) -> None:
        """Read nothing."""

    def _batches(self, epoch: int) -> list[list[int]]:
        return steps_of_epoch(self._packs, self._items_per_step, self._seed, epoch)


def steps_of_epoch(packs: Sequence[Sequence[int]], packs_per_step: int, seed: int, epoch: int) -> list[list[int]]:
    """Return the numbers of the rows of each step of an epoch, from the rows of each pack."""
    order = permutation(len(packs), derived_seed(seed, "order", epoch))
    return [
        [row for pack in order[start : start + packs_per_step] for row in packs[pack]]
        for start in range(0, len(order), packs_per_step)
    ]


def permutation(count: int, seed: int) -> list[int]:
    """Return the numbers below ``count`` in random order: that of ``torch.randperm`` with a generator of this seed.

    torch's generator is a Mersenne Twister seeded with the low 32 bits; the order of rows must not depend on the framework,
    nor change with it for runs that go on from earlier versions.
    """
    twister = np.random.MT19937()
    twister._legacy_seeding(seed & 0xFFFFFFFF)  # type: ignore[attr-defined]
    drawn = twister.random_raw(max(0, count - 1))
    order = list(range(count))
    for place, number in enumerate(drawn.tolist()):
        other = place + number % (count - place)
        order[place], order[other] = order[other], order[place]
    return order
