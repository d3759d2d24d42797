"""What an index asks of the calls that it is of."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

from shadownb.engine.capture.call import Call


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

    def last_position(self) -> int:
        """Return the highest position that a call was ever given."""

    def last_change(self) -> int:
        """Return the number of the latest change or deletion of a call."""

    def changes(self, after: int) -> list[tuple[int, int]]:
        """Return (number, position of the call) of the changes after one."""
