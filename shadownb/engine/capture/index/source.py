"""What an index asks of the calls that it is of."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

from shadownb.engine.capture.call import Call
from shadownb.engine.capture.feedback import Score


class IndexedCalls(Protocol):
    """The calls of a store, by their positions."""

    @property
    def path(self) -> Path: ...

    def read(self, query: str, values: Iterable[Any] = ()) -> list[sqlite3.Row]:
        """Run a query that changes nothing."""

    def calls(self, *, after: int | None = None, before: int | None = None) -> list[Call]: ...

    def with_bodies(self, after: int, limit: int) -> list[Call]:
        """Return the next calls with what they said."""

    def name_of_calls(self) -> str | None:
        """Return what tells these calls from those of any other store; None where none can be kept."""

    def last_of(self, table: str) -> int:
        """Return the highest number that was ever given in ``calls``, in ``log`` (changes of calls) or in ``feedback``."""

    def scores(self, *calls: str) -> dict[str, list[Score]]:
        """Return the scores of calls by their ids."""

    def changes(self, after: int) -> list[tuple[int, int]]:
        """Return (number, position of the call) of the changes after one."""
