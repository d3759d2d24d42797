"""What an index asks of the calls that it is of."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from shadownb.engine.capture.call import Call
from shadownb.engine.capture.database import Database
from shadownb.engine.capture.feedback import Score
from shadownb.engine.ports.capture_store import CaptureStore


class IndexedCalls(CaptureStore[Call], Protocol):
    """The calls of a store in a file, by their positions."""

    database: Database

    @property
    def path(self) -> Path: ...

    def scores(self, *calls: str) -> dict[str, list[Score]]:
        """Return the scores of calls by their ids."""
