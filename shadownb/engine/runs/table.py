"""A table of all runs of a store: searched, sorted and read page by page, quick with ten thousand of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from shadownb.engine.ports.run_store import RunStore
from shadownb.engine.runs.columns import Row
from shadownb.engine.runs.folder import RunFolder
from shadownb.engine.runs.searching import keys_of, parsed, value_of
from shadownb.engine.runs.state import ACTIVE

_AT_ONCE = 500  # runs read before the table shows them, where nothing is in the index yet


@dataclass(frozen=True)
class Page:
    """A part of the table.

    Attributes
    ----------
    rows
        Those of the page.
    found, first
        How many runs the query finds, and which of them the page begins with, from 0.
    archived
        How many more it would find among those that are put away.
    """

    rows: list[Row]
    found: int
    first: int
    archived: int


class RunTable:
    """The runs of a store as rows, kept in memory and brought up to date by :meth:`refresh`.

    Parameters
    ----------
    store
        Whose runs.
    """

    def __init__(self, store: RunStore[RunFolder]) -> None:
        self.store = store
        self._rows: dict[str, Row] = {}
        self._keys: dict[str, list[str]] | None = None

    @property
    def rows(self) -> list[Row]:
        """All rows that were read, the newest run first."""
        return list(self._rows.values())

    @property
    def active(self) -> list[str]:
        """Ids of the runs that went on when they were read."""
        return [row["id"] for row in self._rows.values() if row["status"] in ACTIVE]

    @property
    def keys(self) -> dict[str, list[str]]:
        """The columns that some run has, by kind."""
        if self._keys is None:
            self._keys = keys_of(self._rows.values())
        return self._keys

    def refresh(self) -> None:
        """Read what changed."""
        for _ in self.refreshing():
            pass

    def refreshing(self) -> Iterator[tuple[int, int]]:
        """Read what changed, some hundred runs at a time, the newest first; gives (read, there are) after each."""
        runs = self.store.all()
        fresh: dict[str, Row] = {}
        for at in range(0, len(runs), _AT_ONCE):
            part = runs[at : at + _AT_ONCE]
            fresh.update((row["id"], row) for row in self.store.columns(part))
            self._rows = {**fresh, **{run.id: self._rows[run.id] for run in runs[len(fresh) :] if run.id in self._rows}}
            self._keys = None
            yield len(fresh), len(runs)
        if not runs:
            self._rows, self._keys = {}, None
            yield 0, 0

    def refresh_some(self, ids: Sequence[str]) -> None:
        """Read these runs again, which are in the table: those that go on, or that were changed just now."""
        runs = [RunFolder(self.store.find(one).path, self.store) for one in ids if one in self._rows]
        self._rows |= {row["id"]: row for row in self.store.columns(runs)}
        self._keys = None

    def page(
        self,
        query: str = "",
        *,
        sort: str = "created_at",
        descending: bool = True,
        first: int = 0,
        count: int = 50,
        archived: bool = False,
    ) -> Page:
        """Return a page: runs that go on first, then those that are pinned, then by a column; without a value last.

        Raises
        ------
        ConfigError
            The query cannot be read.
        """
        test = parsed(query, lambda: self.keys)
        found = [row for row in self.rows if test(row)]
        hidden = [row for row in found if row["marks"]["archived"] and not archived]
        if hidden:
            found = [row for row in found if not row["marks"]["archived"]]
        ordered = _sorted(found, sort, descending)
        first = max(0, min(first, (len(ordered) - 1) // count * count)) if ordered else 0
        return Page(ordered[first : first + count], len(ordered), first, len(hidden))


def _sorted(rows: list[Row], key: str, descending: bool) -> list[Row]:
    values = [(value_of(row, key), row) for row in rows]
    there = [(value, row) for value, row in values if value is not None]
    numeric = all(isinstance(value, int | float) for value, _ in there)
    if key != "created_at" or not descending:  # which is the order that they come in
        there.sort(key=lambda pair: pair[0] if numeric else str(pair[0]).casefold(), reverse=descending)
    ordered = [row for _, row in there] + [row for value, row in values if value is None]
    return sorted(ordered, key=_shelf)


def _shelf(row: dict[str, Any]) -> int:
    return 0 if row["status"] in ACTIVE else 1 if row["marks"]["pinned"] else 2
