"""Rows that were checked once: what they are, how they were read, and their canonical form."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Self

from shadownb.engine.data import trees
from shadownb.engine.data.checking import Checked, Reading, check
from shadownb.engine.data.loaded import Loaded, from_values
from shadownb.engine.data.writers import columns, to_json
from shadownb.errors import DataError

Row = dict[str, Any]
Names = Mapping[str, str]


class CheckedRows:
    """What the parts of a :class:`Dataset` work on. Every constructor checks each row.

    They share these parameters:

    format
        One of ``FORMATS``; None takes that of most rows.
    columns
        The rows' own names for known columns, as in ``{"frage": "prompt", "antwort": "completion"}``.
    ignore
        Columns, and keys of messages as ``messages[].audio``, that hold something and are not to be read.
    """

    def __init__(
        self,
        rows: Iterable[Row] | Loaded,
        *,
        name: str = "dataset",
        source: str = "list",
        format: str | None = None,
        columns: Names | None = None,
        ignore: Sequence[str] | str = (),
    ) -> None:
        loaded = rows if isinstance(rows, Loaded) else from_values(rows)
        if not columns and format in (None, "auto") and trees.is_tree(loaded.rows):
            loaded = trees.conversations(loaded)
        reading = Reading.of(format, columns, ignore, loaded.rows)
        self._settle(loaded, check(loaded, source, reading), reading, name, source)

    def _settle(self, loaded: Loaded, checked: Checked, reading: Reading, name: str, source: str) -> None:
        self._loaded, self._checked, self.reading = loaded, checked, reading
        self.report = checked.report(loaded)
        self.rows: list[Row] = loaded.rows
        self.name = name
        self.source = source
        self.format = checked.format

    def read_as(
        self, *, format: str | None = None, columns: Names | None = None, ignore: Sequence[str] | str = ()
    ) -> Self:
        """Return the same rows, read in another way: for example with a column mapped that ``report`` names as unread.

        Examples
        --------
        >>> data = snb.Dataset.load("tickets.csv", columns={"ticket": "prompt", "queue": "completion"})
        >>> data.read_as(columns={"ticket": "text"}, ignore="queue").format
        'text'
        """
        return type(self)(
            self._loaded, name=self.name, source=self.source, format=format, columns=columns, ignore=ignore
        )

    def read_like(self, *, columns: Names | None = None, ignore: Sequence[str] | str = ()) -> Self:
        """Return the rows read like other rows (evaluation rows like training rows), as far as they have those columns.

        Examples
        --------
        >>> data = snb.Dataset.load("tickets.csv")
        >>> mapped = data.read_like(columns={"ticket": "prompt", "queue": "completion"})
        >>> mapped.format
        'instruction'
        """
        there = {str(name) for row in self.rows for name in row}
        names = [ignore] if isinstance(ignore, str) else ignore
        return self.read_as(
            columns={name: target for name, target in (columns or {}).items() if name in there},
            ignore=[name for name in names if name.partition("[]")[0] in there],
        )

    # -- content -------------------------------------------------------------------------------------------------

    @property
    def columns(self) -> list[str]:
        """The names of all columns, in the order in which they first occur."""
        return columns(self.rows)

    @property
    def numbers(self) -> list[int]:
        """The number of each row in its source, as the report counts them: line, spreadsheet row or index."""
        return list(self._loaded.numbers)

    def valid_rows(self) -> list[Row]:
        """Return the rows that can be used, as they were given."""
        return [row for row, canonical in zip(self.rows, self._checked.canonical, strict=True) if canonical is not None]

    def canonical_rows(self) -> list[Row]:
        """Return the usable rows in canonical form: dicts of ``messages`` (chats), ``text``, or ``prompt`` with ``chosen`` and
        ``rejected`` or ``completion`` and ``label`` (see :mod:`shadownb.engine.data.formats`).

        Raises
        ------
        DataError
            No row can be used, or the format is ``raw``.
        """
        self._refuse_raw()
        rows = [row for row in self._checked.canonical if row is not None]
        if not rows:
            raise DataError(
                f"None of the {self.report.total:,} rows of {self.name!r} can be used.",
                why=str(self.report.bad[0]),
                fix="See dataset.report for the reason of each row.",
            )
        return rows

    def canonical_row(self, index: int) -> Row:
        """Return row number ``index`` in canonical form. Raises :class:`DataError` with the reason if it cannot be used.

        Examples
        --------
        >>> data = snb.Dataset.from_list([{"instruction": "Say hello.", "output": "Hello!"}])
        >>> data.canonical_row(0)
        {'messages': [{'role': 'user', 'content': 'Say hello.'}, {'role': 'assistant', 'content': 'Hello!'}]}
        """
        self._refuse_raw()
        if not -len(self.rows) <= index < len(self.rows):
            raise DataError(
                f"row={index} is outside {self.name!r}, which has {len(self.rows):,} rows.", fix="Rows count from 0."
            )
        index %= len(self.rows)
        row = self._checked.canonical[index]
        if row is None:
            reason = next(bad for bad in self.report.bad if bad.index == index)
            raise DataError(
                f"Row {index} of {self.name!r} cannot be used.", why=str(reason), fix="Correct it, or choose another."
            )
        return row

    def _refuse_raw(self) -> None:
        if self.format == "raw":
            raise DataError(
                f"No known columns in {self.name!r}; it has: {', '.join(self.columns[:12])}.",
                why="Rows need messages, conversations, text, prompt and completion (or instruction and output, "
                "question and answer), chosen and rejected, or completion and label.",
                fix="Say which columns are prompt and completion: columns={'frage': 'prompt', 'antwort': 'completion'}.",
            )

    @cached_property
    def fingerprint(self) -> str:
        """The sha256 of the rows as JSON (keys sorted, order of rows kept), 64 hexadecimal digits."""
        digest = hashlib.sha256()
        for row in self.rows:
            digest.update(to_json(row, sort_keys=True, separators=(",", ":")).encode(errors="surrogatepass"))
            digest.update(b"\n")
        return digest.hexdigest()

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)
