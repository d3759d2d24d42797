"""StoredCalls: the calls of one capture, found and read from its database, also while it records."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, cast

from shadownb.engine.capture.call import BODIES, Call, unpacked
from shadownb.engine.capture.database import Database
from shadownb.engine.capture.filters import SINCE_2, where
from shadownb.engine.capture.sums import summary

if TYPE_CHECKING:
    from shadownb.engine.capture.folder import CaptureFolder
    from shadownb.engine.capture.index import CaptureIndex
    from shadownb.engine.ports.capture_store import CaptureStore


class StoredCalls:
    """What is read of calls; :class:`~shadownb.engine.capture.store.CaptureStore` is the whole of a capture.

    Attributes
    ----------
    id, files
        Its name, and the files of its folder.
    database, index
        Its calls, and the index of its episodes and words beside it.
    """

    id: str
    files: CaptureFolder
    database: Database
    index: CaptureIndex

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
        """Return calls in the order in which they were recorded.

        Parameters
        ----------
        after, before
            Only calls whose ``seq`` is greater or less than this; the way to page through many calls.
        limit, offset
            How many at most, after skipping ``offset``.
        newest_first
            Return the newest calls first.
        **filters
            ``session, model, dialect, route, status, finish_reason, id`` (a value or a list of them), ``since`` and
            ``until`` (seconds since 1970), ``min_cost``, ``search`` (in the title or the session), ``text`` (words of a message,
            an answer or a tool call; the last one may be only begun), ``tag`` (``name=value``, or ``name``), ``scored`` (True,
            False, or the name of a score).

        Raises
        ------
        ConfigError
            A filter is unknown.

        Examples
        --------
        >>> first = store.calls(limit=1)[0]
        >>> [call.text for call in store.calls(after=first.seq)]
        ['billing', 'account']
        >>> len(store.calls(search="parcel", finish_reason="stop"))
        1
        >>> [call.text for call in store.calls(text="ship")]
        ['shipping']
        """
        bounds = {name: value for name, value in (("after", after), ("before", before)) if value is not None}
        if set(filters) == {"text"}:  # as FTS5 finds them, no more than are asked for
            self.index.catch_up()
            most = -1 if limit is None else limit
            seqs = self.index.seqs(
                str(filters["text"]),
                after=after or 0,
                before=before,
                limit=most,
                offset=offset,
                newest_first=newest_first,
            )
            return self._at(seqs)
        clause, values = self._where({**filters, **bounds})
        order = "DESC" if newest_first else "ASC"
        rows = self.read(
            f"SELECT * FROM calls {clause} ORDER BY seq {order} LIMIT ? OFFSET ?",
            [*values, -1 if limit is None else limit, offset],
        )
        return [Call.from_row(row, self._whole) for row in rows]

    def iterate(self, *, after: int = 0, **filters: Any) -> Iterator[Call]:
        """Yield all calls, oldest first; they are read in pages with what they said, so memory does not grow with their number.

        Examples
        --------
        >>> sum(call.usage["completion_tokens"] for call in store.iterate())
        25
        """
        found = self._found(filters)
        while page := self.database.with_bodies(self._whole, after, **found):
            after = page[-1].seq
            yield from page

    def find(self, call_id: str) -> Call | None:
        """Return the call with this id, or None.

        Examples
        --------
        >>> call = store.calls(limit=1)[0]
        >>> store.find(call.id).text
        'shipping'
        """
        rows = self.read("SELECT * FROM calls WHERE id = ?", [call_id])
        return Call.from_row(rows[0], self._whole) if rows else None

    def find_response(self, response_id: str) -> Call | None:
        """Return the newest call whose answer has this id (``chatcmpl-...``), or None.

        Examples
        --------
        >>> print(store.find_response("chatcmpl-unknown"))
        None
        """
        rows = self.read("SELECT * FROM calls WHERE response_id = ? ORDER BY seq DESC LIMIT 1", [response_id])
        return Call.from_row(rows[0], self._whole) if rows else None

    def count(self, **filters: Any) -> int:
        """Return the number of calls; filters as in :meth:`calls`.

        Examples
        --------
        >>> store.count(), store.count(status="error")
        (3, 0)
        """
        if set(filters) == {"text"}:
            self.index.catch_up()
            return self.index.number_with(str(filters["text"]))
        clause, values = self._where(filters)
        return int(self.read(f"SELECT COUNT(*) FROM calls {clause}", values)[0][0])

    def sessions(self, *, limit: int = 100) -> list[dict[str, Any]]:
        """Return the newest sessions as dicts, each with its number of calls.

        Examples
        --------
        >>> [(session["session"], session["calls"]) for session in store.sessions(limit=5)]
        []
        """
        rows = self.read(
            "SELECT session, COUNT(*) AS calls, MIN(seq) AS first_seq, MAX(seq) AS last_seq FROM calls "
            "WHERE session IS NOT NULL GROUP BY session ORDER BY last_seq DESC LIMIT ?",
            [limit],
        )
        return [dict(row) for row in rows]

    def summary(self, **filters: Any) -> dict[str, Any]:
        """Return totals as a dict: calls, statuses, tokens, cost (US dollars), bytes, and the same for each model.

        ``cost`` is the sum of the known costs, None if none is known; ``unpriced`` counts calls without a price. Filters as in
        :meth:`calls`.

        Examples
        --------
        >>> sums = store.summary()
        >>> sums["calls"], sums["cost"], sums["unpriced"]  # a model of one's own has no price
        (3, None, 3)
        """
        return summary(self.read, self._found(filters))

    def body(self, call_id: str) -> tuple[bytes, bytes, list[list[float]]]:
        """Return the request, the answer (both bytes), and ``[milliseconds, size in bytes]`` of each piece of the answer.

        Examples
        --------
        >>> request, answer, pieces = store.body(store.calls(limit=1)[0].id)
        >>> request[:20], len(pieces)
        (b'{"model": "tiny", "m', 1)
        """
        rows = self.read(f"SELECT {BODIES} FROM bodies WHERE id = ?", [call_id])
        return unpacked(*rows[0]) if rows else (b"", b"", [])

    # -- inside ---------------------------------------------------------------------------------------------------

    @property
    def _whole(self) -> CaptureStore[Call]:
        return cast("CaptureStore[Call]", self)

    def _found(self, filters: dict[str, Any]) -> dict[str, Any]:
        """Return filters with the positions of the calls in which a text stands in its place."""
        if filters.keys() & set(SINCE_2):
            self.database.name()  # brings a store of version 1 to this one
        if filters.get("text") is None:
            return filters
        self.index.catch_up()
        return {**filters, "text": self.index.seqs(str(filters["text"]))}

    def _where(self, filters: dict[str, Any]) -> tuple[str, list[Any]]:
        return where(self._found(filters))

    def _at(self, seqs: list[int]) -> list[Call]:
        query = "SELECT * FROM calls WHERE seq IN (SELECT value FROM json_each(?))"
        rows = {row["seq"]: row for row in self.read(query, [json.dumps(seqs)])}
        return [Call.from_row(rows[seq], self._whole) for seq in seqs if seq in rows]

    # -- the file -------------------------------------------------------------------------------------------------

    def read(self, query: str, values: Iterable[Any] = ()) -> list[sqlite3.Row]:
        """Run a query that changes nothing and return all its rows."""
        return self.database.read(query, values)

    def writing(self) -> contextlib.AbstractContextManager[sqlite3.Connection]:
        """Give a connection that may change the store; what is not committed at the end is undone."""
        return self.database.writing()

    def __len__(self) -> int:
        return self.count()

    def __iter__(self) -> Iterator[Call]:
        return self.iterate()
