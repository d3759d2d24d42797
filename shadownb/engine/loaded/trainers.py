"""Who trains a model: the runs that do, those that wait their turn, and those that ended and were not looked at since."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shadownb.engine.ports.run import TrainingRun


class Trainers:
    """The runs of one model, first come first."""

    def __init__(self) -> None:
        self._runs: list[Any] = []

    @property
    def active(self) -> Any:
        """The run that is training now, or the first that waits to; None where there is none."""
        return next((run for run in self._runs if run.is_active), None)

    @property
    def live(self) -> Any:
        """The run whose live weights answer: it trains in this process, and has done a step; None where there is none."""
        run = self.active
        live = run is not None and run.shares_memory and run.status != "queued" and run.step
        return run if live else None

    def add(self, run: TrainingRun) -> None:
        """Remember a run, and forget those that have ended."""
        self._runs = [*(other for other in self._runs if other.is_active and other.id != run.id), run]

    def ended_elsewhere(self) -> list[Any]:
        """Return the runs of other processes that have ended since this was last asked."""
        ended = [run for run in self._runs if not run.shares_memory and not run.is_active]
        self._runs = [run for run in self._runs if run not in ended]
        return ended
