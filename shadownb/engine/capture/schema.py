"""The store's tables. Small facts are in ``calls``, so that lists and sums read no bodies; those are in ``bodies``.

A newer version may add columns: reading takes the columns that it knows and puts others into ``extra``; writing names its
columns. A store of a newer *major* version is refused.
"""

from __future__ import annotations

import sqlite3
import threading
import uuid
from pathlib import Path

from shadownb.engine.disk import is_full
from shadownb.errors import DataError, DiskFullError

VERSION = 2
FILE = "calls.sqlite"
_PAGES_AT_ONCE = 1000
_MAKE_ROOM = "Free disk space, or set SHADOWNB_HOME to a larger disk."

_TABLES = """
CREATE TABLE IF NOT EXISTS calls (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  session TEXT, parent TEXT, dialect TEXT NOT NULL, model TEXT, response_model TEXT, response_id TEXT,
  route TEXT NOT NULL, stream INTEGER NOT NULL,
  started_at REAL NOT NULL, first_byte_s REAL, duration_s REAL,
  prompt_tokens INTEGER, completion_tokens INTEGER, usage TEXT, cost REAL,
  status TEXT NOT NULL, http_status INTEGER, finish_reason TEXT, error TEXT, retry_of TEXT,
  title TEXT NOT NULL DEFAULT '', stored_bytes INTEGER NOT NULL DEFAULT 0, redacted INTEGER NOT NULL DEFAULT 0,
  headers TEXT, extra TEXT
);
CREATE TABLE IF NOT EXISTS bodies (
  id TEXT PRIMARY KEY,
  request BLOB, response BLOB, frames BLOB
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS calls_started ON calls (started_at);
CREATE INDEX IF NOT EXISTS calls_session ON calls (session, seq) WHERE session IS NOT NULL;
CREATE INDEX IF NOT EXISTS calls_response ON calls (response_id) WHERE response_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS calls_status ON calls (status, seq);
CREATE INDEX IF NOT EXISTS calls_sums
  ON calls (model, status, prompt_tokens, completion_tokens, cost, duration_s, stored_bytes);
"""

# Version 2: what names a store, which calls were changed or deleted, for whoever keeps an index of them; scores and tags.
_SINCE_2 = """
CREATE TABLE IF NOT EXISTS about (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS log (n INTEGER PRIMARY KEY AUTOINCREMENT, seq INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS feedback (
  n INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL, name TEXT NOT NULL, value REAL, note TEXT NOT NULL, at REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS feedback_call ON feedback (id);
CREATE TABLE IF NOT EXISTS tags (name TEXT, value TEXT, id TEXT, PRIMARY KEY (name, value, id)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS tags_call ON tags (id);
CREATE TRIGGER IF NOT EXISTS call_deleted AFTER DELETE ON calls BEGIN
  INSERT INTO log (seq) VALUES (old.seq);
  DELETE FROM feedback WHERE id = old.id;
  DELETE FROM tags WHERE id = old.id;
END;
CREATE TRIGGER IF NOT EXISTS call_changed AFTER UPDATE OF status, session, title ON calls
  BEGIN INSERT INTO log (seq) VALUES (old.seq); END;
"""


# Held while a file is opened, and while one is removed or moved. SQLite opens a database and then, by name, the memory that its
# connections share; where another file has taken the name between the two, this process dies of a segmentation fault.
naming = threading.RLock()


def inode_of(path: Path) -> int:
    """Return what tells a file from another one that has taken its name; 0 where there is none."""
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return 0


def connect(path: Path, *, write: bool = False) -> sqlite3.Connection:
    """Open a store's file; ``write`` makes it if it is not there.

    Raises
    ------
    DataError
        There is no store, it is not one of ours, or a newer major version wrote it.
    """
    if not write and not path.is_file():
        raise DataError(
            f"There is not a capture store at {path}.", fix="shadownb.captures.list() shows those there are."
        )
    connection: sqlite3.Connection | None = None
    try:
        with naming:
            connection = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA user_version").fetchone()  # opens what lies beside it, too
        if write:
            _prepare(connection)
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    except sqlite3.DatabaseError as error:
        if connection is not None:
            connection.close()
        if is_full(error):
            raise DiskFullError(f"{path} cannot be opened to record: the disk is full.", fix=_MAKE_ROOM) from error
        raise DataError(
            f"{path} cannot be read as a capture store: {error}.", fix="Give the folder of a capture."
        ) from error
    if version > VERSION:
        connection.close()
        raise DataError(
            f"{path} was written by a newer version of ShadowNB (store version {version}, this one reads {VERSION}).",
            fix="Update ShadowNB: pip install -U shadownb.",
        )
    connection.execute("PRAGMA busy_timeout=30000")
    return connection


def _prepare(connection: sqlite3.Connection) -> None:
    if int(connection.execute("PRAGMA user_version").fetchone()[0]) == 0:
        connection.execute("PRAGMA auto_vacuum=INCREMENTAL")  # before the first table, or never
    connection.execute("PRAGMA journal_mode=WAL")
    # A commit is in the operating system's hands when it returns: kill -9 loses nothing, power loss the last moments.
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute("PRAGMA secure_delete=ON")  # what a user deletes shall not stay in free pages
    # Checkpoints sync to the disk; the housekeeper makes them, so that no answer waits for one.
    connection.execute("PRAGMA wal_autocheckpoint=0")
    if int(connection.execute("PRAGMA user_version").fetchone()[0]) == 0:
        connection.executescript("BEGIN IMMEDIATE;" + _TABLES + "PRAGMA user_version=1; COMMIT;")
    migrate(connection)


def version_of(path: Path) -> int:
    """Return the version of a store's file."""
    connection = connect(path)
    try:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])
    finally:
        connection.close()


def migrate(connection: sqlite3.Connection) -> bool:
    """Bring a store to this version; returns whether it was of an earlier one. Its calls stay as they are."""
    if int(connection.execute("PRAGMA user_version").fetchone()[0]) != 1:
        return False
    name = f"INSERT OR IGNORE INTO about VALUES ('store', '{uuid.uuid4().hex}');"
    connection.executescript(f"BEGIN IMMEDIATE; {_SINCE_2} {name} PRAGMA user_version={VERSION}; COMMIT;")
    return True


def give_back(connection: sqlite3.Connection) -> None:
    """Shorten the file by its free pages, some at a time, so that whoever records waits for no more than that.

    A script, because of a statement that returns no columns Python's module makes one step, and each step frees one page.
    """
    while free := int(connection.execute("PRAGMA freelist_count").fetchone()[0]):
        connection.executescript(f"PRAGMA incremental_vacuum({_PAGES_AT_ONCE})")
        if int(connection.execute("PRAGMA freelist_count").fetchone()[0]) >= free:
            return  # a store of before the file could be shortened


def give_back_here(connection: sqlite3.Connection) -> None:
    """Do the same within the transaction that goes on."""
    free = int(connection.execute("PRAGMA freelist_count").fetchone()[0])
    for _ in range(free):
        connection.execute("PRAGMA incremental_vacuum(1)")
