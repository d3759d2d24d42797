"""EpisodeTable: one row an episode in a private SQLite table, searched, filtered, ordered and paged there."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable
from typing import Any

from shadownb.errors import DataError

PAGE = 20

SORTS = {
    "newest": "id DESC",
    "oldest": "id ASC",
    "longest": "messages DESC, id DESC",
    "shortest": "messages ASC, id DESC",
    "costliest": "cost IS NULL, cost DESC, id DESC",
    "best": "score IS NULL, score DESC, id DESC",
    "worst": "score IS NULL, score ASC, id DESC",
}
COLUMNS = (
    "id", "call_id", "choice", "kind", "session", "root", "shared", "parent_node", "parent_root", "messages", "answers",
    "tool_calls", "tools", "tokens_in", "tokens_out", "cost", "score", "started_at", "seconds", "models", "whole",
    "title", "last",
)  # fmt: skip
_TABLE = (
    f"CREATE TABLE episodes (id INTEGER PRIMARY KEY, {', '.join(COLUMNS[1:])});"
    "CREATE INDEX by_root ON episodes (root); CREATE INDEX by_parent ON episodes (parent_root);"
)


class EpisodeTable:
    """The rows of an index, kept by ``id``."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        # No name: a private file that SQLite makes when memory does not suffice, and that is gone when it is closed.
        self._table = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._table.row_factory = sqlite3.Row
        self._table.executescript(_TABLE)

    def write(self, rows: list[dict[str, Any]], gone: Iterable[int] = ()) -> None:
        """Put rows in, or in the place of those with the same id, and take others out."""
        with self._lock:
            self._table.execute("BEGIN")
            marks = ", ".join(f":{name}" for name in COLUMNS)
            self._table.executemany(f"INSERT OR REPLACE INTO episodes VALUES ({marks})", rows)
            self._table.executemany("DELETE FROM episodes WHERE id = ?", [(index,) for index in gone])
            self._table.execute("COMMIT")

    def page(self, query: dict[str, Any], limit: int = PAGE) -> tuple[list[dict[str, Any]], int]:
        """Return the rows of one page and how many there are in all; see ``where`` for the query."""
        clause, values = where(query)
        order = SORTS[query.get("sort") or "newest"]
        begin = max(0, int(query.get("offset") or 0))
        rows = self._read(f"SELECT * FROM episodes {clause} ORDER BY {order} LIMIT ? OFFSET ?", [*values, limit, begin])
        total = self._read(f"SELECT COUNT(*) AS n FROM episodes {clause}", values)[0]["n"]
        return rows, total

    def facets(self) -> dict[str, Any]:
        """Return what there is to filter by: kinds with their numbers, models, tools, and whether scores are known."""
        kinds = self._read(
            "SELECT kind, COUNT(*) AS n, COUNT(score) AS scored FROM episodes GROUP BY kind ORDER BY kind"
        )
        return {
            "episodes": sum(row["n"] for row in kinds),
            "kinds": {row["kind"]: row["n"] for row in kinds},
            "scored": any(row["scored"] for row in kinds),
        }

    def find(self, number: int) -> dict[str, Any]:
        """Return the row of an episode. Raises :class:`DataError` if it is there no more."""
        rows = self._read("SELECT * FROM episodes WHERE id = ?", [number])
        if not rows:
            raise DataError("This episode has continued since the list was made.", fix="Choose it again in the list.")
        return rows[0]

    def of_root(self, root: int, *, but: int = -1, limit: int) -> list[dict[str, Any]]:
        """Return the rows that begin with the same message."""
        return self._read("SELECT * FROM episodes WHERE root = ? AND id != ? ORDER BY id LIMIT ?", [root, but, limit])

    def started_by(self, root: int, *, limit: int) -> list[dict[str, Any]]:
        """Return the rows of agents that the conversations with this beginning started."""
        return self._read("SELECT * FROM episodes WHERE parent_root = ? ORDER BY id LIMIT ?", [root, limit])

    def _read(self, query: str, values: Iterable[Any] = ()) -> list[dict[str, Any]]:
        with self._lock:
            return [dict(row) for row in self._table.execute(query, list(values))]


def where(query: dict[str, Any]) -> tuple[str, list[Any]]:
    """Return the clause of a query: ``search``, ``kind``, ``model``, ``tool`` and ``min_messages``, each optional."""
    clauses: list[str] = []
    values: list[Any] = []
    if text := str(query.get("search") or "").strip():
        pattern = f"%{_escaped(text)}%"
        clauses.append("(title LIKE ? ESCAPE '\\' OR last LIKE ? ESCAPE '\\' OR session LIKE ? ESCAPE '\\')")
        values += [pattern] * 3
    if query.get("kind"):
        clauses.append("kind = ?")
        values.append(query["kind"])
    for name, column in (("model", "models"), ("tool", "tools")):
        if query.get(name):
            clauses.append(f"{column} LIKE ? ESCAPE '\\'")
            values.append(f"%|{_escaped(str(query[name]))}|%")
    if query.get("min_messages"):
        clauses.append("messages >= ?")
        values.append(int(query["min_messages"]))
    return (f"WHERE {' AND '.join(clauses)}" if clauses else ""), values


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
