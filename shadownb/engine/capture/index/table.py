"""EpisodeTable: one row an episode in SQLite, searched, filtered, ordered and paged there."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterable
from typing import Any

from shadownb.engine.capture.index import words
from shadownb.errors import ConfigError, DataError, did_you_mean

PAGE = 20

SORTS = {
    "newest": "tip DESC",
    "oldest": "tip ASC",
    "longest": "messages DESC, tip DESC",
    "shortest": "messages ASC, tip DESC",
    "costliest": "cost DESC, tip DESC",  # NULL comes last
    "best": "score DESC, tip DESC",
    "worst": "score IS NULL, score ASC, tip DESC",
}
QUERY = ("search", "kind", "model", "tool", "min_messages", "sort")
COLUMNS = (
    "id", "tip", "first", "call_id", "choice", "kind", "session", "root", "shared", "parent_node", "parent_root", "messages",
    "answers", "tool_calls", "tools", "tokens_in", "tokens_out", "cost", "score", "started_at", "seconds", "models", "whole",
    "title", "last",
)  # fmt: skip
TABLES = f"""
CREATE TABLE episodes (id INTEGER PRIMARY KEY, {", ".join(COLUMNS[1:])});
CREATE UNIQUE INDEX episodes_tip ON episodes (tip);
CREATE INDEX episodes_first ON episodes (first, tip);
CREATE INDEX episodes_kind ON episodes (kind, tip);
CREATE INDEX episodes_messages ON episodes (messages, tip);
CREATE INDEX episodes_cost ON episodes (cost, tip);
CREATE INDEX episodes_score ON episodes (score, tip) WHERE score IS NOT NULL;
CREATE INDEX episodes_root ON episodes (root);
CREATE INDEX episodes_parent ON episodes (parent_root) WHERE parent_root IS NOT NULL;
CREATE INDEX episodes_related ON episodes (parent_node) WHERE parent_node IS NOT NULL;
CREATE TABLE names (
  kind TEXT, name TEXT, tip INTEGER, episode INTEGER, PRIMARY KEY (kind, name, tip, episode)
) WITHOUT ROWID;
CREATE INDEX names_episode ON names (episode);
CREATE TABLE known_names (kind TEXT, name TEXT, PRIMARY KEY (kind, name)) WITHOUT ROWID;
"""
_NAMED = {"model": "models", "tool": "tools"}
_FEW = 200  # names of models and tools that can be chosen from
_MARKS = ", ".join(f":{name}" for name in COLUMNS)


def checked(query: dict[str, Any]) -> dict[str, Any]:
    """Return a query whose names and order there are. Raises :class:`ConfigError` otherwise."""
    for name, value in query.items():
        if name not in QUERY:
            raise ConfigError(
                f"Episodes cannot be filtered by {name}={value!r}.{did_you_mean(name, QUERY)}",
                fix=f"Filters: {', '.join(QUERY)}.",
            )
    sort = query.get("sort") or "newest"
    if sort not in SORTS:
        raise ConfigError(
            f"sort={sort!r} is no order of episodes.{did_you_mean(str(sort), list(SORTS))}",
            fix=f"Orders: {', '.join(SORTS)}.",
        )
    return query


class EpisodeTable:
    """The rows of an index; ``id`` names an episode, ``tip`` is its latest answer.

    Parameters
    ----------
    current
        Returns the connection to where they are kept; None keeps them in a private file that is gone when it is closed.
    lock
        Of whoever else uses the connection.
    """

    def __init__(
        self, current: Callable[[], sqlite3.Connection] | None = None, lock: threading.RLock | None = None
    ) -> None:
        self._lock = lock if lock is not None else threading.RLock()
        self._has_words = current is not None
        if current is None:
            private = sqlite3.connect("", isolation_level=None, check_same_thread=False)
            private.row_factory = sqlite3.Row
            private.executescript(TABLES)
            self._current: Callable[[], sqlite3.Connection] = lambda: private
        else:
            self._current = current

    @property
    def _table(self) -> sqlite3.Connection:
        return self._current()

    # -- writing ------------------------------------------------------------------------------------------------------

    def write(self, rows: Iterable[dict[str, Any]], before: dict[str, Any] | None = None) -> None:
        """Put rows in, or in the place of those with the same id; of one that is there ``before`` says what it was."""
        with self._lock:
            for row in rows:
                if before is None:
                    self._table.execute(f"INSERT OR REPLACE INTO episodes VALUES ({_MARKS})", row)
                elif changed := [name for name in COLUMNS if row[name] != before[name]]:
                    marks = ", ".join(f"{name} = :{name}" for name in changed)
                    self._table.execute(f"UPDATE episodes SET {marks} WHERE id = :id", row)
                self._keep_names(row, before)

    def _keep_names(self, row: dict[str, Any], before: dict[str, Any] | None) -> None:
        """Let the names of models and tools lead to an episode, in the order of the latest answers."""
        number, tip = row["id"], row["tip"]
        if before is None:
            self._table.execute("DELETE FROM names WHERE episode = ?", (number,))
        elif tip != before["tip"]:
            self._table.execute("UPDATE names SET tip = ? WHERE episode = ?", (tip, number))
        for kind, column in _NAMED.items():
            if before is None or row[column] != before[column]:
                for name in _names(row[column]):
                    self._table.execute("INSERT OR IGNORE INTO names VALUES (?, ?, ?, ?)", (kind, name, tip, number))
                    self._table.execute("INSERT OR IGNORE INTO known_names VALUES (?, ?)", (kind, name))

    def remove(self, number: int) -> None:
        """Take an episode out."""
        with self._lock:
            self._table.execute("DELETE FROM episodes WHERE id = ?", (number,))
            self._table.execute("DELETE FROM names WHERE episode = ?", (number,))

    # -- reading ------------------------------------------------------------------------------------------------------

    def page(self, query: dict[str, Any], limit: int = PAGE) -> tuple[list[dict[str, Any]], int]:
        """Return the rows of one page and how many there are in all.

        Equally fast at any place: numbers of rows are skipped over in an index, from the end that is nearer.

        Parameters
        ----------
        query
            ``search``, ``kind``, ``model``, ``tool``, ``min_messages``, ``sort`` (see ``SORTS``) and ``offset``, each optional.
        """
        with self._lock:
            source, values = self._source(query)
            order = SORTS[query.get("sort") or "newest"]
            begin = max(0, int(query.get("offset") or 0))
            total = int(self._read(f"SELECT COUNT(*) AS n {source}", values)[0]["n"])
            limit = max(0, min(limit, total - begin))
            backwards = begin > total // 2
            if backwards:
                order, begin = _reversed(order), total - begin - limit
            rows = self._read(
                "SELECT episodes.* FROM (SELECT id AS found, ROW_NUMBER() OVER () AS place FROM "
                f"(SELECT id {source} ORDER BY {order} LIMIT ? OFFSET ?)) "
                "JOIN episodes ON id = found ORDER BY place",
                [*values, limit, begin],
            )
            return (rows[::-1] if backwards else rows), total

    def searched(self, query: dict[str, Any]) -> int:
        """Return in how many of the newest calls with the words of a query episodes are looked for; 0 for all of them."""
        text = str(query.get("search") or "").strip()
        if not text or not self._has_words:
            return 0
        with self._lock:
            asked = words.query_of(self._table, text)
            if asked is None:
                return 0
            more = "SELECT 1 FROM said WHERE said MATCH ? LIMIT 1 OFFSET ?"
            return words.MOST_HITS if self._read(more, [asked, words.MOST_HITS]) else 0

    def facets(self) -> dict[str, Any]:
        """Return what there is to filter by: kinds with their numbers, models, tools, and whether scores are known."""
        kinds = self._read("SELECT kind, COUNT(*) AS n FROM episodes GROUP BY kind ORDER BY kind")
        names = self._read("SELECT kind, name FROM known_names ORDER BY kind, name")
        return {
            "episodes": sum(row["n"] for row in kinds),
            "kinds": {row["kind"]: row["n"] for row in kinds},
            "scored": bool(self._read("SELECT 1 FROM episodes WHERE score IS NOT NULL LIMIT 1")),
            **{column: [r["name"] for r in names if r["kind"] == kind][:_FEW] for kind, column in _NAMED.items()},
        }

    def find(self, number: int) -> dict[str, Any]:
        """Return the row of an episode. Raises :class:`DataError` if it is there no more."""
        rows = self._read("SELECT * FROM episodes WHERE id = ?", [number])
        if not rows:
            raise DataError("The calls of this episode were deleted.", fix="Read the capture again.")
        return rows[0]

    def ending_at(self, tip: int) -> dict[str, Any] | None:
        """Return the row of the episode with this latest answer, or None."""
        rows = self._read("SELECT * FROM episodes WHERE tip = ?", [tip])
        return rows[0] if rows else None

    def after(self, first: int, tip: int, *, limit: int) -> list[tuple[int, int]]:
        """Return the first and the latest answers of the next episodes, in the order of the first ones."""
        query = "SELECT first, tip FROM episodes WHERE (first, tip) > (?, ?) ORDER BY first, tip LIMIT ?"
        return [(row["first"], row["tip"]) for row in self._read(query, [first, tip, limit])]

    def titled(self, title: str, *, limit: int) -> list[dict[str, Any]]:
        """Return the rows of episodes whose task begins like this, the first ones."""
        return self._read("SELECT * FROM episodes WHERE title = ? ORDER BY id LIMIT ?", [title, limit])

    def beginning_with(self, first: int) -> list[dict[str, Any]]:
        """Return the rows of episodes whose first answer this is."""
        return self._read("SELECT * FROM episodes WHERE first = ?", [first])

    def related_to(self, node: int) -> list[dict[str, Any]]:
        """Return the rows of conversations that an answer may have started."""
        return self._read("SELECT * FROM episodes WHERE parent_node = ?", [node])

    def of_root(self, root: int, *, but: int = -1, limit: int) -> list[dict[str, Any]]:
        """Return the rows that begin with the same message."""
        return self._read("SELECT * FROM episodes WHERE root = ? AND id != ? ORDER BY id LIMIT ?", [root, but, limit])

    def started_by(self, root: int, *, limit: int) -> list[dict[str, Any]]:
        """Return the rows of agents that the conversations with this beginning started."""
        return self._read("SELECT * FROM episodes WHERE parent_root = ? ORDER BY id LIMIT ?", [root, limit])

    def _source(self, query: dict[str, Any]) -> tuple[str, list[Any]]:
        """Return where the episodes of a query stand, and its values.

        Those of one model or tool, the newest or the oldest first, are counted and skipped over by their names alone, as that
        is a fifth of them or half: of a million calls a page took 212 ms otherwise, and 6 so.
        """
        asked = [name for name in QUERY if query.get(name) and name != "sort"]
        if len(asked) == 1 and asked[0] in _NAMED and (query.get("sort") or "newest") in ("newest", "oldest"):
            named = "(SELECT episode AS id, tip, kind, name FROM names)"
            return f"FROM {named} WHERE kind = ? AND name = ?", [asked[0], str(query[asked[0]])]
        clause, values = self._where(query)
        return f"FROM episodes {clause}", values

    def _where(self, query: dict[str, Any]) -> tuple[str, list[Any]]:
        clauses: list[str] = []
        values: list[Any] = []
        if text := str(query.get("search") or "").strip():
            clause, given = self._search(text)
            clauses.append(clause)
            values += given
        if query.get("kind"):
            clauses.append("kind = ?")
            values.append(query["kind"])
        for kind in _NAMED:
            if query.get(kind):
                clauses.append("id IN (SELECT episode FROM names WHERE kind = ? AND name = ?)")
                values += [kind, str(query[kind])]
        if query.get("min_messages"):
            clauses.append("messages >= ?")
            values.append(int(query["min_messages"]))
        return (f"WHERE {' AND '.join(clauses)}" if clauses else ""), values

    def _search(self, text: str) -> tuple[str, list[Any]]:
        """Return the clause for episodes in which the text stands; where none has it, for titles and sessions with a part of it."""
        asked = words.query_of(self._table, text) if self._has_words else None
        if asked is not None:
            hits = "SELECT rowid FROM said WHERE said MATCH ? ORDER BY rowid DESC LIMIT ?"
            return f"id IN (SELECT episode FROM parts WHERE seq IN ({hits}))", [asked, words.MOST_HITS]
        pattern = "%" + text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
        return "(title LIKE ? ESCAPE '\\' OR last LIKE ? ESCAPE '\\' OR session LIKE ? ESCAPE '\\')", [pattern] * 3

    def _read(self, query: str, values: Iterable[Any] = ()) -> list[dict[str, Any]]:
        with self._lock:
            return [dict(row) for row in self._table.execute(query, list(values))]


def _names(listed: Any) -> list[str]:
    return [name for name in str(listed or "").split("|") if name]


def _reversed(order: str) -> str:
    return ", ".join(
        term.replace(" DESC", " ASC") if term.endswith(" DESC") else f"{term.removesuffix(' ASC')} DESC"
        for term in order.split(", ")
    )
