"""Listing: a list of engine objects that shows itself as a table, in a notebook and in a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from html import escape
from typing import Any, Generic, SupportsIndex, TypeVar, overload

T = TypeVar("T")


class Listing(list[T], Generic[T]):
    """A list whose display is a table.

    Parameters
    ----------
    items
        The objects themselves; indexing and iterating give them unchanged.
    columns
        Heading of each column and the function that makes its text from an object.
    empty
        What is shown when there is nothing, with the next step.
    note
        A sentence below the table that holds for all of it.
    """

    def __init__(
        self,
        items: Iterable[T],
        columns: Mapping[str, Callable[[T], Any]],
        *,
        empty: str,
        note: str = "",
    ) -> None:
        super().__init__(items)
        self.columns = dict(columns)
        self.empty = empty
        self.note = note

    @overload
    def __getitem__(self, index: SupportsIndex) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> Listing[T]: ...
    def __getitem__(self, index: Any) -> Any:
        found = super().__getitem__(index)
        return Listing(found, self.columns, empty=self.empty, note=self.note) if isinstance(index, slice) else found

    def cells(self) -> list[list[str]]:
        """Return the text of the table, row by row."""
        return [
            ["" if (value := text(item)) is None else str(value) for text in self.columns.values()] for item in self
        ]

    def __str__(self) -> str:
        if not self:
            return self.empty
        rows = [list(self.columns), *self.cells()]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        return "\n".join([*lines, *(["", self.note] if self.note else [])])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        if not self:
            return f"<p>{escape(self.empty)}</p>"
        head = "".join(f'<th scope="col" style="text-align:left">{escape(name)}</th>' for name in self.columns)
        body = "".join(
            "<tr>" + "".join(f'<td style="text-align:left">{escape(cell)}</td>' for cell in row) + "</tr>"
            for row in self.cells()
        )
        note = f"<p>{escape(self.note)}</p>" if self.note else ""
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{note}"
