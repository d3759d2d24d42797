"""A training run as a loaded model sees it: who trains the weights, and what came out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from shadownb.engine.config import TrainConfig
    from shadownb.engine.data.trained_on import TrainedOn


class Result(Protocol):
    """What a run ended with."""

    @property
    def step(self) -> int: ...

    @property
    def path(self) -> Path: ...


class TrainingRun(Protocol):
    """What a model asks of the runs that train it."""

    id: str

    @property
    def status(self) -> str: ...

    @property
    def step(self) -> int:
        """Optimizer steps done."""

    @property
    def is_active(self) -> bool:
        """Whether somebody works on it, or will."""

    @property
    def shares_memory(self) -> bool:
        """Whether it trains this very model, whose weights then are those of its newest step."""

    @property
    def config(self) -> TrainConfig: ...

    @property
    def trained_on(self) -> TrainedOn | None: ...

    def result(self) -> Result | None:
        """Return the checkpoint it ended with, or None where it has none."""

    def wait(self, timeout: float | None = None) -> Any: ...
