"""What a list shows of a run: read from its folder once, but for who works on it, which is looked at each time."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from shadownb.engine.ports.executor import Launch
from shadownb.engine.ports.run_store import RunEntry
from shadownb.engine.runs.folder import RunFolder
from shadownb.engine.runs.handle import Run
from shadownb.engine.runs.index import stamp_of
from shadownb.engine.runs.liveness import held, launch_of
from shadownb.engine.runs.state import ACTIVE
from shadownb.errors import ShadowError

_UNREADABLE = "unreadable"


def read_entry(run: RunFolder) -> dict[str, Any] | None:
    """Return a run's summary, and what its journal says of status and launch; None where the folder cannot be read."""
    reading = Run(run)
    try:
        journal = stamp_of(run.events)
        state = reading.journalled
        facts = {"journal": journal, "status": state.status, "launch": asdict(launch_of(state))}
        return {**facts, "summary": reading.to_dict()}
    except (ShadowError, OSError, KeyError, TypeError, ValueError):  # one damaged folder must not hide the other runs
        return None


def observed(run: RunFolder, found: dict[str, Any] | None) -> RunEntry:
    """Return what a list shows of a run by what :func:`read_entry` gave, now or earlier."""
    if found is not None and found["status"] in ACTIVE:
        if held(run, Launch(**found["launch"])):
            return _entry(run, {**found["summary"], "status": found["status"]})
        if stamp_of(run.events) == found["journal"]:
            return _entry(run, {**found["summary"], "status": "interrupted"})
        found = read_entry(run)  # an owner writes the end before it lets go of the run
    return _entry(run, found["summary"] if found is not None else {"id": run.id, "status": _UNREADABLE})


def _entry(run: RunFolder, summary: dict[str, Any]) -> RunEntry:
    return RunEntry(run.id, summary["status"], summary)
