"""EpisodeIndex: the episodes that the Trajectories panel lists, of a capture (by its index) or of trajectories in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from shadownb.engine.capture.index import EpisodeTable
from shadownb.engine.capture.index.rows import row_of
from shadownb.engine.trajectories import Trajectory, TrajectoryGroup

_NOTES = 20  # that are shown of one episode


class EpisodeIndex:
    """The episodes of a capture's store, or of trajectories in memory."""

    def __init__(self, store: Any = None) -> None:
        self.store = store
        self._given: list[Trajectory] = []
        self._own = EpisodeTable() if store is None else None

    @property
    def table(self) -> EpisodeTable:
        """The rows."""
        table: EpisodeTable = self._own if self._own is not None else self.store.index.table
        return table

    @property
    def read(self) -> int:
        """How many calls are read."""
        return int(self.store.index.read) if self.store is not None else 0

    def counts(self) -> tuple[int, int]:
        """Return how many calls had no answer, and how many cannot be read."""
        found: tuple[int, int] = self.store.index.counts() if self.store is not None else (0, 0)
        return found

    def catch_up(self, told: Callable[[], None] = lambda: None, stopped: Callable[[], bool] = lambda: False) -> None:
        """Read the calls that came since the last time; ``told()`` is called after each page of them."""
        self.store.index.catch_up(told, stopped)

    def take(self, trajectories: Iterable[Trajectory | TrajectoryGroup]) -> None:
        """Add trajectories that are in memory."""
        from shadownb.engine.trajectories.rows import flatten

        self._given += flatten(trajectories)
        self.table.write(row_of(number, trajectory, root=number) for number, trajectory in enumerate(self._given))

    @property
    def given(self) -> list[Trajectory]:
        """The episodes that are in memory."""
        return self._given

    def notes(self, trajectory: Trajectory) -> list[dict[str, Any]]:
        """Return what was said of an episode, the newest first."""
        if self.store is None:
            return []
        scores = self.store.scores(*trajectory.call_ids) if trajectory.call_ids else {}
        found = sorted((each for given in scores.values() for each in given), key=lambda each: -each.at)
        return [{"name": each.name, "value": each.value, "note": each.note, "at": each.at} for each in found[:_NOTES]]

    def related(self, number: int) -> list[dict[str, Any]]:
        """Return other paths of the same conversation, the agents it started and the one that started it."""
        return [] if self.store is None else self.store.index.related(number)

    def trajectory(self, number: int) -> Trajectory:
        """Return an episode whole. Raises :class:`DataError` if its calls were deleted."""
        found: Trajectory = self._given[number] if self.store is None else self.store.index.trajectory(number)
        return found
