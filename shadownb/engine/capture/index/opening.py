"""OpenedIndex: the file of an index, opened when it is used, made anew where it is of other calls; one transaction at a time."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from shadownb.engine.capture.index import file
from shadownb.engine.capture.index.nodes import ReadCalls
from shadownb.engine.capture.index.places import StoredPlaces
from shadownb.engine.capture.index.rows import Rows
from shadownb.engine.capture.index.table import EpisodeTable
from shadownb.engine.capture.schema import inode_of
from shadownb.engine.trajectories.episodes import Episodes

if TYPE_CHECKING:
    from shadownb.engine.capture.index.source import IndexedCalls

_T = TypeVar("_T")


class OpenedIndex:
    """The file of an index and what reads its tables; several processes may have one open."""

    def __init__(self, store: IndexedCalls) -> None:
        self._store = store
        self.path = store.path / file.FILE
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._inode = 0
        self._is_fleeting = False
        self.last_seq = self.read = 0

    @property
    def is_kept(self) -> bool:
        """Whether it is in a file; where there is no room for one, it is in a private one that is gone when it is closed."""
        return not self._is_fleeting

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def drop(self) -> None:
        """Remove the index with all that stands in it; the next use makes it anew."""
        with self._lock:
            self.close()
            file.remove(self.path)

    def _in_transaction(self, db: sqlite3.Connection, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """Do something that others wait for, who then go on behind it."""
        db.execute("BEGIN IMMEDIATE")
        try:
            self._places.start()
            done = work(db)
            self._places.flush()
            db.execute("COMMIT")
            return done
        finally:
            if db.in_transaction:
                db.execute("ROLLBACK")
            self._done()

    def _done(self) -> None:
        self._places.nodes.clear()
        self._calls.clear()

    def _opened(self) -> sqlite3.Connection:
        """Return the connection; a new one where another process has made the file anew."""
        with self._lock:
            if self._connection is not None and self._inode != inode_of(self.path):
                self.close()
            if self._connection is None:
                name = self._store.database.name()
                kept = name is not None and not self._is_fleeting
                self._connection = file.connect(self.path if kept else None, name or "")
                if int(self._about(self._connection, "last_seq")) > self._store.database.last_of(
                    "calls"
                ):  # other calls than it was made of
                    self._connection.close()
                    file.remove(self.path)
                    self._connection = file.connect(self.path, name or "")
                self._inode = inode_of(self.path)
                self._calls = ReadCalls(self._store)
                self._places = StoredPlaces(self._connection, self._calls)
                self._graph = Episodes(places=self._places)
                self._table = EpisodeTable(self._current, self._lock)
                self._rows = Rows(self._places, self._table)
            return self._connection

    def _current(self) -> sqlite3.Connection:
        """Return the connection as it is, within a transaction too; one that was closed is opened again."""
        return self._connection if self._connection is not None else self._opened()

    def _rows_of(self, query: str) -> list[sqlite3.Row]:
        with self._lock:  # until the last row is read: a connection that is closed meanwhile takes the process with it
            return self._opened().execute(query).fetchall()

    @staticmethod
    def _about(db: sqlite3.Connection, key: str) -> Any:
        return db.execute("SELECT value FROM about WHERE key = ?", (key,)).fetchone()[0]
