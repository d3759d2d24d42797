"""CaptureStore: reading, exporting and deleting the calls of one capture, from any process, also while it records."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shadownb.engine.capture import upkeep
from shadownb.engine.capture.call import BODIES, Call, unpacked
from shadownb.engine.capture.database import Database
from shadownb.engine.capture.feedback import REWARD, Score, checked, reward_and_metrics
from shadownb.engine.capture.filters import SINCE_2, where
from shadownb.engine.capture.folder import CaptureFolder
from shadownb.engine.capture.history import History
from shadownb.engine.capture.index import CaptureIndex
from shadownb.engine.capture.schema import give_back
from shadownb.engine.capture.sums import summary
from shadownb.errors import DataError

if TYPE_CHECKING:
    import datasets

    from shadownb.engine.capture.prices import PriceTable
    from shadownb.engine.capture.scrubbing import Scrubbed
    from shadownb.engine.capture.spending import Spent
    from shadownb.engine.privacy.rules import Rule
    from shadownb.engine.trajectories.trajectory import Trajectory


class CaptureStore:
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
        return [Call.from_row(row, self) for row in rows]

    def iterate(self, *, after: int = 0, **filters: Any) -> Iterator[Call]:
        """Yield all calls, oldest first; they are read in pages with what they said, so memory does not grow with their number.

        Examples
        --------
        >>> sum(call.usage["completion_tokens"] for call in store.iterate())
        25
        """
        found = self._found(filters)
        while page := self.database.with_bodies(self, after, **found):
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
        return Call.from_row(rows[0], self) if rows else None

    def find_response(self, response_id: str) -> Call | None:
        """Return the newest call whose answer has this id (``chatcmpl-...``), or None.

        Examples
        --------
        >>> print(store.find_response("chatcmpl-unknown"))
        None
        """
        rows = self.read("SELECT * FROM calls WHERE response_id = ? ORDER BY seq DESC LIMIT 1", [response_id])
        return Call.from_row(rows[0], self) if rows else None

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

    # -- episodes -------------------------------------------------------------------------------------------------

    def trajectories(self, **filters: Any) -> Iterator[Trajectory]:
        """Yield the episodes that the calls form, one in memory at a time; with filters as in :meth:`calls`, those of some calls.

        Examples
        --------
        >>> [episode.final_content() for episode in store.trajectories()]
        ['shipping', 'billing', 'account']
        """
        if filters:
            from shadownb.engine.trajectories.episodes import Episodes

            for found in Episodes().extend(self.iterate(**filters)).trajectories():
                found.reward, found.metrics = reward_and_metrics(self.scores(*found.call_ids), found.call_ids)
                yield found
            return
        self.index.catch_up()
        yield from self.index.trajectories()

    def episodes(self, *, limit: int = 20, offset: int = 0, **query: Any) -> list[dict[str, Any]]:
        """Return facts about a page of the episodes as dicts, equally fast at any place; :meth:`trajectory` reads one.

        Parameters
        ----------
        limit, offset
            How many at most, after skipping ``offset``.
        **query
            ``search`` (words that stand in it), ``kind``, ``model``, ``tool``, ``min_messages``, and ``sort``: ``newest``,
            ``oldest``, ``longest``, ``shortest``, ``costliest``, ``best`` or ``worst``.

        Raises
        ------
        ConfigError
            The query has another name or order.

        Examples
        --------
        >>> [(each["title"][:20], each["messages"]) for each in store.episodes(search="ship", limit=1)]
        [('Where is my parcel?', 2)]
        """
        from shadownb.engine.capture.index.table import checked

        wanted = checked(query)
        self.index.catch_up()
        return self.index.table.page({**wanted, "offset": offset}, limit)[0]

    def trajectory(self, episode: int) -> Trajectory:
        """Return the episode with this ``id`` whole. Raises :class:`DataError` if it was deleted.

        Examples
        --------
        >>> store.trajectory(store.episodes(search="ship")[0]["id"]).final_content()
        'shipping'
        """
        return self.index.trajectory(episode)

    def left_out(self) -> tuple[dict[str, str], list[str]]:
        """Return which calls are in no episode: why some cannot be read, by their ids, and the ids of those without an answer.

        Examples
        --------
        >>> store.left_out()
        ({}, [])
        """
        self.index.catch_up()
        return self.index.unread, self.index.unanswered

    # -- scores ---------------------------------------------------------------------------------------------------

    def score(self, call: str | Trajectory, value: float | None = None, *, name: str = REWARD, note: str = "") -> Score:
        """Keep what somebody thinks of a call, or of an episode: a number, words, or both. Of each name the newest value counts.

        Parameters
        ----------
        call
            Its id or the id of its answer (``chatcmpl-...``); or an episode, of which its last call is scored.
        value
            Usually 1.0 for good and 0.0 for bad.
        name
            What is judged. ``score`` is the reward of the episode, any other name is one of its metrics.
        note
            Words about it. What the recording removes (keys, and what ``redact=`` named) is removed here, too.

        Raises
        ------
        DataError
            There is no such call.
        ConfigError
            Neither a value nor a note is given, or one of them is none.

        Examples
        --------
        >>> call = store.calls(limit=1)[0]
        >>> store.score(call.id, 1.0, note="The right queue.").value
        1.0
        >>> [(score.name, score.value) for score in call.scores], next(store.trajectories()).reward
        ([('score', 1.0)], 1.0)
        """
        from shadownb.engine.capture.scrubbing import redactor_of

        asked = call if isinstance(call, str) else next(reversed(call.call_ids), "")
        found = self.find(asked) or self.find_response(asked)
        if found is None:
            raise _no_call(asked, self.id)
        score = checked(found.id, value, name, note)
        score = replace(score, note=redactor_of(self).text(score.note) or "")
        with self.writing() as connection:  # by then it may be deleted, and nothing would take the note away any more
            kept = connection.execute(
                "INSERT INTO feedback (id, name, value, note, at) "
                "SELECT ?, ?, ?, ?, ? WHERE EXISTS (SELECT 1 FROM calls WHERE id = ?)",
                (score.call, score.name, score.value, score.note, score.at, score.call),
            ).rowcount
        if not kept:
            raise _no_call(asked, self.id)
        return score

    def scores(self, *calls: str) -> dict[str, list[Score]]:
        """Return the scores of calls by their ids, oldest first; without ids, those of all.

        Examples
        --------
        >>> store.scores()
        {}
        """
        if self.database.name() is None:
            return {}
        clause = f"WHERE id IN ({', '.join('?' * len(calls))})" if calls else ""
        found: dict[str, list[Score]] = {}
        for row in self.read(f"SELECT id, name, value, note, at FROM feedback {clause} ORDER BY n", calls):
            found.setdefault(row["id"], []).append(Score(*row))
        return found

    def tags(self, *, limit: int = 100) -> list[dict[str, Any]]:
        """Return the tags that clients gave their calls, the commonest first, as dicts with name, value and number of calls.

        Examples
        --------
        >>> store.tags()
        []
        """
        if self.database.name() is None:
            return []
        rows = self.read(
            "SELECT name, value, COUNT(*) AS calls FROM tags GROUP BY name, value ORDER BY calls DESC, name, value LIMIT ?",
            [limit],
        )
        return [dict(row) for row in rows]

    def costs(self, by: str = "system", *, prices: Any = None, **filters: Any) -> list[Spent]:
        """Return what each call site took, the most expensive first; filters as in :meth:`calls`.

        Parameters
        ----------
        by
            ``system`` (the beginning of the system text), ``tag:NAME`` (a tag of the client), ``model``, ``session``,
            ``dialect`` or ``status``.
        prices
            For estimated tokens, where an answer does not say how many it took (default: the included table).

        Examples
        --------
        >>> [(spent.site, spent.calls, spent.completion_tokens) for spent in store.costs("model")]
        [('tiny', 3, 25)]
        """
        from shadownb.engine.capture.spending import costs

        return costs(self, by, prices, **filters)

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

    # -- inside ---------------------------------------------------------------------------------------------------

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
        return [Call.from_row(rows[seq], self) for seq in seqs if seq in rows]

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

    def __repr__(self) -> str:
        return f"CaptureStore({self.id!r}, {self.count()} calls)"


def _no_call(asked: str, store: str) -> DataError:
    return DataError(f"There is no call {asked!r} in {store}.", fix="Give the id of a call or of its answer.")
