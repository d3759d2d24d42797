"""CaptureStore: reading, exporting and deleting the calls of one capture, from any process, also while it records."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shadownb.engine.capture import upkeep
from shadownb.engine.capture.call import Call
from shadownb.engine.capture.exchange import unpack
from shadownb.engine.capture.filters import where
from shadownb.engine.capture.folder import CaptureFolder
from shadownb.engine.capture.history import History
from shadownb.engine.capture.schema import connect, give_back
from shadownb.engine.capture.sums import summary
from shadownb.engine.jsontext import loads

if TYPE_CHECKING:
    import datasets

    from shadownb.engine.capture.prices import PriceTable
    from shadownb.engine.capture.scrubbing import Scrubbed
    from shadownb.engine.privacy.rules import Rule

_PAGE = 500


class CaptureStore:
    """The recorded calls of one capture.

    ::

        store = CaptureStore.open("20261122-090000-1a2b")
        for call in store.calls(limit=20, newest_first=True):
            print(call.model, call.text)
    """

    def __init__(self, folder: CaptureFolder) -> None:
        self.files = folder
        self.path = folder.path
        self.id = folder.id
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self.history = History(self)

    @classmethod
    def open(cls, path_or_id: str | Path, home: str | Path | None = None) -> CaptureStore:
        """Open the store of a capture's id or of the path of its folder; ids are of a home, that of ``SHADOWNB_HOME`` if None.

        Raises
        ------
        DataError
            There is none; the message has the closest id.
        """
        store = cls(CaptureFolder.find(path_or_id, home))
        store.read("SELECT 1")
        return store

    def close(self) -> None:
        """Close the file; reading opens it again."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    # -- reading --------------------------------------------------------------------------------------------------

    def calls(
        self,
        *,
        after: int | None = None,
        before: int | None = None,
        limit: int | None = None,
        offset: int = 0,
        newest_first: bool = False,
        **filters: Any,
    ) -> list[Call]:
        """Return calls in the order they were recorded.

        Parameters
        ----------
        after, before
            Only calls whose ``seq`` is greater or less: the way to page, equally fast at any place.
        limit, offset
            At most so many, leaving out so many.
        newest_first
            The other way round.
        **filters
            ``session, model, dialect, route, status, finish_reason, id`` (a value or a list of them), ``since`` and
            ``until`` (seconds since 1970), ``min_cost``, ``search`` (in the title or the session).

        Raises
        ------
        ConfigError
            There is no such filter.
        """
        bounds = {name: value for name, value in (("after", after), ("before", before)) if value is not None}
        clause, values = where({**filters, **bounds})
        order = "DESC" if newest_first else "ASC"
        rows = self.read(
            f"SELECT * FROM calls {clause} ORDER BY seq {order} LIMIT ? OFFSET ?",
            [*values, -1 if limit is None else limit, offset],
        )
        return [Call.from_row(row, self) for row in rows]

    def iterate(self, *, after: int = 0, **filters: Any) -> Iterator[Call]:
        """Go through all calls page by page, oldest first; memory does not grow with their number."""
        while page := self.calls(after=after, limit=_PAGE, **filters):
            yield from page
            after = page[-1].seq

    def find(self, call_id: str) -> Call | None:
        """Return the call of an id, or None."""
        rows = self.read("SELECT * FROM calls WHERE id = ?", [call_id])
        return Call.from_row(rows[0], self) if rows else None

    def find_response(self, response_id: str) -> Call | None:
        """Return the newest call whose answer has this id, or None."""
        rows = self.read("SELECT * FROM calls WHERE response_id = ? ORDER BY seq DESC LIMIT 1", [response_id])
        return Call.from_row(rows[0], self) if rows else None

    def count(self, **filters: Any) -> int:
        """Return the number of calls."""
        clause, values = where(filters)
        return int(self.read(f"SELECT COUNT(*) FROM calls {clause}", values)[0][0])

    def sessions(self, *, limit: int = 100) -> list[dict[str, Any]]:
        """Return the newest sessions with their number of calls."""
        rows = self.read(
            "SELECT session, COUNT(*) AS calls, MIN(seq) AS first_seq, MAX(seq) AS last_seq FROM calls "
            "WHERE session IS NOT NULL GROUP BY session ORDER BY last_seq DESC LIMIT ?",
            [limit],
        )
        return [dict(row) for row in rows]

    def summary(self, **filters: Any) -> dict[str, Any]:
        """Return sums: calls, statuses, tokens, cost, bytes, and the same by model.

        ``cost`` is the sum of what is known; ``unpriced`` counts the calls that are not in it. It is None if none is known.
        """
        return summary(self.read, filters)

    def body(self, call_id: str) -> tuple[bytes, bytes, list[list[float]]]:
        """Return request bytes, answer bytes, and ``[milliseconds, size]`` of each piece of the answer."""
        rows = self.read("SELECT request, response, frames FROM bodies WHERE id = ?", [call_id])
        if not rows:
            return b"", b"", []
        return unpack(rows[0]["request"]), unpack(rows[0]["response"]), loads(unpack(rows[0]["frames"]) or b"[]")

    # -- exporting ------------------------------------------------------------------------------------------------

    def export(self, path: str | Path, *, fmt: str | None = None, **filters: Any) -> Path:
        """Write calls to a file: ``.jsonl`` or ``.parquet`` by its ending, or by ``fmt``. See :mod:`exports`."""
        from shadownb.engine.capture.exports import export

        return export(self, path, fmt=fmt, **filters)

    def to_dataset(self, **filters: Any) -> datasets.Dataset:
        """Return calls as a ``datasets.Dataset``; nested columns are JSON text."""
        from shadownb.engine.capture.exports import to_dataset

        return to_dataset(self, **filters)

    # -- deleting -------------------------------------------------------------------------------------------------

    def delete(self, *ids: str, **filters: Any) -> int:
        """Delete calls by id or by filters; returns how many. Without either nothing is deleted."""
        if ids:
            filters["id"] = ids
        if not filters:
            return 0
        clause, values = where(filters)
        return upkeep.delete(self, f"SELECT id FROM calls {clause}", values)

    def clear(self) -> int:
        """Delete every call; returns how many."""
        return upkeep.delete(self, "SELECT id FROM calls")

    def retain(
        self, *, max_age_s: float | None = None, max_calls: int | None = None, max_bytes: int | None = None
    ) -> int:
        """Delete the oldest calls until all limits hold; returns how many."""
        return upkeep.retain(self, max_age_s=max_age_s, max_calls=max_calls, max_bytes=max_bytes)

    def reprice(self, prices: PriceTable | dict[str, Any] | str | Path | None = None) -> int:
        """Compute the cost of every call again, by the current table or ``prices``; returns how many changed."""
        return upkeep.reprice(self, prices)

    def scrub(
        self,
        redact: str | Rule | Iterable[str | Rule] | None = None,
        *,
        secrets: Iterable[str] = (),
        api_key_env: str | None = None,
    ) -> Scrubbed:
        """Take keys out of everything that is stored already, and what ``redact`` names; rewrites the file.

        Keys of the environment are known, and so is what has the shape of a key. May be interrupted and run again.

        Parameters
        ----------
        redact
            Rules, as :func:`shadownb.capture` takes them; those that it was recorded with apply as well.
        secrets
            Other strings to take out, of 12 characters or more.
        api_key_env
            Another variable of the environment that holds a key.

        Returns
        -------
        Scrubbed
            How many calls were changed, and where.

        Raises
        ------
        BusyError
            Somebody records here, or another process reads the store, so that its log cannot be emptied.
        DiskFullError
            There is no room to write the file anew.
        """
        from shadownb.engine.capture.scrubbing import scrub

        return scrub(self, redact, secrets=secrets, api_key_env=api_key_env)

    def checkpoint(self, *, truncate: bool = False) -> None:
        """Move the write-ahead log into the file; ``truncate`` also empties it and returns free pages."""
        with upkeep.NO_CHECKPOINT, self.writing() as connection, contextlib.suppress(sqlite3.Error):
            connection.execute("PRAGMA busy_timeout=500")  # truncating keeps writers out while it waits for readers
            if truncate:
                give_back(connection)
            connection.execute(f"PRAGMA wal_checkpoint({'TRUNCATE' if truncate else 'PASSIVE'})").fetchall()

    # -- the file -------------------------------------------------------------------------------------------------

    def read(self, query: str, values: Iterable[Any] = ()) -> list[sqlite3.Row]:
        """Run a query that changes nothing and return all its rows."""
        with self._lock:
            if self._connection is None:
                self._connection = connect(self.files.database)
                self._connection.execute("PRAGMA query_only=1")
            return self._connection.execute(query, list(values)).fetchall()

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Give a connection that may change the store; what is not committed at the end is undone."""
        connection = connect(self.files.database, write=True)
        try:
            yield connection
        finally:
            connection.close()

    def __len__(self) -> int:
        return self.count()

    def __iter__(self) -> Iterator[Call]:
        return self.iterate()

    def __repr__(self) -> str:
        return f"CaptureStore({self.id!r}, {self.count()} calls)"
