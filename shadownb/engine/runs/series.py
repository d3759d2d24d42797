"""A curve of bounded size: at most ``LIMIT`` points however long the run, so that memory and messages stay flat.

Points are kept at every ``stride``-th position. When the limit is reached the stride doubles and every second kept
point goes; ``version`` then changes, so that a reader that follows with :meth:`Series.since` knows to start over.
Between two changes old points never move. The first, last, smallest and largest point stay exact.
"""

from __future__ import annotations

LIMIT = 1000


class Series:
    """One curve: (step, value) points in the order of the steps."""

    __slots__ = ("_kept_steps", "_kept_values", "count", "highest", "last", "lowest", "stride", "version")

    def __init__(self) -> None:
        self._kept_steps: list[int] = []
        self._kept_values: list[float] = []
        self.count = 0
        self.stride = 1
        self.version = 0
        self.last: tuple[int, float] | None = None
        self.lowest: tuple[int, float] | None = None
        self.highest: tuple[int, float] | None = None

    def append(self, step: int, value: float) -> None:
        """Add one point."""
        point = (step, value)
        if self.count % self.stride == 0:
            self._kept_steps.append(step)
            self._kept_values.append(value)
        self.count += 1
        self.last = point
        if self.lowest is None or value < self.lowest[1]:
            self.lowest = point
        if self.highest is None or value > self.highest[1]:
            self.highest = point
        if len(self._kept_steps) >= LIMIT - 3:  # room for last, lowest and highest
            self._kept_steps = self._kept_steps[::2]
            self._kept_values = self._kept_values[::2]
            self.stride *= 2
            self.version += 1

    @property
    def kept(self) -> int:
        """Number of points at the stride; what :meth:`since` counts."""
        return len(self._kept_steps)

    def since(self, kept: int) -> tuple[list[int], list[float]]:
        """Return (steps, values) kept after the first ``kept`` ones of the same ``version``."""
        return self._kept_steps[kept:], self._kept_values[kept:]

    @property
    def points(self) -> list[tuple[int, float]]:
        """All points to draw, exact extremes included, by step."""
        merged = dict(zip(self._kept_steps, self._kept_values, strict=True))
        for point in (self.last, self.lowest, self.highest):
            if point is not None:
                merged[point[0]] = point[1]
        return sorted(merged.items())

    @property
    def steps(self) -> list[int]:
        """The steps of :attr:`points`."""
        return [step for step, _ in self.points]

    @property
    def values(self) -> list[float]:
        """The values of :attr:`points`."""
        return [value for _, value in self.points]

    def __len__(self) -> int:
        return self.count

    def __repr__(self) -> str:
        return f"Series({self.count} points, last={self.last})"
