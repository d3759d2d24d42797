"""CaptureStore: reading, exporting and deleting the calls of one capture, from any process, also while it records."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shadownb.engine.capture import upkeep
from shadownb.engine.capture.database import Database
from shadownb.engine.capture.folder import CaptureFolder
from shadownb.engine.capture.history import History
from shadownb.engine.capture.index import CaptureIndex
from shadownb.engine.capture.schema import give_back
from shadownb.engine.capture.taught import TaughtCalls

if TYPE_CHECKING:
    import datasets

    from shadownb.engine.capture.prices import PriceTable
    from shadownb.engine.capture.scrubbing import Scrubbed
    from shadownb.engine.privacy.rules import Rule


class CaptureStore(TaughtCalls):
    """The recorded calls of one capture.

    Examples
    --------
    >>> store
    CaptureStore('tickets', ...)
    >>> store.count()
    3
    >>> for call in store.calls(limit=2, newest_first=True):
    ...     print(call.model, call.usage["prompt_tokens"], call.text)
    tiny 40 account
    tiny 32 billing
    >>> copy = snb.CaptureStore.open("tickets")  # in another kernel, for example
    >>> copy.close()
    """

    def __init__(self, folder: CaptureFolder) -> None:
        self.files = folder
        self.path = folder.path
        self.id = folder.id
        self.database = Database(folder.database)
        self.history = History(self)
        self.index = CaptureIndex(self)  # its episodes and words; whoever reads it brings it up to date first

    @classmethod
    def open(cls, path_or_id: str | Path, home: str | Path | None = None) -> CaptureStore:
        """Open the store of a capture by its id or the path of its folder; ``home`` is that of the id (default ``SHADOWNB_HOME``).

        Raises
        ------
        DataError
            There is none; the message suggests the closest id.

        Examples
        --------
        >>> snb.CaptureStore.open("tickets").count()
        3
        """
        store = cls(CaptureFolder.find(path_or_id, home))
        store.read("SELECT 1")
        return store

    def close(self) -> None:
        """Close the file; the next read opens it again."""
        self.database.close()
        self.index.close()

    # -- exporting ------------------------------------------------------------------------------------------------

    def export(self, path: str | Path, *, fmt: str | None = None, parsed: bool = True, **filters: Any) -> Path:
        """Write calls to a ``.jsonl`` or ``.parquet`` file (or as ``fmt`` says) and return its path; filters as in :meth:`calls`.

        A file that ends in ``.otlp.jsonl`` (``fmt="otlp"``) holds spans of OpenTelemetry's GenAI convention, with the scores.
        ``parsed=False`` writes requests and answers as they are stored, as text, without reading them: several times as fast.

        Examples
        --------
        >>> path = store.export("calls.jsonl", search="parcel")
        >>> len(path.read_text().splitlines())
        1
        """
        from shadownb.engine.capture.exports import export

        return export(self, path, fmt=fmt, parsed=parsed, **filters)

    def to_dataset(self, **filters: Any) -> datasets.Dataset:
        """Return calls as a ``datasets.Dataset`` with nested columns as JSON text; filters as in :meth:`calls`.

        Examples
        --------
        >>> store.to_dataset(search="parcel").num_rows
        1
        """
        from shadownb.engine.capture.exports import to_dataset

        return to_dataset(self, **filters)

    # -- deleting -------------------------------------------------------------------------------------------------

    def delete(self, *ids: str, **filters: Any) -> int:
        """Delete calls by id or by the filters of :meth:`calls`; returns how many. Without both, nothing is deleted.

        Examples
        --------
        >>> store.delete(search="parcel")
        1
        >>> store.count()
        2
        """
        if ids:
            filters["id"] = ids
        if not filters:
            return 0
        clause, values = self._where(filters)
        return upkeep.delete(self, f"SELECT id FROM calls {clause}", values)

    def clear(self) -> int:
        """Delete all calls; returns how many.

        Examples
        --------
        >>> store.clear()
        3
        >>> store.count()
        0
        """
        return upkeep.delete(self, "SELECT id FROM calls")

    def retain(
        self, *, max_age_s: float | None = None, max_calls: int | None = None, max_bytes: int | None = None
    ) -> int:
        """Delete the oldest calls until all limits are met (age in seconds, number, size in bytes); returns how many.

        Examples
        --------
        >>> store.retain(max_calls=2)
        1
        >>> [call.text for call in store.calls()]
        ['billing', 'account']
        """
        return upkeep.retain(self, max_age_s=max_age_s, max_calls=max_calls, max_bytes=max_bytes)

    def reprice(self, prices: PriceTable | dict[str, Any] | str | Path | None = None) -> int:
        """Recompute the cost of every call from ``prices`` (default: the included table); returns how many changed.

        Examples
        --------
        >>> store.reprice({"tiny": {"input": 1.0, "output": 2.0}})  # US dollars for a million tokens
        3
        >>> store.summary()["cost"]
        0.00016
        """
        return upkeep.reprice(self, prices)

    def scrub(
        self,
        redact: str | Rule | Iterable[str | Rule] | None = None,
        *,
        secrets: Iterable[str] = (),
        api_key_env: str | None = None,
    ) -> Scrubbed:
        """Remove keys, and what ``redact`` names, from everything that is stored; rewrites the file.

        Keys in the environment are found, and everything that looks like a key. It can be interrupted and run again.

        Parameters
        ----------
        redact
            Rules as for :func:`shadownb.capture`; those of the recording apply as well.
        secrets
            Other strings to remove, at least 12 characters long.
        api_key_env
            Another environment variable that holds a key.

        Returns
        -------
        Scrubbed
            How many calls were changed, and in which parts.

        Raises
        ------
        BusyError
            The capture is recording, or another process reads the store, so that its log cannot be emptied.
        DiskFullError
            There is no room to write the file anew.

        Examples
        --------
        >>> store.scrub("email")
        0 of 3 calls of tickets were changed.
        """
        from shadownb.engine.capture.scrubbing import scrub

        return scrub(self, redact, secrets=secrets, api_key_env=api_key_env)

    def checkpoint(self, *, truncate: bool = False) -> None:
        """Move the write-ahead log into the file; ``truncate`` also empties it and returns free pages."""
        with upkeep.NO_CHECKPOINT, self.writing() as connection, contextlib.suppress(sqlite3.Error):
            connection.execute("PRAGMA busy_timeout=500")  # truncating keeps writers out while it waits for readers
            if truncate:
                self.index.settle()
                give_back(connection)
            connection.execute(f"PRAGMA wal_checkpoint({'TRUNCATE' if truncate else 'PASSIVE'})").fetchall()

    def __repr__(self) -> str:
        return f"CaptureStore({self.id!r}, {self.count()} calls)"
