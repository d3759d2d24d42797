"""Upkeep of a store: deleting calls, keeping to limits, and computing costs again."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shadownb.engine.capture.schema import give_back_here
from shadownb.engine.disk import is_full
from shadownb.errors import DiskFullError

if TYPE_CHECKING:
    from shadownb.engine.capture.call import Call
    from shadownb.engine.capture.prices import PriceTable
    from shadownb.engine.capture.store import CaptureStore

NO_CHECKPOINT = threading.RLock()
"""Held while a full disk is made room on: a checkpoint beside it would take that room for itself."""
_BATCH = 200  # calls deleted in one transaction


def delete(store: CaptureStore, query: str, values: Iterable[Any] = (), *, settle: bool = True) -> int:
    """Delete the calls whose ids a query gives, a few at a time: whoever records meanwhile waits for one batch at most.

    ``settle`` also takes the words out of the search index that only they had; else that is done when recording ends.
    """
    ids = [row[0] for row in store.read(query, values)]
    try:
        with store.writing() as connection:
            for begin in range(0, len(ids), _BATCH):
                _delete(connection, ids[begin : begin + _BATCH])
    except sqlite3.OperationalError as error:
        if not is_full(error):
            raise
        _delete_without_room(store, ids)
    if ids:
        store.history.forget()
        _leave_index(store, settle=settle)
        store.checkpoint(truncate=True)
    return len(ids)


def _leave_index(store: CaptureStore, *, settle: bool) -> None:
    """Let the index go of what was deleted, and then the store of the list of it."""
    last = store.database.last_of("log")
    if store.index.forget(settle=settle) >= last:
        with contextlib.suppress(sqlite3.OperationalError), store.writing() as connection:
            connection.execute("DELETE FROM log WHERE n <= ?", (last,))


def _delete(connection: sqlite3.Connection, ids: list[str], *, vacuum: bool = False) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        for begin in range(0, len(ids), _BATCH):
            batch = ids[begin : begin + _BATCH]
            marks = ", ".join("?" * len(batch))
            connection.execute(f"DELETE FROM bodies WHERE id IN ({marks})", batch)
            connection.execute(f"DELETE FROM calls WHERE id IN ({marks})", batch)
        if vacuum:
            give_back_here(connection)
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _delete_without_room(store: CaptureStore, ids: list[str]) -> None:
    """Delete calls on a full disk: into the room that was held for it, and without writing what is deleted over first.

    Its pages leave the file in the same transaction, and the log is emptied afterwards, so nothing of it is left all the same.
    """
    try:
        store.index.drop()  # it can be made again
        with NO_CHECKPOINT, store.writing() as connection:
            store.files.give_room()
            connection.execute("PRAGMA secure_delete=FAST")
            connection.execute("PRAGMA cache_spill=OFF")  # no page goes into the log before the end, and then once
            _delete(connection, ids, vacuum=True)  # at once: the log holds each page that is left a single time
            with contextlib.suppress(sqlite3.OperationalError):  # as far as there is room for what stays
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    except sqlite3.OperationalError as error:
        if not is_full(error):
            raise
        raise DiskFullError(
            f"The calls of {store.id!r} cannot be deleted: the disk is too full even for that.",
            fix="Free a few megabytes elsewhere and run this again, or delete the capture as a whole.",
        ) from error
    with contextlib.suppress(DiskFullError):
        store.files.keep_room()


def retain(store: CaptureStore, *, max_age_s: float | None, max_calls: int | None, max_bytes: int | None) -> int:
    """Delete the oldest calls until all limits hold; returns how many."""
    deleted = 0
    if max_age_s is not None:
        deleted += delete(store, "SELECT id FROM calls WHERE started_at < ?", [time.time() - max_age_s], settle=False)
    if max_calls is not None:
        old = "SELECT id FROM calls ORDER BY seq DESC LIMIT -1 OFFSET ?"
        deleted += delete(store, old, [max_calls], settle=False)
    if max_bytes is not None:
        so_far = "SELECT id, SUM(stored_bytes) OVER (ORDER BY seq DESC) AS so_far FROM calls"
        deleted += delete(store, f"SELECT id FROM ({so_far}) WHERE so_far > ?", [max_bytes], settle=False)
    return deleted


def reprice(store: CaptureStore, prices: PriceTable | dict[str, Any] | str | Path | None) -> int:
    """Compute the cost of every call again and return how many changed."""
    from shadownb.engine.capture.prices import PriceTable

    table = PriceTable.load(prices)
    changed = [
        (cost, call.id) for call in store.iterate() if (cost := table.cost(priced_as(call), call.usage)) != call.cost
    ]
    with store.writing() as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("UPDATE calls SET cost = ? WHERE id = ?", changed)
        connection.execute("COMMIT")
    if changed:
        store.index.reprice()
    return len(changed)


def priced_as(call: Call) -> tuple[str | None, ...]:
    """Return the models by which a call is priced; a local one that answers to a provider's name does not cost what that takes."""
    return (call.response_model, call.model) if call.route == "upstream" else (call.response_model,)
