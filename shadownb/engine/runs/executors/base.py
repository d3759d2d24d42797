"""What executors have in common whose runs are in a folder of this machine; each of them says how an attempt is started."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from shadownb.engine.ports.executor import Attempt, Launch
from shadownb.engine.processes import is_alive
from shadownb.engine.runs import commands
from shadownb.engine.runs.folder import RunFolder
from shadownb.engine.runs.journal import BEAT_SECONDS, Event, JournalReader

# How old the journal may be of a run whose process another host has. Its writer touches the file more often; the rest is for
# clocks that differ, and for a process whose threads get no turn for a while.
HEARD_SECONDS = 6 * BEAT_SECONDS


def heard_of(folder: Path) -> bool:
    """Return whether a run's journal was written to, or touched, so lately that its writer must be there."""
    try:
        return abs(time.time() - RunFolder(folder).events.stat().st_mtime) < HEARD_SECONDS
    except OSError:
        return False


class FolderExecutor:
    """Reads journal and lock of the folder, and appends commands to it.

    As it is, it stands for an executor that this process does not know by name: its runs can be read, stopped and resumed
    elsewhere, and it starts none.
    """

    where = "another kernel"
    shares_memory = False
    takes_functions = False
    outlives = False

    def submit(self, folder: Path, attempt: Attempt, model: Any | None) -> None:
        """Start an attempt; subclasses do."""
        raise NotImplementedError

    def holds(self, folder: Path, launch: Launch) -> bool:
        """Whether the process that asked for an attempt, or its worker, is there to begin it; on another host: was heard of."""
        if launch.is_elsewhere:
            return heard_of(folder)
        return not launch.begun and is_alive(launch.mark)  # an owner holds the lock

    def model_of(self, run_id: str) -> Any | None:
        """Return None: no model of this process is trained."""
        return None

    def events(self, folder: Path, since: int = 0) -> Iterator[Event]:
        """Yield the journal's events with a sequence number above ``since``."""
        return (event for event in JournalReader(RunFolder(folder).events) if event["seq"] > since)

    def send(self, folder: Path, kind: str, **fields: Any) -> str:
        """Append a command and return its id."""
        return commands.send(RunFolder(folder).commands, kind, **fields)
