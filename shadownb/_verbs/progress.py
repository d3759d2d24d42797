"""Following a run in a terminal: a bar where there is one, a line now and then where output goes to a file."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from shadownb.engine.runs.progress import terminal_progress

if TYPE_CHECKING:
    from shadownb.engine.runs import Run
    from shadownb.engine.runs.state import RunState

_LOOKS_PER_SECOND = 4
_LINES = 20  # at most about this many in each phase


def follow(run: Run) -> None:
    """Show the progress of a run on standard error until it ends; an interrupt leaves the run alone."""
    shown = None
    with terminal_progress(run) as draw:
        while True:
            active = run.is_active  # asked before the state, so that the last look shows the end
            draw()
            state = run.state
            name, done, total = (
                state.phase["name"],
                state.phase.get("done") or 0,
                state.phase.get("total"),
            )
            mark = (name, done * _LINES // total if total else 0)
            if mark != shown and not sys.stderr.isatty():
                shown = mark
                print(line(state), file=sys.stderr, flush=True)
            if not active:
                return
            time.sleep(1 / _LOOKS_PER_SECOND)


def line(state: RunState) -> str:
    """Return the progress as one line of text, with loss, speed and remaining time as far as they are known."""
    phase = state.phase
    count = (
        f" {phase.get('done') or 0}/{phase['total']} {phase.get('unit') or ''}".rstrip() if phase.get("total") else ""
    )
    parts = [f"{phase['name']}{count}"]
    if (loss := state.last.get("loss")) is not None:
        parts.append(f"loss {loss:.4f}")
    if (speed := state.last.get("tokens_per_s")) is not None:
        parts.append(f"{speed:,.0f} tokens/s")
    if state.status == "running" and phase["name"] == "training":
        parts.append("time left: estimating" if state.eta_s is None else f"{duration(state.eta_s)} left")
    return "  ".join(parts)


def duration(seconds: float) -> str:
    """Return seconds as people say them: 45 s, 3 min 20 s, 2 h 5 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
