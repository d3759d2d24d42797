"""CaptureIndex: brings the index of a capture up to date, and reads episodes from it as a list or a stream."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from shadownb.engine.capture.feedback import reward_and_metrics
from shadownb.engine.capture.index import file, words
from shadownb.engine.capture.index.forgetting import Forgetting
from shadownb.engine.capture.index.nodes import ReadCalls, StoredPlaces
from shadownb.engine.capture.index.rows import Rows
from shadownb.engine.capture.index.table import EpisodeTable
from shadownb.engine.disk import is_full
from shadownb.engine.trajectories.episodes import Episodes
from shadownb.engine.trajectories.graph import trajectory_at
from shadownb.engine.trajectories.identity import role_of
from shadownb.errors import DataError

if TYPE_CHECKING:
    from shadownb.engine.capture.call import Call
    from shadownb.engine.capture.index.source import IndexedCalls
    from shadownb.engine.trajectories.trajectory import Trajectory

AT_ONCE = 200  # calls in one transaction
_RELATED = 20  # other paths that one conversation lists
NO_INDEX = 2**62  # what an index knows of that is not there: all there ever is
_ID = "SELECT id FROM calls WHERE seq = ?"
_BELOW = (
    "WITH RECURSIVE down (id) AS (SELECT id FROM nodes WHERE seq = ? AND choice IS NOT NULL UNION "
    "SELECT nodes.id FROM down JOIN nodes ON nodes.parent = down.id) "
    "SELECT tip FROM down JOIN episodes ON episodes.tip = down.id"
)
_T = TypeVar("_T")
_PAGE = 500  # episodes of a stream that are known at a time


class CaptureIndex:
    """The episodes and words of a capture's calls; several processes may keep up one.

    Attributes
    ----------
    last_seq, read
        The position up to which calls are in it, and how many those were.
    """

    def __init__(self, store: IndexedCalls) -> None:
        self._store = store
        self.path = store.path / file.FILE
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._inode = 0
        self._is_fleeting = False
        self.last_seq = self.read = 0

    @property
    def is_kept(self) -> bool:
        """Whether it is in a file; where there is no room for one, it is in a private one that is gone when it is closed."""
        return not self._is_fleeting

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def drop(self) -> None:
        """Remove the index with all that stands in it; the next use makes it anew."""
        with self._lock:
            self.close()
            file.remove(self.path)

    # -- keeping up ---------------------------------------------------------------------------------------------------

    def catch_up(
        self,
        told: Callable[[], object] = lambda: None,
        stopped: Callable[[], bool] = lambda: False,
        *,
        at_once: int | None = None,
    ) -> None:
        """Bring it up to date: take in the calls that came, and let go of those that are gone.

        Parameters
        ----------
        told
            Called after each few calls, when ``last_seq`` and ``read`` have risen.
        stopped
            Ends it early.
        at_once
            Calls in one transaction.
        """
        while not stopped():
            with self._lock:
                try:
                    number = self._take_in(at_once or AT_ONCE)
                except sqlite3.OperationalError as error:
                    if not is_full(error) or self._is_fleeting:
                        raise
                    self.drop()  # recording needs the room
                    self._is_fleeting = True
                    number = 1
            if number:
                told()
            else:
                return

    def _take_in(self, most: int) -> int:
        """Add the next calls in one transaction; returns how many came."""
        db = self._opened()
        if not self._is_behind(db):
            return 0
        return self._in_transaction(db, partial(self._add_next, most=most))

    def _add_next(self, db: sqlite3.Connection, *, most: int) -> int:
        self._follow_changes(db)
        self.last_seq, self.read = (int(self._about(db, key)) for key in ("last_seq", "read"))
        page = self._store.database.with_bodies(self._store, self.last_seq, most)
        for call in page:
            self._add(db, call)
        if page:
            self.last_seq, self.read = page[-1].seq, self.read + len(page)
        db.executemany("UPDATE about SET value = ? WHERE key = ?", [(self.last_seq, "last_seq"), (self.read, "read")])
        self._take_scores(db)
        return len(page)

    def _take_scores(self, db: sqlite3.Connection) -> None:
        """Let episodes have the scores that their calls were given since; that of a call to come comes with it."""
        seen, newest = int(self._about(db, "feedback")), self._store.database.last_of("feedback")
        if newest <= seen:
            return
        query = "SELECT n, seq FROM feedback LEFT JOIN calls USING (id) WHERE n > ? ORDER BY n"
        for number, seq in self._store.database.read(query, [seen]):
            if seq is not None and seq > self.last_seq:
                break
            seen = number
            for tip in self._tips_below(db, seq) if seq is not None else ():
                ids = self._ids_to(tip)
                reward, _ = reward_and_metrics(self._store.scores(*ids), ids)
                db.execute("UPDATE episodes SET score = ? WHERE tip = ?", (reward, tip))
        else:
            seen = max(seen, newest)  # those that are missing went with their calls
        db.execute("UPDATE about SET value = ? WHERE key = 'feedback'", (seen,))

    def _tips_below(self, db: sqlite3.Connection, seq: int) -> list[int]:
        """Return the latest answers of the episodes that a call is part of."""
        return [row[0] for row in db.execute(_BELOW, (seq,))]

    def _ids_to(self, tip: int) -> list[str]:
        """Return the ids of the calls of an episode."""
        nodes = self._places.nodes
        seqs = [nodes[index].seq for index in nodes.path_to(tip) if nodes[index].is_answer]
        return [row[0] for seq in seqs for row in self._store.database.read(_ID, [seq])]

    def _is_behind(self, db: sqlite3.Connection) -> bool:
        self.last_seq, self.read = int(self._about(db, "last_seq")), int(self._about(db, "read"))
        newest = self._store.database.read("SELECT MAX(seq) FROM calls")[0][0] or 0
        return newest > self.last_seq or any(
            self._store.database.last_of(table) > int(self._about(db, table)) for table in ("log", "feedback")
        )

    def _add(self, db: sqlite3.Connection, call: Call) -> None:
        graph, places = self._graph, self._places
        places.begin(call.seq)
        self._calls.keep(call.seq, call)
        made = graph.add(call)
        if call.id in graph.unread or call.id in graph.unanswered:
            db.execute(
                "INSERT OR REPLACE INTO left_out VALUES (?, ?, ?)", (call.seq, call.id, graph.unread.get(call.id))
            )
            graph.unread.clear()
            graph.unanswered.clear()
        if not made:
            return
        episodes = self._rows.add(call, made)
        db.executemany("INSERT OR IGNORE INTO parts VALUES (?, ?)", [(call.seq, episode) for episode in episodes])
        new = len(places.appended) - len(made)
        given = call.messages[len(call.messages) - new :]
        first = next((message for message in call.messages if role_of(message) == "user"), None)
        begins = new < len(call.messages) and any(episode in made for episode in episodes) and first is not None
        answers = [places.nodes[index].message for index in made]
        words.add(db, call.seq, words.words_of([*([first] if begins and first is not None else []), *given, *answers]))

    # -- letting go ---------------------------------------------------------------------------------------------------

    def forget(self, *, settle: bool = True) -> int:
        """Let go of the calls that were deleted, words and all; where there is no room for that, of the whole index.

        Parameters
        ----------
        settle
            Write the words anew, so that none is left in the file that only they had; else :meth:`settle` does.

        Returns
        -------
        int
            The number of the last change that it knows of; more than there are where there is no index.
        """
        with self._lock:
            if not self.path.exists() and self._connection is None:
                return NO_INDEX
            try:
                db = self._opened()
                self._in_transaction(db, self._follow_changes)
                if settle:
                    self.settle()
                return int(self._about(db, "log"))
            except sqlite3.Error:
                self.drop()
                return NO_INDEX

    def settle(self) -> None:
        """Write the words anew after some were deleted, and empty the log, so that neither holds them any more."""
        with self._lock:
            if not self.path.exists() and self._connection is None:
                return
            try:
                db = self._opened()
                if db.execute("SELECT 1 FROM about WHERE key = 'unsettled'").fetchone():
                    words.settle(db)
                    db.execute("DELETE FROM about WHERE key = 'unsettled'")
                    db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            except sqlite3.Error:
                self.drop()

    def vacuum(self) -> None:
        """Write the file anew, without the room that deleted calls have left."""
        with self._lock:
            if self.path.exists():
                self.settle()
                try:
                    db = self._opened()
                    db.execute("INSERT INTO said (said) VALUES ('optimize')")
                    db.execute("VACUUM")
                    db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
                except sqlite3.Error:
                    self.drop()

    def reprice(self) -> None:
        """Take over the costs of the calls, which were computed anew."""
        with self._lock:
            if self.path.exists() or self._connection is not None:
                self._in_transaction(self._opened(), self._take_costs)

    def _take_costs(self, db: sqlite3.Connection) -> None:
        after = (-1, -1)
        while rows := self._table.after(*after, limit=_PAGE):
            after = rows[-1]
            for _, tip in rows:
                seqs = [node.seq for i in self._places.nodes.path_to(tip) if (node := self._places.nodes[i]).is_answer]
                self._places.nodes.clear()
                marks = ", ".join("?" * len(seqs))
                query = f"SELECT COUNT(*) = COUNT(cost), SUM(cost) FROM calls WHERE seq IN ({marks})"
                whole, cost = self._store.database.read(query, seqs)[0]
                db.execute("UPDATE episodes SET cost = ? WHERE tip = ?", (cost if whole else None, tip))

    def _follow_changes(self, db: sqlite3.Connection) -> None:
        for call in self._forget_what_changed(db):
            self._add(db, call)

    def _in_transaction(self, db: sqlite3.Connection, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """Do something that others wait for, who then go on behind it."""
        db.execute("BEGIN IMMEDIATE")
        try:
            self._places.start()
            done = work(db)
            self._places.flush()
            db.execute("COMMIT")
            return done
        finally:
            if db.in_transaction:
                db.execute("ROLLBACK")
            self._done()

    def _forget_what_changed(self, db: sqlite3.Connection) -> list[Call]:
        """Let go of calls that were changed or deleted since; returns those that are still there, as they are now."""
        seen, newest = int(self._about(db, "log")), self._store.database.last_of("log")
        if newest <= seen:
            return []
        changes = self._store.database.changes(seen)  # may be fewer: what an index knows of is not kept
        last = int(self._about(db, "last_seq"))
        seqs = sorted({seq for _, seq in changes if seq <= last})
        held = {row[0] for begin in range(0, len(seqs), 500) for row in _among(db, seqs[begin : begin + 500])}
        gone = [seq for seq in seqs if seq in held]
        Forgetting(db, self._places, self._rows, self._table).forget(gone)
        db.execute("UPDATE about SET value = ? WHERE key = 'log'", (max([newest, *(n for n, _ in changes)]),))
        if gone:
            db.execute("INSERT OR REPLACE INTO about VALUES ('unsettled', 1)")
            db.execute("UPDATE about SET value = value - ? WHERE key = 'read'", (len(gone),))
        again = [call for seq in gone for call in self._store.calls(after=seq - 1, before=seq + 1)]
        db.execute("UPDATE about SET value = value + ? WHERE key = 'read'", (len(again),))
        return again

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
        return [row[0] for row in self._opened().execute("SELECT id FROM left_out WHERE why IS NULL ORDER BY seq")]

    @property
    def unread(self) -> dict[str, str]:
        """Why calls that cannot be read are in no episode, by their ids."""
        rows = self._opened().execute("SELECT id, why FROM left_out WHERE why IS NOT NULL ORDER BY seq")
        return {row[0]: row[1] for row in rows}

    def counts(self) -> tuple[int, int]:
        """Return how many calls had no answer, and how many cannot be read."""
        row = self._opened().execute("SELECT COUNT(*) - COUNT(why), COUNT(why) FROM left_out").fetchone()
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
                rows = self.table.after(*after, limit=_PAGE)
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

    def _done(self) -> None:
        self._places.nodes.clear()
        self._calls.clear()

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
            return [*dict.fromkeys(row[0] for seq in found for row in self._store.database.read(_ID, [seq])), *failed]

    # -- the file -----------------------------------------------------------------------------------------------------

    def _opened(self) -> sqlite3.Connection:
        """Return the connection; a new one where another process has made the file anew."""
        with self._lock:
            if self._connection is not None and self._inode != _inode(self.path):
                self.close()
            if self._connection is None:
                name = self._store.database.name()
                kept = name is not None and not self._is_fleeting
                self._connection = file.connect(self.path if kept else None, name or "")
                if int(self._about(self._connection, "last_seq")) > self._store.database.last_of(
                    "calls"
                ):  # other calls than it was made of
                    self._connection.close()
                    file.remove(self.path)
                    self._connection = file.connect(self.path, name or "")
                self._inode = _inode(self.path)
                self._calls = ReadCalls(self._store)
                self._places = StoredPlaces(self._connection, self._calls)
                self._graph = Episodes(places=self._places)
                self._table = EpisodeTable(self._connection, self._lock)
                self._rows = Rows(self._places, self._table)
            return self._connection

    @staticmethod
    def _about(db: sqlite3.Connection, key: str) -> Any:
        return db.execute("SELECT value FROM about WHERE key = ?", (key,)).fetchone()[0]


def _inode(path: Path) -> int:
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_ino
    return 0


def _among(db: sqlite3.Connection, seqs: list[int]) -> list[Any]:
    marks = ", ".join("?" * len(seqs))
    return db.execute(
        f"SELECT seq FROM nodes WHERE seq IN ({marks}) UNION SELECT seq FROM left_out WHERE seq IN ({marks})",
        [*seqs, *seqs],
    ).fetchall()
