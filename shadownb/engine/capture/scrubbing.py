"""Scrubbing: taking keys, and what ``redact=`` names, out of a store that was recorded before they were known.

Calls are rewritten a few at a time; sessions, which must stay apart from each other, in one transaction. So whoever is interrupted
runs it again and loses nothing. In the end the file is rebuilt and its write-ahead log emptied: neither has the old pages.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import zlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from shadownb.engine.capture.call import JSON_COLUMNS, unpack
from shadownb.engine.capture.exchange import pack, sealed
from shadownb.engine.capture.folder import write_private
from shadownb.engine.capture.redaction import Redactor
from shadownb.engine.jsontext import loads
from shadownb.engine.privacy.rules import Rule, is_ready
from shadownb.errors import BusyError, ConfigError, DiskFullError

if TYPE_CHECKING:
    from shadownb.engine.capture.store import CaptureStore
    from shadownb.engine.capture.stored import StoredCalls

_BATCH = 50  # calls rewritten in one transaction
_ENDINGS = ("_KEY", "_TOKEN", "_SECRET", "_PASSWORD")
_SESSION = "session"
_WAITED_MS = 5000  # for others that read


@dataclass
class Scrubbed:
    """What scrubbing changed.

    Attributes
    ----------
    id, calls, changed
        The capture, how many calls it has, and in how many something was taken out.
    places
        How often it was which column, ``request``, ``response`` or file.
    unreadable
        Calls whose bytes are damaged, so that they could not be looked at; they are as they were.
    notes
        What is left to do by hand.
    """

    id: str
    calls: int = 0
    changed: int = 0
    places: Counter[str] = field(default_factory=Counter)
    unreadable: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __repr__(self) -> str:
        where = ", ".join(f"{count:,} {name}" for name, count in self.places.most_common())
        lines = [f"{self.changed:,} of {self.calls:,} calls of {self.id} were changed{f' ({where})' if where else ''}."]
        if self.unreadable:
            lines.append(f"{len(self.unreadable):,} are damaged and were left, for example {self.unreadable[0]}.")
        return "\n".join([*lines, *self.notes])


def scrub(
    store: CaptureStore,
    redact: str | Rule | Iterable[str | Rule] | None = None,
    *,
    secrets: Iterable[str] = (),
    api_key_env: str | None = None,
) -> Scrubbed:
    """Take keys out of everything a capture has stored; see ``CaptureStore.scrub``."""
    redactor = redactor_of(store, redact, secrets=secrets, api_key_env=api_key_env)
    store.files.own()  # raises while somebody records
    try:
        found = Scrubbed(store.id)
        store.close()
        store.index.drop()  # it holds the same texts; whoever needs it makes it of the clean ones
        with store.writing() as connection:
            _sessions(connection, redactor, found)
            _calls(connection, redactor, found)
            _notes(connection, redactor, found)
            _files(store, redactor, found)
            _rebuild(connection, store)
        store.history.forget()
    finally:
        store.files.disown()
    if redactor.without_keys(store.id) != store.id:
        found.notes.append("The name of the capture holds a key itself: rename its folder while nothing records.")
    return found


def redactor_of(
    store: StoredCalls,
    redact: str | Rule | Iterable[str | Rule] | None = None,
    *,
    secrets: Iterable[str] = (),
    api_key_env: str | None = None,
) -> Redactor:
    """Return what takes out of a text whatever the recording took out, and the keys that are known here."""
    rules = [redact] if isinstance(redact, str) or callable(redact) else list(redact or ())
    # A function is known by its name alone, which says nothing here.
    recorded = [name for name in store.files.facts.get("redact") or () if is_ready(name) and name not in rules]
    return Redactor([*rules, *recorded], secrets=[*secrets, *_known(store, api_key_env)])


def _known(store: StoredCalls, api_key_env: str | None) -> list[str]:
    """Return the keys that are known here: those of the environment, and the token of a process that was killed."""
    if api_key_env is not None and not os.environ.get(api_key_env, "").strip():
        raise ConfigError(
            "api_key_env= names no variable that is set.",
            fix="Set it to the key that is to be taken out, then try again.",
        )
    names = [name for name in os.environ if name.upper().endswith(_ENDINGS)] + ([api_key_env] if api_key_env else [])
    found = [os.environ[name].strip() for name in names]
    with contextlib.suppress(OSError):
        found.append(store.files.token.read_text(encoding="utf-8").strip())
    return found


def _sessions(connection: sqlite3.Connection, redactor: Redactor, found: Scrubbed) -> None:
    given = [row[0] for row in connection.execute("SELECT DISTINCT session FROM calls WHERE session IS NOT NULL")]
    changed = [(new, old) for old in given if (new := redactor.columns({_SESSION: old})[_SESSION]) != old]
    connection.execute("BEGIN IMMEDIATE")
    for new, old in changed:
        found.places[_SESSION] += connection.execute(
            "UPDATE calls SET session = ? WHERE session = ?", (new, old)
        ).rowcount
    connection.execute("COMMIT")


def _calls(connection: sqlite3.Connection, redactor: Redactor, found: Scrubbed) -> None:
    query = "SELECT calls.*, request, response, frames FROM calls LEFT JOIN bodies USING (id) WHERE seq > ? ORDER BY seq LIMIT ?"
    after = 0
    while rows := connection.execute(query, (after, _BATCH)).fetchall():
        after = rows[-1]["seq"]
        connection.execute("BEGIN IMMEDIATE")
        for row in rows:
            found.calls += 1
            columns, bodies = _columns(row, redactor), _bodies(row, redactor, found)
            found.places.update([*columns, *(name for name in ("request", "response") if name in bodies)])
            if bodies:
                connection.execute(_update("bodies", bodies), [*bodies.values(), row["id"]])
                sizes = (bodies.get(name, row[name]) or b"" for name in ("request", "response", "frames"))
                columns |= {"redacted": 1, "stored_bytes": sum(map(len, sizes))}
            if columns:
                found.changed += 1
                connection.execute(_update("calls", columns), [*columns.values(), row["id"]])
        connection.execute("COMMIT")


def _notes(connection: sqlite3.Connection, redactor: Redactor, found: Scrubbed) -> None:
    """Clean what was noted of calls, and how they were called."""
    connection.execute("BEGIN IMMEDIATE")
    for table, column in (("feedback", "note"), ("tags", "value")):
        given = [row[0] for row in connection.execute(f"SELECT DISTINCT {column} FROM {table}")]
        for old in given:
            if (new := redactor.text(old)) != old:
                found.places[column] += connection.execute(
                    f"UPDATE OR REPLACE {table} SET {column} = ? WHERE {column} = ?", (new, old)
                ).rowcount
    connection.execute("COMMIT")


def _columns(row: sqlite3.Row, redactor: Redactor) -> dict[str, Any]:
    """Return the columns of a call that change."""
    skipped = (_SESSION, "seq", "request", "response", "frames")
    given = {name: row[name] for name in row.keys() if name not in skipped and isinstance(row[name], str)}  # noqa: SIM118
    values: dict[str, Any] = dict(given)
    for name in JSON_COLUMNS:
        with contextlib.suppress(ValueError):  # not written by us: looked at as text
            values[name] = loads(given[name]) if name in given else None
    clean = sealed(redactor.columns(values))
    # The same facts may be written in another way than today's; only what says something else is changed.
    return {name: new for name in given if (new := clean[name]) != given[name] and not _same(given[name], new)}


def _same(old: str, new: Any) -> bool:
    try:
        return old[:1] == "{" and bool(loads(old) == loads(new))
    except (ValueError, TypeError):
        return False


def _bodies(row: sqlite3.Row, redactor: Redactor, found: Scrubbed) -> dict[str, bytes]:
    """Return the bodies of a call that change, packed."""
    try:
        request, response = unpack(row["request"]), unpack(row["response"])
        frames = loads(unpack(row["frames"]) or b"[]")
        sse = bool((loads(row["extra"] or "{}") or {}).get("sse", row["stream"]))
    except (zlib.error, ValueError, AttributeError):
        found.unreadable.append(row["id"])
        return {}
    new_request, pieces, changed, _ = redactor.exchange(request, [(0.0, response)], sse=sse)
    if not changed:
        return {}
    bodies = {"request": pack(new_request)} if new_request != request else {}
    new_response = b"".join(piece for _, piece in pieces)
    if new_response != response:
        ends = [frames[0][0], frames[-1][0]] if frames else [0, 0]
        bodies["response"] = pack(new_response)
        bodies["frames"] = pack(f"[[{ends[0]},0],[{ends[1]},{len(new_response)}]]".encode())
    return bodies


def _update(table: str, values: dict[str, Any]) -> str:
    return f"UPDATE {table} SET {', '.join(f'{name} = ?' for name in values)} WHERE id = ?"


def _files(store: CaptureStore, redactor: Redactor, found: Scrubbed) -> None:
    """Clean the small files; the token and the mark of a process that was killed are of no use to anybody."""
    for path in (store.files.token, store.files.process):
        if path.exists():
            path.unlink()
            found.places[path.name] += 1
    facts = store.files.facts
    if (clean := redactor.value(facts, 4000)) != facts:
        store.files.write_facts(clean)
        found.places["capture.json"] += 1
    if store.files.log.is_file():
        data = store.files.log.read_bytes()
        if (new := redactor.raw(data)) != data:
            write_private(store.files.log, new.decode("utf-8", "replace"))
            found.places[store.files.log.name] += 1


def _rebuild(connection: sqlite3.Connection, store: CaptureStore) -> None:
    """Write the file anew and empty its log, so that no page of either holds what was there before."""
    connection.execute(f"PRAGMA busy_timeout={_WAITED_MS}")
    try:
        connection.execute("VACUUM")
        busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    except sqlite3.OperationalError as error:
        if "full" in str(error):
            raise DiskFullError(
                f"The calls of {store.id!r} are scrubbed, but there is no room to write the file anew.",
                why="Old pages stay in it until that is done; it takes as much room as the store has.",
                fix="Make room, and run this again.",
            ) from error
        if "lock" not in str(error) and "busy" not in str(error):
            raise
        busy = 1
    if busy:
        raise BusyError(
            f"The calls of {store.id!r} are scrubbed, but another process reads the store, so its log still has the old pages.",
            fix="Close what reads it (a panel, another notebook), and run this again.",
        )
