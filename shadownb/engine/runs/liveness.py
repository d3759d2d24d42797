"""Whether somebody still works on a run. ``interrupted`` is inferred here by readers, never written by a dying process."""

from __future__ import annotations

from shadownb.engine.ports.executor import Launch
from shadownb.engine.runs import executors
from shadownb.engine.runs.folder import RunFolder
from shadownb.engine.runs.state import ACTIVE, RunState


def observed_status(folder: RunFolder, state: RunState) -> str:
    """Return the state's status, or ``interrupted`` where nobody is left to go on.

    From the attempt's beginning the lock says it. Until then, and where the lock of another host may not be seen from here, the
    executor does.
    """
    if state.status not in ACTIVE or held(folder, launch_of(state)):
        return state.status
    return "interrupted"


def held(folder: RunFolder, launch: Launch) -> bool:
    """Return whether somebody works on a run that has not ended, or will."""
    return folder.is_owned() or executors.known_by(launch.executor).holds(folder.path, launch)


def launch_of(state: RunState) -> Launch:
    """Return what the journal says of the last launch."""
    told = state.launched or {}
    begun = state.attempts_seen_at_launch != state.attempt
    return Launch(state.executor, told.get("by"), told.get("worker"), told.get("time") or 0.0, begun)
