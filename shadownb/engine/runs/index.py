"""What was read of runs, kept so that it is not read again: an SQLite file, disposable, made anew wherever something is amiss.

It is never asked what is true. Each value lies beside a stamp of the files that it was read from (times, size and number
of each), and whoever reads takes only values whose stamp is that of the files now. So a file that is missing, of another version,
damaged, locked, or on a disk that is full or read-only costs time and nothing else: no method here raises.

A host has an index of its own, because the write-ahead log needs memory that all who use the file share.
"""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import time
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from shadownb.engine.home import make_private
from shadownb.engine.processes import host

_FORMAT = 1  # of the tables and of what is kept in them; another one is thrown away
_APPLICATION = 0x534E4249  # "SNBI": what tells it from any other SQLite file
_WAIT_SECONDS = 0.25  # for a lock; after that reading the folders is quicker
_MOST_NAMED = 500  # SQLite allows 999 values in a query, older builds
_SETTLED_SECONDS = 2.0  # the coarsest clock of a file system: files changed within it may change again without a trace

Kept = Mapping[str, tuple[str, str]]  # id to (stamp, value)


def stamp_of(*paths: Path) -> str:
    """Return what changes when one of the files does; a file that is not there has a stamp, too."""
    parts = []
    for path in paths:
        try:
            found = os.stat(path)
        except OSError:
            parts.append("-")
        else:
            changed = max(found.st_mtime_ns, found.st_ctime_ns)  # the first can be set, as copies and archives do
            parts.append(f"{changed}:{found.st_mtime_ns}:{found.st_size}:{found.st_ino}")
    return "|".join(parts)


def is_settled(stamp: str) -> bool:
    """Return whether the files of a stamp are old enough that a later change would change it."""
    times = [int(part.partition(":")[0]) / 1e9 for part in stamp.split("|") if part != "-"]
    return all(time.time() - changed > _SETTLED_SECONDS for changed in times)


class RunIndex:
    """The index of a home's runs on this host. A connection is open for one call, so nothing is left open or shared."""

    def __init__(self, home: Path) -> None:
        name = re.sub(r"[^A-Za-z0-9._-]", "_", host()) or "host"
        self.path = home / "index" / f"runs-{name}.sqlite"

    def read(self, kind: str, ids: Collection[str] | None = None) -> dict[str, tuple[str, str]]:
        """Return what is kept of a kind, of the given ids or of all; nothing where that cannot be read."""
        with contextlib.suppress(sqlite3.Error, OSError), self._open() as connection:
            query, values = "SELECT id, stamp, value FROM kept WHERE kind = ?", [kind]
            if ids is not None and len(ids) <= _MOST_NAMED:
                query += f" AND id IN ({', '.join('?' * len(ids))})"
                values += ids
            return {run: (stamp, value) for run, stamp, value in connection.execute(query, values)}
        return {}

    def write(self, kind: str, fresh: Kept, gone: Collection[str] = ()) -> None:
        """Keep values, and forget those whose runs are gone; where that cannot be written, it is as if nobody had asked."""
        if not fresh and not gone:
            return
        with contextlib.suppress(sqlite3.Error, OSError), self._open() as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(
                "INSERT OR REPLACE INTO kept (kind, id, stamp, value) VALUES (?, ?, ?, ?)",
                [(kind, run, stamp, value) for run, (stamp, value) in fresh.items()],
            )
            connection.executemany("DELETE FROM kept WHERE kind = ? AND id = ?", [(kind, run) for run in gone])
            connection.execute("COMMIT")

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """Give a connection to tables that are ours; a file that is not is replaced, at the opening and when it is found out."""
        try:
            connection = self._connect()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):  # locked, read-only, full: others may read it well
                raise
            self._throw_away()
            connection = self._connect()
        try:
            yield connection
        except sqlite3.DatabaseError as error:
            if not isinstance(error, sqlite3.OperationalError):
                self._throw_away()
            raise
        finally:
            connection.close()

    def _connect(self) -> sqlite3.Connection:
        make_private(self.path.parent)
        connection = sqlite3.connect(self.path, timeout=_WAIT_SECONDS, isolation_level=None)
        try:
            (application,) = connection.execute("PRAGMA application_id").fetchone()
            (written,) = connection.execute("PRAGMA user_version").fetchone()
            if (application, written) != (_APPLICATION, _FORMAT):
                _make(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _throw_away(self) -> None:
        for ending in ("", "-wal", "-shm"):
            with contextlib.suppress(OSError):
                Path(f"{self.path}{ending}").unlink()


def _make(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA journal_mode=WAL").fetchone()
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("DROP TABLE IF EXISTS kept")
    connection.execute(
        "CREATE TABLE kept (kind TEXT, id TEXT, stamp TEXT, value TEXT, PRIMARY KEY (kind, id)) WITHOUT ROWID"
    )
    connection.execute(f"PRAGMA application_id={_APPLICATION}")
    connection.execute(f"PRAGMA user_version={_FORMAT}")
    connection.execute("COMMIT")
