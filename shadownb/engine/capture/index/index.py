"""CaptureIndex: reads episodes and words from the index of a capture, as a list or a stream."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from shadownb.engine.capture.feedback import reward_and_metrics
from shadownb.engine.capture.index import words
from shadownb.engine.capture.index.table import EpisodeTable
from shadownb.engine.capture.index.upkeep import ID, STREAM_PAGE, KeptUp
from shadownb.engine.trajectories.graph import trajectory_at
from shadownb.errors import DataError

if TYPE_CHECKING:
    from shadownb.engine.trajectories.trajectory import Trajectory

_RELATED = 20  # other paths that one conversation lists


class CaptureIndex(KeptUp):
    """The episodes and words of a capture's calls; several processes may keep up one.

    Attributes
    ----------
    last_seq, read
        The position up to which calls are in it, and how many those were.
    """

    # -- lists --------------------------------------------------------------------------------------------------------

    @property
    def table(self) -> EpisodeTable:
        """The rows of the episodes, as far as they are in it."""
        with self._lock:
            self._opened()
            return self._table

    @property
    def unanswered(self) -> list[str]:
        """The ids of the calls without an answer."""
        return [row[0] for row in self._rows_of("SELECT id FROM left_out WHERE why IS NULL ORDER BY seq")]

    @property
    def unread(self) -> dict[str, str]:
        """Why calls that cannot be read are in no episode, by their ids."""
        rows = self._rows_of("SELECT id, why FROM left_out WHERE why IS NOT NULL ORDER BY seq")
        return {row[0]: row[1] for row in rows}

    def counts(self) -> tuple[int, int]:
        """Return how many calls had no answer, and how many cannot be read."""
        row = self._rows_of("SELECT COUNT(*) - COUNT(why), COUNT(why) FROM left_out")[0]
        return int(row[0]), int(row[1])

    def related(self, number: int) -> list[dict[str, Any]]:
        """Return other paths of the same conversation, the agents it started and the one that started it.

        Each is a row with ``relation`` (``path``, ``child`` or ``parent``) and ``at``: how many messages of this one come
        before the place where they part.
        """
        with self._lock:
            table, nodes = self.table, self._places.nodes
            row = table.find(number)
            place = {index: at for at, index in enumerate(nodes.path_to(row["tip"]), start=1)}
            found: list[dict[str, Any]] = []
            for other in table.of_root(row["root"], but=number, limit=_RELATED):
                at = max((place[i] for i in nodes.path_to(other["tip"]) if i in place), default=0)
                found.append({**other, "relation": "path", "at": at})
            for child in table.started_by(row["root"], limit=_RELATED):
                if child["parent_node"] in place:
                    found.append({**child, "relation": "child", "at": place[child["parent_node"]]})
            if row["parent_root"] is not None:
                found += [{**p, "relation": "parent", "at": 0} for p in table.of_root(row["parent_root"], limit=1)]
            self._done()
            return found

    # -- episodes -----------------------------------------------------------------------------------------------------

    def trajectory(self, number: int) -> Trajectory:
        """Return an episode whole, from its calls. Raises :class:`DataError` if they were deleted."""
        with self._lock:
            found = self._at(self.table.find(number)["tip"])
            self._done()
            if found is None:
                raise DataError("The calls of this episode were deleted.", fix="Read the capture again.")
            return found

    def trajectories(self) -> Iterator[Trajectory]:
        """Yield the episodes that are in it, in the order in which their first answers came; one is in memory at a time."""
        after = (-1, -1)
        while True:
            with self._lock:
                rows = self.table.after(*after, limit=STREAM_PAGE)
            if not rows:
                return
            for _, tip in rows:
                with self._lock:
                    self.table  # noqa: B018  # it may have been made anew meanwhile
                    found = self._at(tip)
                    self._places.nodes.clear()
                if found is not None:
                    yield found
            after = rows[-1]
            self._calls.clear()

    def _at(self, tip: int) -> Trajectory | None:
        nodes = self._places.nodes
        try:
            path = nodes.path_to(tip)
        except (KeyError, IndexError):
            return None
        if any(self._calls[nodes[index].seq] is None for index in path):
            return None  # deleted a moment ago
        found = trajectory_at(nodes, path)
        found.reward, found.metrics = reward_and_metrics(self._store.scores(*found.call_ids), found.call_ids)
        return found

    # -- words --------------------------------------------------------------------------------------------------------

    def seqs(
        self,
        text: str,
        *,
        after: int = 0,
        before: int | None = None,
        limit: int = -1,
        offset: int = 0,
        newest_first: bool = False,
    ) -> list[int]:
        """Return the positions of the calls in which a text stands, the last of its words perhaps only begun."""
        with self._lock:
            db = self._opened()
            asked = words.query_of(db, text)
            order = "DESC" if newest_first else "ASC"
            query = f"SELECT rowid FROM said WHERE said MATCH ? AND rowid > ? AND rowid < ? ORDER BY rowid {order} LIMIT ? OFFSET ?"
            found = db.execute(query, (asked, after, before or 2**62, limit, offset)) if asked else []
            return [row[0] for row in found]

    def number_with(self, text: str) -> int:
        """Return in how many calls a text stands."""
        with self._lock:
            db = self._opened()
            asked = words.query_of(db, text)
            return (
                int(db.execute("SELECT COUNT(*) FROM said WHERE said MATCH ?", (asked,)).fetchone()[0]) if asked else 0
            )

    def conversations_with(self, seqs: list[int]) -> list[str]:
        """Return the ids of all calls of the conversations that the calls at these positions belong to."""
        with self._lock:
            db, nodes = self._opened(), self._places.nodes
            tips = dict.fromkeys(tip for seq in seqs for tip in self._tips_below(db, seq))
            found: dict[int, None] = {}
            failed: dict[str, None] = {}
            for tip in tips:
                for index in nodes.path_to(tip):
                    if (node := nodes[index]).is_answer:
                        found[node.seq] = None
                        failed.update(dict.fromkeys(node.failed))
                nodes.clear()
            return [*dict.fromkeys(row[0] for seq in found for row in self._store.database.read(ID, [seq])), *failed]
