"""Turns a run's curves into messages: only new points on each tick, whole curves when asked or when they were thinned.

Curves come bounded from the engine. A tick carries the points kept since the last one as short lists, with the position
of the first, so that a page that already has some of them (from a snapshot taken later) drops those, and one that
misses some notices and asks for a snapshot. When a curve was thinned (its ``version`` changed) or grew by very many
points, it is sent anew, but at most every few seconds: that bounds the traffic at any rate of events.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable
from typing import Any

BULK_SECONDS = 3.0
_LONGEST_TICK = 128  # points of a curve that still travel as lists

Point = tuple[int, float]


def curves(state: Any) -> dict[str, Any]:
    """Return the curves of a run state by name, the evaluations as ``eval_loss``."""
    return {**state.series, "eval_loss": state.evals}


def _stable(series: Any, kept: int) -> tuple[int, list[int], list[float]]:
    """Read (version, steps, values) from a curve that another thread may be appending to."""
    while True:
        version = series.version
        steps, values = series.since(kept)
        if version == series.version:
            size = min(len(steps), len(values))
            return version, steps[:size], values[:size]


def _edges(series: Any) -> list[Point]:
    """Return the exact last, smallest and largest point, which thinning may have left out."""
    return sorted({p for p in (series.last, series.lowest, series.highest) if p is not None})


def packed(series: Any) -> dict[str, Any]:
    """Return a whole curve as little-endian uint32 steps and float32 values."""
    version, steps, values = _stable(series, 0)
    return {
        "version": version,
        "steps": array("I", steps).tobytes(),
        "values": array("f", values).tobytes(),
        "edges": _edges(series) if series.stride > 1 else [],
    }


class CurveFeed:
    """What the pages that watch a run have been told so far."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._sent: dict[str, tuple[int, int]] = {}
        self._stale: set[str] = set()
        self._bulk_at = float("-inf")
        self.sequence = 0

    def begin(self, state: Any) -> None:
        """Take all points up to now as told; the first snapshot carries them."""
        self._sent = {name: (series.version, series.kept) for name, series in curves(state).items()}

    def snapshot(self, state: Any, names: set[str] | None = None) -> dict[str, Any]:
        """Return whole curves, all of them or those in ``names``; the page replaces what it has of these."""
        found = {name: packed(series) for name, series in curves(state).items() if names is None or name in names}
        return {"sequence": self.sequence, "full": names is None, "series": found}

    def advance(self, state: Any, *, final: bool = False) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
        """Return (delta, snapshot) to send now, each None where there is nothing.

        Parameters
        ----------
        state
            The run's state.
        final
            No further state will come: send everything.
        """
        points: dict[str, list[Any]] = {}
        edges: dict[str, list[Point]] = {}
        for name, series in curves(state).items():
            version, kept = self._sent.get(name, (series.version, 0))
            if name in self._stale or version != series.version:
                self._stale.add(name)
                continue
            version_read, steps, values = _stable(series, kept)
            if version_read != version or len(steps) > _LONGEST_TICK:
                self._stale.add(name)
                continue
            if steps:
                points[name] = [version, kept, steps, [_short(v) for v in values]]
            if series.stride > 1:
                edges[name] = _edges(series)
            self._sent[name] = (version, kept + len(steps))
        return self._delta(points, edges), self._bulk(state, final)

    def _delta(self, points: dict[str, list[Any]], edges: dict[str, list[Point]]) -> dict[str, Any] | None:
        if not points and not edges:
            return None
        self.sequence += 1
        return {"sequence": self.sequence, "points": points, **({"edges": edges} if edges else {})}

    def _bulk(self, state: Any, final: bool) -> dict[str, Any] | None:
        now = self._clock()
        if not self._stale or not (final or now - self._bulk_at >= BULK_SECONDS):
            return None
        self._bulk_at = now
        self.sequence += 1
        snapshot = self.snapshot(state, set(self._stale))
        for name, packed_series in snapshot["series"].items():
            self._sent[name] = (packed_series["version"], len(packed_series["steps"]) // 4)
        self._stale.clear()
        return snapshot


def _short(value: float) -> float:
    """Round to the seven digits that a chart can use; JSON then carries 8 characters instead of 18."""
    return float(f"{value:.7g}")
