"""JudgedCalls: the episodes that calls form, what people think of them, how clients tagged them, and what they cost."""

from __future__ import annotations

import sqlite3
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from shadownb.engine.capture.feedback import REWARD, Score, checked, reward_and_metrics
from shadownb.engine.capture.stored import StoredCalls
from shadownb.errors import DataError, ShadowWarning

if TYPE_CHECKING:
    from shadownb.engine.capture.spending import Spent
    from shadownb.engine.trajectories.trajectory import Trajectory


class JudgedCalls(StoredCalls):
    """Calls with their episodes and scores; :class:`~shadownb.engine.capture.store.CaptureStore` is the whole of a capture."""

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
            ``oldest``, ``longest``, ``shortest``, ``costliest``, ``best`` or ``worst``. Words that stand in more than 10,000
            calls are looked for in the newest 10,000 of those, and a warning says so.

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
        if searched := self.index.table.searched(wanted):
            warnings.warn(
                f"search={wanted['search']!r} stands in more than {searched:,} calls; these are episodes of the newest of "
                f"them. Add words, or read them with calls(text=...), which finds all.",
                ShadowWarning,
                stacklevel=2,
            )
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
        score = checked(self._call_of(call), value, name, note)
        return self._keep([score])[0]

    def _call_of(self, call: str | Trajectory) -> str:
        """Return the id of a call, of the call of an answer, or of the last call of an episode."""
        asked = call if isinstance(call, str) else next(reversed(call.call_ids), "")
        found = self.find(asked) or self.find_response(asked)
        if found is None:
            raise _no_call(asked, self.id)
        return str(found.id)

    def _keep(self, scores: Sequence[Score]) -> list[Score]:
        """Keep scores, all of them or none."""
        from shadownb.engine.capture.scrubbing import redactor_of

        redactor = redactor_of(self)
        kept = [replace(score, note=redactor.text(score.note) or "") for score in scores]
        with (
            self.writing() as connection
        ):  # by then a call may be deleted, and nothing would take the note away any more
            connection.execute("BEGIN IMMEDIATE")
            gone = next((score.call for score in kept if not _insert(connection, score)), None)
            connection.execute("ROLLBACK" if gone is not None else "COMMIT")
        if gone is not None:
            raise _no_call(gone, self.id)
        return kept

    def scores(self, *calls: str) -> dict[str, list[Score]]:
        """Return the scores of calls by their ids, oldest first; without ids, those of all.

        Examples
        --------
        >>> store.scores()
        {}
        """
        if self.database.name() is None:
            return {}
        clause = f"AND id IN ({', '.join('?' * len(calls))})" if calls else ""
        found: dict[str, list[Score]] = {}
        query = "SELECT id, name, value, note, at FROM feedback WHERE (value IS NOT NULL OR note != '')"
        for row in self.read(f"{query} {clause} ORDER BY n", calls):
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


def _insert(connection: sqlite3.Connection, score: Score) -> bool:
    rows = connection.execute(
        "INSERT INTO feedback (id, name, value, note, at) "
        "SELECT ?, ?, ?, ?, ? WHERE EXISTS (SELECT 1 FROM calls WHERE id = ?)",
        (score.call, score.name, score.value, score.note, score.at, score.call),
    ).rowcount
    return rows > 0


def _no_call(asked: str, store: str) -> DataError:
    return DataError(f"There is no call {asked!r} in {store}.", fix="Give the id of a call or of its answer.")
