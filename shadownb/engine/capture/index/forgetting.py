"""Taking calls out of an index: what they said, their place in the graph, and what the episodes are without them.

A message that later calls repeat in their prompts stays, as theirs: an answer whose call is gone is then no recorded answer any
more, as if it had been given elsewhere. What the conversations that stay are to each other (a retry, a branch) stays said.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from shadownb.engine.capture.index import words
from shadownb.engine.capture.index.places import DEPTH
from shadownb.engine.trajectories.graph import ROOT

if TYPE_CHECKING:
    from shadownb.engine.capture.index.places import StoredPlaces
    from shadownb.engine.capture.index.rows import Rows
    from shadownb.engine.capture.index.table import EpisodeTable


class Forgetting:
    """Lets go of calls, within a transaction."""

    def __init__(self, db: sqlite3.Connection, places: StoredPlaces, rows: Rows, table: EpisodeTable) -> None:
        self._db, self._places, self._rows, self._table = db, places, rows, table
        self._above: dict[int, int] = {}  # of deleted nodes: the one before
        self._touched: dict[int, None] = {}  # episodes
        self._heirs: dict[int, None] = {}  # positions of calls that messages were given to

    def forget(self, seqs: Sequence[int]) -> None:
        """Let go of the calls at these positions."""
        for seq in sorted(seqs, reverse=True):  # what others hang from stays until they are gone
            self._heirs.pop(seq, None)
            self._touch(self._ids("SELECT episode FROM parts WHERE seq = ?", seq))
            for node in self._ids("SELECT id FROM nodes WHERE seq = ? ORDER BY id DESC", seq):
                self._let_go(node)
            for table in ("parts", "left_out", "failed"):
                self._db.execute(f"DELETE FROM {table} WHERE seq = ?", (seq,))
        words.remove(self._db, seqs)
        for number in self._touched:
            self._settle(number)
        nodes = self._places.nodes
        for seq in self._heirs:
            theirs = self._ids("SELECT id FROM nodes WHERE seq = ? ORDER BY id", seq)
            words.remove(self._db, [seq])
            words.add(self._db, seq, words.words_of(nodes[index].message for index in theirs))

    def _let_go(self, node: int) -> None:
        parent, place, choice, children = self._db.execute(
            "SELECT parent, place, choice, children FROM nodes WHERE id = ?", (node,)
        ).fetchone()
        if choice is not None:
            self._db.execute("DELETE FROM opened WHERE node = ?", (node,))
            self._unrelate(node)
        if children:
            self._give_away(node, was_answer=choice is not None)
        else:
            self._above[node] = parent
            self._db.execute("DELETE FROM nodes WHERE id = ?", (node,))
            self._db.execute("DELETE FROM places WHERE node = ? AND alias = 1", (node,))
            if parent != ROOT:
                self._db.execute("UPDATE nodes SET children = children - 1 WHERE id = ?", (parent,))
        self._place(place, node, stays=bool(children))

    def _give_away(self, node: int, *, was_answer: bool) -> None:
        """Let a message that others go on from be one of their prompts."""
        heir = self._ids("SELECT seq FROM nodes WHERE parent = ? ORDER BY id LIMIT 1", node)[0]
        self._heirs[heir] = None
        at = self._ids(DEPTH, node)[0] - 1
        self._db.execute(
            "UPDATE nodes SET seq = ?, at = ?, choice = NULL, free = 0, waits = 0, waiting = 0, said = NULL, system = NULL, "
            "kind = NULL, related = NULL, relation = NULL, confidence = NULL, rendered_seq = NULL, failed = NULL WHERE id = ?",
            (heir, at, node),
        )
        if was_answer:
            below = (
                "WITH RECURSIVE down (id) AS (SELECT ? UNION ALL SELECT nodes.id FROM down JOIN nodes ON nodes.parent = down.id) "
                "SELECT episodes.id FROM down JOIN episodes ON episodes.tip = down.id"
            )
            self._touch(self._ids(below, node))

    def _place(self, place: bytes, node: int, *, stays: bool) -> None:
        """Let the place of a node lead to the newest answer there, if there is another."""
        others = self._ids("SELECT MAX(id) FROM nodes WHERE place = ? AND choice IS NOT NULL", place)[0]
        if others is not None:
            self._db.execute("UPDATE places SET node = ?, answered = 1 WHERE place = ?", (others, place))
        elif stays:
            self._db.execute("UPDATE places SET node = ?, answered = 0 WHERE place = ?", (node, place))
        else:
            self._db.execute("DELETE FROM places WHERE place = ?", (place,))

    def _unrelate(self, node: int) -> None:
        for row in self._table.related_to(node):
            self._db.execute("UPDATE episodes SET parent_node = NULL, parent_root = NULL WHERE id = ?", (row["id"],))
            self._touched[row["id"]] = None
        self._db.execute(
            "UPDATE nodes SET related = NULL, relation = NULL, confidence = NULL WHERE related = ?", (node,)
        )

    def _settle(self, number: int) -> None:
        """Say what an episode is now; nothing where none of its answers is left that ends one."""
        rows = self._db.execute("SELECT tip FROM episodes WHERE id = ?", (number,)).fetchall()
        if not rows:
            return
        self._table.remove(number)
        nodes, tip = self._places.nodes, rows[0]["tip"]
        while tip in self._above:
            tip = self._above[tip]
        while tip != ROOT and not nodes[tip].is_answer:
            tip = nodes[tip].parent
        if tip == ROOT or nodes[tip].children or self._table.ending_at(tip) is not None:
            self._db.execute("DELETE FROM parts WHERE episode = ?", (number,))
        else:
            self._table.write([{**self._rows.along(tip), "id": number}])

    def _touch(self, episodes: Iterable[int]) -> None:
        self._touched.update(dict.fromkeys(episodes))

    def _ids(self, query: str, value: int | bytes) -> list[int]:
        return [row[0] for row in self._db.execute(query, (value,))]
