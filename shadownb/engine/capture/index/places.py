"""The places of a capture's graph in the tables of its index: which nodes stand where, and what waits for a call to come."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import Any

from shadownb.engine.capture.index.nodes import ReadCalls, StoredNode, StoredNodes
from shadownb.engine.trajectories.graph import ROOT, Node
from shadownb.engine.trajectories.identity import role_of
from shadownb.engine.trajectories.places import MOST_OPEN, RECENT, Open

_COLUMNS = (
    "id", "parent", "place", "seq", "at", "choice", "answers", "children", "session", "loose", "free", "waits", "waiting", "said",
    "system", "kind", "shared", "related", "relation", "confidence", "rendered_seq", "rendered_at", "failed", "root", "tail",
    "begin",
)  # fmt: skip
_CHANGING = ("children", "kind", "related", "relation", "confidence", "rendered_seq", "rendered_at", "root", "tail")
_INSERT = f"INSERT INTO nodes ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"
_UPDATE = f"UPDATE nodes SET {', '.join(f'{name} = ?' for name in _CHANGING)} WHERE id = ?"


DEPTH = (
    "WITH RECURSIVE up (id, n) AS (SELECT ?, 0 UNION ALL SELECT parent, n + 1 FROM up JOIN nodes USING (id)) "
    "SELECT MAX(n) FROM up"
)
"""How many messages a conversation has up to and with a node."""


class StoredPlaces:
    """Places in the tables of an index; see :class:`~shadownb.engine.trajectories.places.Places`.

    Attributes
    ----------
    seq
        Position of the call that is being added.
    appended
        The nodes that it has made.
    relinked
        Nodes of which something was changed since the last call.
    """

    def __init__(self, connection: sqlite3.Connection, calls: ReadCalls) -> None:
        self._db = connection
        self.nodes = StoredNodes(connection, calls)
        self.seq = 0
        self.appended: list[int] = []
        self.relinked: set[int] = set()
        self._changed: set[int] = set()
        self._next = 0

    def begin(self, seq: int) -> None:
        """Take note which call is added next."""
        self.seq, self.appended, self.relinked = seq, [], set()

    def start(self) -> None:
        """Take note that a transaction has begun: nothing is known of what others wrote meanwhile."""
        self.nodes.clear()
        self._changed.clear()
        self._next = int(self._db.execute("SELECT COALESCE(MAX(id), -1) + 1 FROM nodes").fetchone()[0])
        kept = self._db.execute("SELECT value FROM about WHERE key = 'next_node'").fetchone()
        self._next = max(self._next, int(kept[0]) if kept else 0)  # numbers are given once, also after some are deleted

    def flush(self) -> None:
        """Write what has changed, before a transaction ends."""
        for index in self._changed:
            node = self.nodes[index]
            self._db.execute(_UPDATE, (*(getattr(node, name) for name in _CHANGING), index))
        self._db.execute("INSERT OR REPLACE INTO about VALUES ('next_node', ?)", (self._next,))
        self._changed.clear()
        self.nodes.clear()

    # -- nodes --------------------------------------------------------------------------------------------------------

    def append(self, node: Node, place: bytes) -> int:
        index, self._next = self._next, self._next + 1
        at = None if node.is_answer else self._depth(node.parent)
        leads = node.choice == 0
        values = {
            "id": index, "parent": node.parent, "place": place, "seq": self.seq, "at": at, "choice": node.choice,
            "answers": node.answers, "children": 0, "session": node.session, "loose": int(node.is_loose),
            "free": int(node.is_answer), "waits": int(node.waits), "waiting": int(leads and node.waits), "said": node.said,
            "system": node.system or None, "kind": node.kind, "shared": node.shared, "related": node.related,
            "relation": node.relation, "confidence": node.confidence, "rendered_seq": None, "rendered_at": None,
            "failed": json.dumps(node.failed) if node.failed else None, "root": node.root, "tail": node.tail,
            "begin": self._begin(index, node),
        }  # fmt: skip
        self._db.execute(_INSERT, [values[name] for name in _COLUMNS])
        stored = StoredNode(self.nodes._calls, values)
        stored.message, stored.facts = node.message, node.facts
        self.nodes.looked_at[index] = stored
        self._db.execute(
            "INSERT INTO places (place, node, answered) VALUES (?, ?, ?) ON CONFLICT (place) DO UPDATE SET node = excluded.node, "
            "answered = MAX(answered, excluded.answered)",
            (place, index, int(node.is_answer)),
        )
        if node.parent != ROOT:
            self.nodes[node.parent].children += 1
            self._changed.add(node.parent)
        self.appended.append(index)
        return index

    def _begin(self, index: int, node: Node) -> int | None:
        """Return the first message up to a node that is not system text, which conversations share that have nothing in common."""
        begin = self.nodes[node.parent].begin if node.parent != ROOT else None
        return index if begin is None and role_of(node.message) != "system" else begin

    def _depth(self, parent: int) -> int:
        """Return the place of a message in its prompt; of those that one call adds each stands behind the one before."""
        if parent == ROOT:
            return 0
        before = self.nodes[parent]
        if before.at is not None:
            return before.at + 1
        return int(self._db.execute(DEPTH, (parent,)).fetchone()[0])

    def has(self, index: int) -> bool:
        return index in self.nodes.looked_at or self._one("SELECT 1 FROM nodes WHERE id = ?", index) is not None

    def changed(self, index: int) -> None:
        self._changed.add(index)
        self.relinked.add(index)
        node = self.nodes[index]
        if node.rendered_seq is None and node.rendered is not None:  # where it stands is kept, not what
            node.rendered_seq, node.rendered_at = self.seq, self._depth(node.parent)

    def known(self, places: Sequence[bytes]) -> dict[bytes, tuple[int, bool]]:
        found: dict[bytes, tuple[int, bool]] = {}
        for begin in range(0, len(places), 500):
            some = places[begin : begin + 500]
            rows = self._db.execute(
                f"SELECT place, node, answered FROM places WHERE place IN ({', '.join('?' * len(some))})", some
            )
            found |= {row[0]: (row[1], bool(row[2])) for row in rows}
        return found

    def alias(self, place: bytes, node: int) -> None:
        self._db.execute("INSERT OR REPLACE INTO places VALUES (?, ?, 0, 1)", (place, node))

    def answers_to(self, prompt: int, most: int) -> list[int]:
        query = "SELECT id FROM nodes WHERE parent = ? AND choice IS NOT NULL ORDER BY id DESC LIMIT ?"
        return [row[0] for row in self._db.execute(query, (prompt, most))]

    # -- answers ------------------------------------------------------------------------------------------------------

    def free(self, place: bytes, session: str | None) -> int | None:
        query = "SELECT MAX(id) FROM nodes WHERE place = ? AND session IS ? AND free = 1 AND choice IS NOT NULL"
        return self._one(query, place, session)

    def free_of_others(self, place: bytes) -> int | None:
        query = (
            "SELECT MAX(id) FROM nodes WHERE place = ? AND free = 1 AND loose = 1 AND choice IS NOT NULL "
            "GROUP BY session ORDER BY MIN(id) LIMIT 1"
        )
        return self._one(query, place)

    def is_free(self, node: int) -> bool:
        return bool(self._one("SELECT free FROM nodes WHERE id = ?", node))

    def take(self, node: int) -> None:
        self._db.execute("UPDATE nodes SET free = 0 WHERE id = ?", (node,))

    def waiting(self, session: str | None) -> int | None:
        return self._one("SELECT MIN(id) FROM nodes WHERE session = ? AND waiting = 1", session)

    def waits_no_more(self, node: int) -> None:
        self._db.execute("UPDATE nodes SET waiting = 0 WHERE id = ? AND waiting = 1", (node,))

    def last(self, session: str | None) -> int | None:
        return self._one("SELECT MAX(id) FROM nodes WHERE session = ? AND choice = 0 AND session IS NOT NULL", session)

    def said(self, key: bytes, session: str | None) -> int | None:
        return self._one("SELECT MAX(id) FROM nodes WHERE said = ? AND session IS ?", key, session)

    # -- prompts ------------------------------------------------------------------------------------------------------

    def failed(self, place: bytes, call: str) -> None:
        self._db.execute("INSERT INTO failed VALUES (?, ?, ?)", (place, call, self.seq))

    def has_failed(self, place: bytes) -> bool:
        return self._one("SELECT 1 FROM failed WHERE place = ? LIMIT 1", place) is not None

    def take_failed(self, place: bytes) -> list[str]:
        found = [row[0] for row in self._db.execute("SELECT id FROM failed WHERE place = ? ORDER BY rowid", (place,))]
        if found:
            self._db.execute("DELETE FROM failed WHERE place = ?", (place,))
        return found

    def asked(self, place: bytes, session: str | None) -> bool:
        return self._one("SELECT 1 FROM asked WHERE place = ? AND session = ?", place, session or "") is not None

    def will_have_asked(self, place: bytes, session: str | None) -> None:
        self._db.execute("INSERT OR IGNORE INTO asked VALUES (?, ?)", (place, session or ""))

    # -- what waits ---------------------------------------------------------------------------------------------------

    def open(self) -> list[tuple[int, Open]]:
        rows = self._db.execute("SELECT * FROM opened ORDER BY node DESC LIMIT ?", (MOST_OPEN,))
        return [(row["node"], _open_of(row)) for row in rows]

    def open_at(self, node: int) -> Open | None:
        row = self._db.execute("SELECT * FROM opened WHERE node = ?", (node,)).fetchone()
        return _open_of(row) if row else None

    def keep_open(self, node: int, waiting: Open) -> None:
        self._db.execute(
            "INSERT OR REPLACE INTO opened VALUES (?, ?, ?, ?)",
            (node, waiting.session, json.dumps(waiting.tasks), json.dumps(waiting.subs)),
        )
        if node in self.appended:  # one more
            self._db.execute(
                "DELETE FROM opened WHERE node <= (SELECT node FROM opened ORDER BY node DESC LIMIT 1 OFFSET ?)",
                (MOST_OPEN,),
            )

    def close(self, node: int) -> None:
        self._db.execute("DELETE FROM opened WHERE node = ?", (node,))

    def single(self) -> list[int]:
        row = self._db.execute("SELECT value FROM about WHERE key = 'single'").fetchone()
        return [node for node in json.loads(row[0]) if self.has(node)] if row else []

    def keep_single(self, node: int) -> None:
        self._keep_singles([node, *self.single()])

    def drop_single(self, node: int) -> None:
        self._keep_singles([other for other in self.single() if other != node])

    def _keep_singles(self, nodes: list[int]) -> None:
        self._db.execute("INSERT OR REPLACE INTO about VALUES ('single', ?)", (json.dumps(nodes[:RECENT]),))

    def _one(self, query: str, *values: Any) -> int | None:
        row = self._db.execute(query, values).fetchone()
        return row[0] if row else None


def _open_of(row: sqlite3.Row) -> Open:
    return Open(row["session"], json.loads(row["tasks"]), json.loads(row["subs"]))
