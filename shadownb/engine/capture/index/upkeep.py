"""KeptUp: an index that takes in the calls that came, and lets go of those that were deleted."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from shadownb.engine.capture.feedback import reward_and_metrics
from shadownb.engine.capture.index import words
from shadownb.engine.capture.index.forgetting import Forgetting
from shadownb.engine.capture.index.opening import OpenedIndex
from shadownb.engine.disk import is_full
from shadownb.engine.trajectories.identity import role_of

if TYPE_CHECKING:
    from shadownb.engine.capture.call import Call

AT_ONCE = 200  # calls in one transaction
STREAM_PAGE = 500  # episodes of a stream that are known at a time
NO_INDEX = 2**62  # what an index knows of that is not there: all there ever is
ID = "SELECT id FROM calls WHERE seq = ?"
_BELOW = (
    "WITH RECURSIVE down (id) AS (SELECT id FROM nodes WHERE seq = ? AND choice IS NOT NULL UNION "
    "SELECT nodes.id FROM down JOIN nodes ON nodes.parent = down.id) "
    "SELECT tip FROM down JOIN episodes ON episodes.tip = down.id"
)


class KeptUp(OpenedIndex):
    """What changes an index: calls that came, calls that are gone, scores and costs that were given since."""

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
        return [row[0] for seq in seqs for row in self._store.database.read(ID, [seq])]

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
        while rows := self._table.after(*after, limit=STREAM_PAGE):
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


def _among(db: sqlite3.Connection, seqs: list[int]) -> list[Any]:
    marks = ", ".join("?" * len(seqs))
    return db.execute(
        f"SELECT seq FROM nodes WHERE seq IN ({marks}) UNION SELECT seq FROM left_out WHERE seq IN ({marks})",
        [*seqs, *seqs],
    ).fetchall()
