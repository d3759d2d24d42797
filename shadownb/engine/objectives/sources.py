"""Where the examples of each step come from: an epoch of rows, or what an objective makes in the run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from shadownb.engine.inference.types import Completion, Sampling
from shadownb.engine.rendering.examples import Example

# (token ids of prompts, how) -> answers of the weights as they are; a stop of the run is raised, so none is broken off
Answer = Callable[[Sequence[Sequence[int]], Sampling], list[Completion]]


class ExampleSource(Protocol):
    """Which examples each step trains on; a function of the step wherever it can be, so that there is no state to keep.

    ``next`` is called once a step, without the weights held, and may generate. What it draws at random depends on seed and
    step alone. State that no later weights could make again goes into the checkpoint, also in the middle of what several
    steps share.
    """

    def next(self, step: int) -> Sequence[Example]:
        """Return the examples of a step, counted from 0."""

    def epoch(self, step: int) -> float:
        """Return how many times ``step`` steps have gone through the data."""

    def known(self, steps: int) -> Sequence[int]:
        """Return the numbers, ascending, of the examples that the first ``steps`` steps see."""

    def save(self, folder: Path) -> None:
        """Write what only a resume needs."""

    def load(self, folder: Path) -> None:
        """Read what :meth:`save` wrote."""
