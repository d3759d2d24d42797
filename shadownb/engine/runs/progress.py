"""Where a run stands, as one line of text, and waiting for its end with that line on show."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from shadownb.engine import live
from shadownb.engine.runs.state import ACTIVE

if TYPE_CHECKING:
    from shadownb.engine.runs.handle import Run
    from shadownb.engine.runs.state import RunState

_POLL_SECONDS = 0.05


def progress_of(state: RunState) -> live.Progress:
    """Return how far a run is, for a line that shows it."""
    return live.Progress(line(state), str(state.phase["name"]), _done(state), state.phase.get("total"))


def _done(state: RunState) -> int:
    """Return how much of the phase is done; while training the steps say it, each phase event only where it began."""
    return state.step if state.phase["name"] == "training" else state.phase.get("done") or 0


def line(state: RunState) -> str:
    """Return the progress as one line of text, with loss, speed and remaining time as far as they are known."""
    phase = state.phase
    count = f" {_done(state)}/{phase['total']} {phase.get('unit') or ''}".rstrip() if phase.get("total") else ""
    parts = [f"{phase['name']}{count}"]
    if (loss := state.last.get("loss")) is not None:
        parts.append(f"loss {loss:.4f}")
    if (speed := state.last.get("tokens_per_s")) is not None:
        parts.append(f"{speed:,.0f} tokens/s")
    if state.status == "running" and phase["name"] == "training":
        parts.append("time left: estimating" if state.eta_s is None else f"{live.duration(state.eta_s)} left")
    return "  ".join(parts)


def steps_of(state: RunState) -> str:
    """Return ``step 3 of 40``, or ``step 3`` where the number of steps is not known yet."""
    return f"step {state.step}" + (f" of {state.total_steps}" if state.total_steps is not None else "")


def follow(run: Run, timeout: float | None = None) -> None:
    """Show the progress of a run until it ends; an interrupt leaves the run alone.

    Raises
    ------
    TimeoutError
        It was still going on after ``timeout`` seconds.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    place = live.open_line(run)
    try:
        while True:
            state = run.state
            place.show(progress_of(state))
            if state.status not in ACTIVE:
                break
            if deadline is not None and time.monotonic() > deadline:
                raise TimeoutError(f"Run {run.id} is still {state.status} after {timeout} s.")
            time.sleep(_POLL_SECONDS)
    except BaseException as error:
        what = "Interrupted" if isinstance(error, KeyboardInterrupt) else "Nobody waits any more"
        place.end(f"{what} at {steps_of(run.state)}.")
        raise
    place.end()
