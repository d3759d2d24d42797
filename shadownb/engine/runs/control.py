"""The trainer's side of a run's commands: polled at every boundary where training can stop or pause."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from shadownb.engine.runs.commands import CommandReader
from shadownb.engine.runs.journal import Journal

_PAUSE_POLL_SECONDS = 0.1


class StopRequested(Exception):
    """Raised inside training when a stop was asked for."""

    def __init__(self, *, save: bool) -> None:
        self.save = save
        super().__init__("stop requested")


def end_unstarted(journal: Journal, command: dict[str, Any], note: str) -> None:
    """Obey one of the :data:`~shadownb.engine.runs.commands.STOPS` in a run of which nothing has been trained yet."""
    status = "stopped" if command["kind"] == "stop" else "discarded"
    journal.append("command", id=command["id"], kind=command["kind"])
    journal.append("end", status=status, result=None, note=note, error=None)


class RunControl:
    """Obeys commands: acknowledges each with an event, and keeps what is to happen at the next boundary.

    ``poll()`` costs a ``stat`` where nothing is new. ``check()`` raises StopRequested; it is called wherever work can be
    dropped without harm (between the pieces of a step, while tokenising, evaluating, sampling, loading).
    """

    def __init__(self, commands: CommandReader, journal: Journal) -> None:
        self._commands = commands
        self._journal = journal
        self._lock = threading.Lock()
        self.stop: StopRequested | None = None
        self.pause_requested = False

    def poll(self) -> None:
        """Take in new commands."""
        with self._lock:
            for command in self._commands.poll():
                self._obey(command)

    def _obey(self, command: dict[str, Any]) -> None:
        kind = command["kind"]
        if kind == "stop":
            self.stop = self.stop or StopRequested(save=bool(command.get("save", True)))
        elif kind == "discard":
            self.stop = StopRequested(save=False)
        elif kind == "pause":
            self.pause_requested = True
        elif kind == "resume":
            self.pause_requested = False
        else:
            self._journal.append("warning", code="command", what=f"Unknown command {kind!r}.", why="", fix="")
            return
        self._journal.append("command", id=command["id"], kind=kind, save=command.get("save"))

    @property
    def discarding(self) -> bool:
        """Whether a stop was asked for that keeps nothing."""
        return self.stop is not None and not self.stop.save

    def check(self) -> None:
        """Poll, and raise StopRequested if a stop was asked for."""
        self.poll()
        if self.stop is not None:
            raise self.stop

    def stopped(self) -> bool:
        """Poll, and return whether a stop was asked for; for places where an exception cannot pass."""
        self.poll()
        return self.stop is not None

    def park(self, on_idle: Callable[[], None] | None = None) -> None:
        """Wait while a pause lasts. Raises StopRequested if a stop comes meanwhile."""
        while self.pause_requested:
            self.check()
            if on_idle is not None:
                on_idle()
            time.sleep(_PAUSE_POLL_SECONDS)
        self.check()
