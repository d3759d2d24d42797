"""Has training diverged: is the model now worse at its own rows than before it was trained?

One step's loss says little, because rows differ: a step of one hard row can cost ten times what the step before did. So
losses are judged over windows of a fixed number of rows, and against where the run began or the best it had reached.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from shadownb.errors import DivergedError

if TYPE_CHECKING:
    from shadownb.engine.runs.services import RunServices

# Rows that a mean must be of before it counts. Single rows of a mixed set (sums, one-word answers, sorted words) cost untrained
# SmolLM2-135M 0.8 to 15.5 nats a token, means of 8 rows 1.5 to 4.8, of 24 rows 2.0 to 3.0. Divergence does not go away, so
# twice that many rows cost nothing but some steps.
_ROWS = 48
_LEAST_STEPS = 3
# A mean is too high from twice the best one and 2 nats on, and never below where the run began.
_FACTOR, _MARGIN = 2.0, 2.0
# Far beyond any row's difficulty (ten times the beginning and 10 nats), a few rows are enough.
_FEW_ROWS, _GROSS_FACTOR, _GROSS_MARGIN = 8, 10.0, 10.0


@dataclass
class _State:
    first: list[float] = field(default_factory=list)  # losses of the first window
    recent: list[float] = field(default_factory=list)  # of the newest
    best: float | None = None  # lowest mean of a whole window, or of the first rows
    good_step: int = 0  # newest step at which the mean was near the best
    diverged_at: int | None = None


class DivergenceWatch:
    """Looks at each step's loss, and says when training has diverged.

    Parameters
    ----------
    rows_per_step
        Rows whose mean a step's loss is.
    state
        What :meth:`state_dict` returned, to go on after a resume.
    """

    def __init__(self, rows_per_step: int, state: dict[str, Any] | None = None) -> None:
        self._window = max(_LEAST_STEPS, math.ceil(_ROWS / rows_per_step))
        self._few = max(1, math.ceil(_FEW_ROWS / rows_per_step))
        self._state = _State(**(state or {}))

    def state_dict(self) -> dict[str, Any]:
        """Return the state as JSON-compatible values."""
        return asdict(self._state)

    @property
    def good_step(self) -> int:
        """The newest step at which nothing was wrong; weights of later steps are not to be gone on from."""
        return self._state.good_step

    @property
    def began_at(self) -> float:
        """The mean loss of the run's first rows, in the objective's unit (nats a token for next-token loss)."""
        return _mean(self._state.first[: self._few])

    @property
    def diverged_at(self) -> int | None:
        """The step at which divergence was seen first, or None."""
        return self._state.diverged_at

    def look(self, step: int, loss: float) -> bool:
        """Take a step's loss; return True at the step where divergence is seen, and once only."""
        state = self._state
        state.recent = [*state.recent, loss][-self._window :]
        if len(state.first) < self._window:
            state.first.append(loss)
        if self._gross():
            return self._found(step)
        whole = len(state.recent) == self._window
        best = self.began_at if state.best is None else state.best  # the first window may be bad already
        if whole:
            best = state.best = min(best, _mean(state.recent))
        limit = max(_FACTOR * best + _MARGIN, self.began_at)
        if whole and _mean(state.recent) > limit:
            return self._found(step)
        if _mean(state.recent[-self._few :]) <= best + (limit - best) / 4:
            state.good_step = step
        return False

    def _gross(self) -> bool:
        state = self._state
        if len(state.recent) <= self._few:  # nothing to compare with but these rows themselves
            return False
        return min(state.recent[-self._few :]) > _GROSS_FACTOR * _mean(state.first[: self._few]) + _GROSS_MARGIN

    def _found(self, step: int) -> bool:
        new = self._state.diverged_at is None
        if new:
            self._state.diverged_at = step
        return new


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else math.inf


def tell_diverged(watch: DivergenceWatch, services: RunServices, step: int, loss: float, rate_now: float) -> None:
    """Warn of a loss that has climbed far above its beginning, or raise DivergedError, as ``on_divergence`` says."""
    rate = services.config.resolved_learning_rate()
    what = f"Training has diverged: the loss is {loss:,.4g} at step {step}; it began at {watch.began_at:,.4g}."
    why = (
        f"The usual cause is a learning rate that is too high (learning_rate={rate:.2g}, {rate_now:.2g} at this step)."
    )
    lower = f"Start again with a lower rate, for example learning_rate={rate / 10:.1g}"
    if services.config.on_divergence == "continue":
        services.warn(what, why=why, fix=f"{lower}; on_divergence='stop' ends a run here.", code="diverged")
        return
    error = DivergedError(
        what,
        why=f"{why} The model has the weights of the newest checkpoint from before (of step {watch.good_step} at the "
        "latest) again, or of the start.",
        fix=f"{lower}; on_divergence='continue' goes on all the same.",
    )
    error.last_good_step = watch.good_step
    raise error
