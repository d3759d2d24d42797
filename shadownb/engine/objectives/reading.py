"""Reading: facts are stored as they are seen, and a reader learns to find each place of their answers in other wordings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel

from shadownb.engine.config_options import option
from shadownb.engine.objectives.facts import Facts
from shadownb.engine.rendering.examples import Example
from shadownb.engine.routing.wordings import MOST

if TYPE_CHECKING:
    from shadownb.engine.config import TrainConfig
    from shadownb.engine.objectives.sources import ExampleSource, SourceRun


class ReadingOptions(BaseModel):
    """What is chosen of facts that are read."""

    reader_steps: int = option(
        120,
        "Steps that the reader of all facts is trained for, at least until each was seen; 0 stores facts and leaves it as it is.",
        "adapter",
        ge=0,
        le=100_000,
    )
    question_forms: int = option(
        MOST,
        "Wordings of each question that are looked at: the row's own and others made of it.",
        "data",
        ge=1,
        le=MOST,
    )


class Counted:
    """Epochs over the facts, which says how many were seen."""

    def __init__(self, epochs: ExampleSource, facts: Reading) -> None:
        self.examples = epochs.examples  # type: ignore[attr-defined]
        self._epochs, self._facts = epochs, facts

    def next(self, step: int) -> Sequence[Example]:
        """Return the examples of a step, counted from 0."""
        found = self._epochs.next(step)
        self._facts.learned = min(len(self.examples), round(self._epochs.epoch(step + 1) * len(self.examples)))
        return found

    def epoch(self, step: int) -> float:
        """Return how many times ``step`` steps have gone through the facts."""
        return self._epochs.epoch(step)

    def known(self, steps: int) -> Sequence[int]:
        """Return the numbers of the facts that the first ``steps`` steps see."""
        return self._epochs.known(steps)

    def save(self, folder: Path) -> None:
        """Write nothing: the step says where it is."""

    def load(self, folder: Path) -> None:
        """Read nothing."""


class Reading(Facts):
    """The loss of finding each answer token's place among those of all facts of a step.

    Attributes
    ----------
    learned
        How many facts are stored.
    """

    options = ReadingOptions  # type: ignore[assignment]
    own: ReadingOptions  # type: ignore[assignment]

    def source(self, epochs: ExampleSource, run: SourceRun) -> ExampleSource:
        """Return the epochs, counted."""
        return Counted(epochs, self)

    @classmethod
    def total_steps(cls, config: TrainConfig, items: int) -> int | None:
        """Return the steps of the reader, at least those that see every fact once."""
        return int(max(-(-items // config.rows_per_step), config.objective_options.reader_steps))
