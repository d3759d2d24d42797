"""The file of an index: its tables, and what happens where it is missing, damaged, of another version or on a full disk."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

from shadownb.engine.capture.index.table import TABLES as EPISODES
from shadownb.engine.capture.index.words import TABLES as WORDS
from shadownb.engine.capture.schema import naming

FILE = "index.sqlite"
_VERSION = 2  # 2: the names of models and tools stand in the order of the latest answers
_WAITED_S = 120.0  # for another process that brings the index up to date

_NODES = """
CREATE TABLE about (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE nodes (
  id INTEGER PRIMARY KEY, parent INTEGER, place BLOB, seq INTEGER, at INTEGER, choice INTEGER, answers INTEGER,
  children INTEGER NOT NULL DEFAULT 0, session TEXT, loose INTEGER, free INTEGER, waits INTEGER, waiting INTEGER, said BLOB,
  system BLOB, kind TEXT, shared INTEGER, related INTEGER, relation TEXT, confidence TEXT, rendered_seq INTEGER,
  rendered_at INTEGER, failed TEXT, root INTEGER, tail INTEGER, begin INTEGER
);
CREATE INDEX nodes_parent ON nodes (parent);
CREATE INDEX nodes_seq ON nodes (seq);
CREATE INDEX nodes_place ON nodes (place, session, free) WHERE choice IS NOT NULL;
CREATE INDEX nodes_session ON nodes (session, id) WHERE choice = 0 AND session IS NOT NULL;
CREATE INDEX nodes_waiting ON nodes (session, id) WHERE waiting = 1;
CREATE INDEX nodes_said ON nodes (said, session, id) WHERE said IS NOT NULL;
CREATE INDEX nodes_related ON nodes (related) WHERE related IS NOT NULL;
CREATE TABLE places (
  place BLOB PRIMARY KEY, node INTEGER NOT NULL, answered INTEGER NOT NULL, alias INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX places_alias ON places (node) WHERE alias = 1;
CREATE TABLE failed (place BLOB NOT NULL, id TEXT NOT NULL, seq INTEGER NOT NULL);
CREATE INDEX failed_place ON failed (place);
CREATE TABLE asked (place BLOB, session TEXT, PRIMARY KEY (place, session)) WITHOUT ROWID;
CREATE TABLE opened (node INTEGER PRIMARY KEY, session TEXT, tasks TEXT NOT NULL, subs TEXT NOT NULL);
CREATE TABLE left_out (seq INTEGER PRIMARY KEY, id TEXT NOT NULL, why TEXT);
CREATE TABLE parts (seq INTEGER, episode INTEGER, PRIMARY KEY (seq, episode)) WITHOUT ROWID;
CREATE INDEX parts_episode ON parts (episode);
"""


def connect(path: Path | None, store: str) -> sqlite3.Connection:
    """Open an index; make it where it is missing, cannot be read, or belongs to other calls.

    Parameters
    ----------
    path
        Its file; None keeps it in a private one that is gone when it is closed.
    store
        What names the calls that it is of.
    """
    for last in (False, True):
        try:
            connection = _open(path)
            if _is_ours(connection, store):
                return connection
            connection.close()
        except (sqlite3.Error, FileNotFoundError):  # the second where the folder is gone
            if path is None or last:
                return connect(
                    None, store
                )  # no room, or not to be written to: it is made in memory, as far as that goes
        if path is not None:
            remove(path)
    return connect(None, store)


def remove(path: Path) -> None:
    """Remove an index with all that stands in it."""
    with naming:
        for ending in ("", "-wal", "-shm", "-journal"):
            with contextlib.suppress(FileNotFoundError):
                path.with_name(path.name + ending).unlink()


def _open(path: Path | None) -> sqlite3.Connection:
    with naming:
        return _made_ready(path)


def _made_ready(path: Path | None) -> sqlite3.Connection:
    if path is not None and not path.exists():
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
    connection = sqlite3.connect(
        "" if path is None else path, timeout=_WAITED_S, isolation_level=None, check_same_thread=False
    )
    connection.row_factory = sqlite3.Row
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=OFF" if path is None else "PRAGMA synchronous=NORMAL")
        connection.execute("PRAGMA secure_delete=ON")
        connection.execute("PRAGMA cache_size=-16000")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _is_ours(connection: sqlite3.Connection, store: str) -> bool:
    """Return whether an index is one of this version and these calls; one that is empty becomes it."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        if version == 0 and not connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone():
            for statement in (_NODES + EPISODES + WORDS).split(";\n"):
                connection.execute(statement)
            connection.execute(
                "INSERT INTO about VALUES ('store', ?), ('last_seq', 0), ('read', 0), ('log', 0), ('feedback', 0)",
                (store,),
            )
            connection.execute(f"PRAGMA user_version={_VERSION}")
            version = _VERSION
        found = (
            connection.execute("SELECT value FROM about WHERE key='store'").fetchone() if version == _VERSION else None
        )
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    return found is not None and found[0] == store
