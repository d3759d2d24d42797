"""The time of a run: seconds of its work without pauses and what inference had, and seconds still to go.

Its work is the steps, evaluations, samples and checkpoints, and before them the reference of DPO and KTO. That is computed once:
a resume reads it from the checkpoint, whose seconds have it already. The time to go comes from the steps' own seconds.
"""

from __future__ import annotations

import contextlib
import statistics
import time
from collections import deque
from collections.abc import Iterator

from shadownb.engine.inference import WeightsGate

_ETA_STEPS = 30  # whose median the remaining time is computed from
_ETA_MINIMUM = 3  # steps before any estimate is shown


class RunClock:
    """Counts a run's seconds.

    Attributes
    ----------
    before
        Seconds of the attempts that this one goes on from.
    evaluation_s
        Seconds that the last evaluation took, samples included.
    """

    def __init__(self, gate: WeightsGate) -> None:
        self._gate = gate
        self._started = 0.0
        self._excluded = 0.0  # seconds of pauses
        self._steps: deque[float] = deque(maxlen=_ETA_STEPS)
        self.before = 0.0
        self.evaluation_s = 0.0

    def start(self) -> None:
        """Begin to count."""
        self._started = time.perf_counter()
        self._excluded = -self._gate.yielded_seconds

    def elapsed(self) -> float:
        """Return the seconds so far."""
        passed = time.perf_counter() - self._started
        return self.before + passed - self._excluded - self._gate.yielded_seconds

    @contextlib.contextmanager
    def not_counted(self) -> Iterator[None]:
        """Leave the block's time out."""
        started, yielded = time.perf_counter(), self._gate.yielded_seconds
        try:
            yield
        finally:
            # The gate's own waiting inside the block is subtracted by elapsed() already.
            self._excluded += time.perf_counter() - started - (self._gate.yielded_seconds - yielded)

    def step_took(self, seconds: float) -> None:
        """Take note of a step."""
        self._steps.append(seconds)

    def seconds_to_go(self, steps: int, evaluations: int) -> float | None:
        """Return the time that so many steps and evaluations will take; None means "still estimating"."""
        if len(self._steps) < _ETA_MINIMUM:
            return None
        return statistics.median_high(self._steps) * steps + evaluations * self.evaluation_s
