"""Whether somebody still works on a run. ``interrupted`` is inferred here by readers, never written by a dying process."""

from __future__ import annotations

import time

from shadownb.engine.processes import is_alive
from shadownb.engine.runs.executors import thread
from shadownb.engine.runs.folder import RunFolder
from shadownb.engine.runs.state import ACTIVE, RunState

_WORKER_STARTS_SECONDS = 30.0  # from being launched to its first event; Python and this package take 0.3 s when idle


def observed_status(folder: RunFolder, state: RunState) -> str:
    """Return the state's status, or ``interrupted`` where nobody is left to go on.

    Until an attempt holds the lock, the process that launched it (or its worker) must be alive; from then on the lock says it.
    """
    if state.status not in ACTIVE:
        return state.status
    if folder.is_owned() or thread.holds(folder.id):
        return state.status
    launched = state.launched or {}
    if state.attempts_seen_at_launch != state.attempt:
        return "interrupted"  # an attempt had begun, so its owner must hold the lock
    if launched.get("worker"):
        waiting = is_alive(launched["worker"])
    elif launched.get("executor") == "process":
        waiting = is_alive(launched.get("by")) and time.time() - launched["time"] < _WORKER_STARTS_SECONDS
    else:
        waiting = is_alive(launched.get("by"))
    return state.status if waiting else "interrupted"
