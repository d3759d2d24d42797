"""The file of a store: reading and changing it, and what an index has to know of its calls."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shadownb.engine.capture.call import BODIES, Call, unpack
from shadownb.engine.capture.filters import where
from shadownb.engine.capture.schema import VERSION, connect, inode_of
from shadownb.errors import ShadowError

if TYPE_CHECKING:
    from shadownb.engine.ports.capture_store import CaptureStore

_WITH_BODIES = 200  # calls that are read at once with what they said, as they are stored
# Of those that are taken apart fewer: what has been read of 200 is more than Python's collector of garbage holds in its
# youngest lists, and it then goes through all of it again and again (4,500 against 5,200 rows a second).
_TAKEN_APART = 40
_MOST_BYTES = 4 * 2**20  # of them, as they are stored; read they are ten times as large


class Database:
    """The SQLite file with the calls of one capture; read by one connection, which several threads share."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._inode = 0

    def close(self) -> None:
        """Close the file; the next read opens it again."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def read(self, query: str, values: Iterable[Any] = ()) -> list[sqlite3.Row]:
        """Run a query that changes nothing and return all its rows.

        Of a capture that was deleted nothing is read, and of one that was made anew under its name the new one: an index kept up
        from what an open file still holds would bring deleted words back to the disk.
        """
        with self._lock:
            if self._connection is not None and self._inode != inode_of(self.path):
                self.close()
            if self._connection is None:
                self._connection = connect(self.path)
                self._inode = inode_of(self.path)
                self._connection.execute("PRAGMA query_only=1")
            return self._connection.execute(query, list(values)).fetchall()

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Give a connection that may change the store; what is not committed at the end is undone."""
        connection = connect(self.path, write=True)
        try:
            yield connection
        finally:
            connection.close()

    # -- for an index -------------------------------------------------------------------------------------------------

    def name(self) -> str | None:
        """Return what tells these calls from those of any other store; None where none can be kept (they cannot be written to)."""
        with contextlib.suppress(ShadowError, sqlite3.OperationalError):
            if int(self.read("PRAGMA user_version")[0][0]) < VERSION:
                connect(self.path, write=True).close()
            return str(self.read("SELECT value FROM about WHERE key = 'store'")[0][0])
        return None

    def last_of(self, table: str) -> int:
        """Return the highest number that was ever given in ``calls``, in ``log`` (changes of calls) or in ``feedback``."""
        rows = self.read("SELECT seq FROM sqlite_sequence WHERE name = ?", [table])
        return int(rows[0][0]) if rows else 0

    def changes(self, after: int) -> list[tuple[int, int]]:
        """Return (number, position of the call) of the changes after one."""
        return [(row[0], row[1]) for row in self.read("SELECT n, seq FROM log WHERE n > ? ORDER BY n", [after])]

    # -- pages --------------------------------------------------------------------------------------------------------

    def with_bodies(
        self, store: CaptureStore[Call], after: int, limit: int = _TAKEN_APART, **filters: Any
    ) -> list[Call]:
        """Return the next calls with what they said, as many as fit into a few megabytes; one in any case."""
        clause, values = where({**filters, "after": after})
        sizes = self.read(f"SELECT seq, stored_bytes FROM calls {clause} ORDER BY seq LIMIT ?", [*values, limit])
        if not sizes:
            return []
        total, last = 0, sizes[0]["seq"]
        for row in sizes:
            total += row["stored_bytes"]
            if total > _MOST_BYTES and row is not sizes[0]:
                break
            last = row["seq"]
        clause, values = where({**filters, "after": after, "before": last + 1})
        query = f"SELECT calls.*, {BODIES} FROM calls LEFT JOIN bodies USING (id) {clause} ORDER BY seq"
        return [Call.from_row(row, store) for row in self.read(query, values)]

    def columns(self, names: Sequence[str], **filters: Any) -> Iterator[dict[str, list[Any]]]:
        """Yield pages of calls as columns: facts as they are stored, nested ones as JSON text, and both bodies as text.

        A body that is damaged is None.
        """
        after = 0
        given = ", ".join(f"calls.{name}" for name in names)
        while True:
            clause, values = where({**filters, "after": after})
            query = (
                f"SELECT seq, {given}, {BODIES} FROM calls LEFT JOIN bodies USING (id) {clause} ORDER BY seq LIMIT ?"
            )
            rows = [tuple(row) for row in self.read(query, [*values, _WITH_BODIES])]
            if not rows:
                return
            after = rows[-1][0]
            columns = list(zip(*rows, strict=True))
            page = {name: list(column) for name, column in zip(names, columns[1:], strict=False)}
            for name in page.keys() & {"stream", "redacted"}:
                page[name] = [bool(value) for value in page[name]]
            for name, packed in zip(("request", "response"), columns[-3:], strict=False):
                page[name] = [_text(value) for value in packed]
            yield page


def _text(packed: bytes | None) -> str | None:
    with contextlib.suppress(zlib.error):
        return unpack(packed).decode("utf-8", "replace")
    return None
