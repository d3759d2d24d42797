"""Databases of SQL-Eval in SQLite: made from its Postgres dumps, and asked in a way that a query can only read."""

from __future__ import annotations

import re
import sqlite3
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_CREATE = re.compile(r"CREATE TABLE (?:public\.)?(\"?\w+\"?) \(\n(.*?)\n\);", re.DOTALL)
_COPY = re.compile(r"COPY (?:public\.)?(\"?\w+\"?) \((.*?)\) FROM stdin;\n(.*?)\\\.\n", re.DOTALL)
_ESCAPES = {"\\t": "\t", "\\n": "\n", "\\r": "\r", "\\b": "\b", "\\f": "\f", "\\v": "\v", "\\\\": "\\"}
_ESCAPED = re.compile("|".join(map(re.escape, _ESCAPES)))
_STEPS = 10_000  # virtual machine steps between two looks at the clock
_LONGEST = 10_000_000  # bytes of a text or blob that a query may make
_READING = {
    sqlite3.SQLITE_SELECT,
    sqlite3.SQLITE_READ,
    sqlite3.SQLITE_FUNCTION,
    sqlite3.SQLITE_RECURSIVE,
}


@dataclass
class Result:
    """What a query gave.

    Attributes
    ----------
    rows
        Its rows, or None where it failed.
    error
        SQLite's words, or ``timed out`` or ``too many rows``.
    read
        Tables that it read.
    """

    rows: list[tuple[Any, ...]] | None
    error: str = ""
    read: set[str] = field(default_factory=set)


def load(dump: Path) -> sqlite3.Connection:
    """Return a database in memory with the tables of a Postgres dump; booleans are 0 and 1."""
    database = sqlite3.connect(":memory:", check_same_thread=False)
    text = dump.read_text(encoding="utf-8")
    booleans: dict[str, set[str]] = {}
    for name, body in _CREATE.findall(text):
        typed = list(_columns(body))
        booleans[name] = {column for column, kind in typed if kind == "boolean"}
        told = ", ".join(f"{column} {kind}" for column, kind in typed)
        database.execute(f"CREATE TABLE {name} ({told})")
    for name, listed, block in _COPY.findall(text):
        columns = [column.strip() for column in listed.split(",")]
        rows = [
            [_value(cell, column in booleans[name]) for cell, column in zip(line.split("\t"), columns, strict=True)]
            for line in block.splitlines()
        ]
        database.executemany(f"INSERT INTO {name} ({listed}) VALUES ({', '.join('?' * len(columns))})", rows)
    database.commit()
    database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST)
    database.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    return database


def _columns(body: str) -> Iterator[tuple[str, str]]:
    for line in body.splitlines():
        name, _, kind = line.strip().rstrip(",").partition(" ")
        if name.upper() not in ("CONSTRAINT", "PRIMARY", "FOREIGN", "UNIQUE", "CHECK"):
            yield name, re.sub(r"\s+(?:NOT NULL|DEFAULT\b.*)", "", kind)


def _value(cell: str, boolean: bool) -> str | int | None:
    if cell == "\\N":
        return None
    if boolean:
        return int(cell == "t")
    return _ESCAPED.sub(lambda found: _ESCAPES[found[0]], cell)


def ask(database: sqlite3.Connection, query: str, *, seconds: float, most_rows: int) -> Result:
    """Return what a query gives; it can read the tables and nothing else, for so long and so much."""
    result = Result(None)
    deadline = time.monotonic() + seconds

    def allowed(action: int, first: str | None, *_: Any) -> int:
        if action == sqlite3.SQLITE_READ and first:
            result.read.add(first.lower())
        return sqlite3.SQLITE_OK if action in _READING else sqlite3.SQLITE_DENY

    database.set_authorizer(allowed)
    database.set_progress_handler(lambda: int(time.monotonic() > deadline), _STEPS)
    try:
        rows = database.execute(query).fetchmany(most_rows + 1)
        if len(rows) > most_rows:
            result.error = "too many rows"
        else:
            result.rows = rows
    except sqlite3.OperationalError as error:
        result.error = "timed out" if str(error) == "interrupted" else str(error)
    except (sqlite3.Error, sqlite3.Warning, ValueError, OverflowError, MemoryError) as error:
        result.error = str(error) or type(error).__name__
    finally:
        database.set_progress_handler(None, 0)
        database.set_authorizer(None)
    return result


class Sqlite:
    """Databases of dumps in memory, each made when it is first asked about.

    Attributes
    ----------
    dialect
        What its queries are written in.
    """

    dialect = "SQLite"

    def __init__(self) -> None:
        self._databases: dict[str, sqlite3.Connection] = {}
        self._lock = threading.Lock()

    def ask(self, name: str, dump: Path, query: str, *, seconds: float, most_rows: int) -> Result:
        """Return what a query gives on the database of a dump."""
        with self._lock:
            if name not in self._databases:
                self._databases[name] = load(dump)
            return ask(self._databases[name], query, seconds=seconds, most_rows=most_rows)
