"""Copies of a capture, and keeping its file in order: backup, restore, migrate, vacuum."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shadownb.engine.capture.folder import CaptureFolder
from shadownb.engine.capture.schema import VERSION, connect, version_of
from shadownb.engine.capture.store import CaptureStore
from shadownb.engine.disk import saving
from shadownb.errors import BusyError, ConfigError, DataError

_PAGES = 2000  # copied at a time, between which whoever records may write


def backup(capture_id: str, path: str | Path | None = None, *, home: str | Path | None = None) -> Path:
    """Write a capture into one file, also while it records, and return its path. It is as it was at one moment.

    Parameters
    ----------
    path
        The file, or a folder for it (default: ``<id>.sqlite`` here). One that is there is replaced when the new one is complete.

    Raises
    ------
    DiskFullError
        There is no room.

    Examples
    --------
    >>> snb.captures.backup("tickets", "tickets-backup.sqlite").name
    'tickets-backup.sqlite'
    """
    folder = CaptureFolder.find(capture_id, home)
    target = Path(path or ".").expanduser()
    target = target / f"{folder.id}.sqlite" if target.is_dir() else target
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part-{os.getpid()}")
    with saving(target):
        try:
            part.unlink(missing_ok=True)
            os.close(os.open(part, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600))
            source = connect(folder.database)
            copy = sqlite3.connect(part)
            try:
                source.backup(copy, pages=_PAGES)
                copy.execute("PRAGMA journal_mode=DELETE")
                copy.execute("CREATE TABLE IF NOT EXISTS about (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID")
                facts = json.dumps({**folder.facts, "id": folder.id})
                copy.execute("INSERT OR REPLACE INTO about VALUES ('facts', ?)", (facts,))
                copy.commit()
            finally:
                copy.close()
                source.close()
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
    return target


def restore(path: str | Path, name: str | None = None, *, home: str | Path | None = None) -> CaptureStore:
    """Make a capture of a backup, and return its store.

    Parameters
    ----------
    name
        Its id; None takes the one that the capture had.

    Raises
    ------
    ConfigError
        There is a capture of that name: nothing is written over.
    DataError
        The file is no backup, or is damaged.

    Examples
    --------
    >>> snb.captures.restore(snb.captures.backup("tickets", "tickets-backup.sqlite"), "tickets-again").count()
    3
    """
    file = Path(path).expanduser()
    source = connect(file)  # raises where it is none
    try:
        wrong = source.execute("PRAGMA quick_check(1)").fetchone()[0]
        if wrong != "ok":
            raise DataError(f"{file} is damaged: {wrong}.", fix="Use another backup.")
        if source.execute("SELECT COUNT(*) FROM sqlite_master WHERE name IN ('calls', 'bodies')").fetchone()[0] != 2:
            raise DataError(
                f"{file} is a database, but no backup of a capture.", fix="Give one that capture backup wrote."
            )
        facts = _facts(source)
        chosen = name or str(facts.get("id") or file.stem)
        folder = CaptureFolder.create(chosen, home)
        if folder.database.exists():
            raise ConfigError(
                f"There is a capture {chosen!r} already, and a backup is not written over it.",
                fix="Give another name, or delete that one first.",
            )
        with saving(folder.database):
            part = folder.path / f".part-{uuid.uuid4().hex[:8]}"
            copy = sqlite3.connect(part)
            try:
                source.backup(copy, pages=_PAGES)
                # Another name than the copied calls have: what is kept of those is not of these.
                with contextlib.suppress(sqlite3.OperationalError):  # of before there were names
                    copy.execute("INSERT OR REPLACE INTO about VALUES ('store', ?)", (uuid.uuid4().hex,))
                    copy.execute("DELETE FROM about WHERE key = 'facts'")
                copy.commit()
                copy.close()
                part.replace(folder.database)
            finally:
                copy.close()
                part.unlink(missing_ok=True)
            connect(folder.database, write=True).close()
            folder.write_facts({**facts, "id": folder.id})
    finally:
        source.close()
    return CaptureStore(folder)


def _facts(backup: sqlite3.Connection) -> dict[str, Any]:
    with contextlib.suppress(sqlite3.OperationalError, ValueError, TypeError):
        found = json.loads(backup.execute("SELECT value FROM about WHERE key = 'facts'").fetchone()[0])
        return found if isinstance(found, dict) else {}
    return {}


@dataclass
class Migrated:
    """What became of a store: the version it was of, that of now, and how many of its calls are indexed."""

    id: str
    before: int
    now: int
    indexed: int

    def __repr__(self) -> str:
        changed = f"version {self.before} is now {self.now}" if self.before != self.now else f"is of version {self.now}"
        return f"{self.id} {changed}; {self.indexed:,} calls are indexed."


def migrate(capture_id: str, *, home: str | Path | None = None) -> Migrated:
    """Bring a store to this version and its index up to date; else both happen when they are first needed.

    Examples
    --------
    >>> snb.captures.migrate("tickets")
    tickets is of version 2; 3 calls are indexed.
    """
    store = CaptureStore(CaptureFolder.find(capture_id, home))
    before = version_of(store.files.database)
    connect(store.files.database, write=True).close()
    store.index.catch_up()
    found = Migrated(store.id, before, VERSION, store.index.read)
    store.close()
    return found


@dataclass
class Vacuumed:
    """How many bytes a store took on the disk before and after."""

    id: str
    before: int
    after: int

    def __repr__(self) -> str:
        return f"{self.id}: {self.before / 1e6:,.1f} MB before, {self.after / 1e6:,.1f} MB now."


def vacuum(capture_id: str, *, home: str | Path | None = None) -> Vacuumed:
    """Write a store's file anew, without the room that deleted calls have left; its index as well.

    Raises
    ------
    BusyError
        It records, or another process reads it.
    DiskFullError
        There is no room for the new file beside the old one.

    Examples
    --------
    >>> snb.captures.vacuum("tickets").before > 0
    True
    """
    folder = CaptureFolder.find(capture_id, home)
    folder.own()  # raises while somebody records
    store = CaptureStore(folder)
    try:
        before = _size(folder)
        with saving(folder.database), store.writing() as connection:
            try:
                connection.execute("VACUUM")
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            except sqlite3.OperationalError as error:
                if "lock" not in str(error) and "busy" not in str(error):
                    raise
                raise BusyError(
                    f"{folder.id!r} is read by another process.", fix="Close what reads it, and run this again."
                ) from error
        store.index.vacuum()
        return Vacuumed(folder.id, before, _size(folder))
    finally:
        store.close()
        folder.disown()


def _size(folder: CaptureFolder) -> int:
    return sum(path.stat().st_size for path in folder.path.glob("*.sqlite*"))
