"""What readers give: rows with the number each has in its source, and what there could not be read as a row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from shadownb.engine.data.padding import unfilled
from shadownb.engine.data.report import BadRow, UnreadColumn
from shadownb.engine.jsontext import Unreadable, check_depth
from shadownb.engine.privacy.rows import cleaned
from shadownb.engine.privacy.rules import Rules

Row = dict[str, Any]


@dataclass
class Loaded:
    """Rows with the number each has in its source, and what could not be read as a row.

    Attributes
    ----------
    numbers
        The number of each row, as long as ``rows``.
    place
        What the numbers count: ``line``, ``row`` or ``index``.
    unreadable
        The lines and entries that are not rows.
    arrow
        Whether the values come out of Arrow, which fills nulls in; see :mod:`padding`.
    beside
        What stands beside the rows and is not read, such as other keys of a JSON object that holds them.
    redacted
        By row, of how many places each kind of personal data was taken; None where nobody asked for it.
    not_covered
        The personal data that was not looked for, in words.
    """

    rows: list[Row] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    place: str = "index"
    unreadable: list[BadRow] = field(default_factory=list)
    arrow: bool = False
    beside: list[UnreadColumn] = field(default_factory=list)
    redacted: list[dict[str, int]] | None = None
    not_covered: tuple[str, ...] = ()

    def add(self, number: int, value: Any) -> None:
        """Take a row, or note why ``value`` is none."""
        if not isinstance(value, dict):
            self.refuse(number, f"it is of type {type(value).__name__}, not an object with columns")
            return
        try:
            check_depth(value)
        except Unreadable as error:
            self.refuse(number, str(error))
        else:
            self.rows.append(value)
            self.numbers.append(number)

    def refuse(self, number: int, reason: str) -> None:
        """Note that what has this number is not a row."""
        self.unreadable.append(BadRow(number, reason, self.place))

    def without(self, rules: Rules) -> Loaded:
        """Return the same rows without what rules find; marks that a recording left are numbered anew in each."""
        found = [cleaned(row, rules) for row in self.rows]
        before = self.redacted or [{} for _ in found]
        counts = [dict(Counter(old) + Counter(new)) for old, (_, new) in zip(before, found, strict=True)]
        told = rules or self.redacted is not None or any(counts)
        return replace(
            self,
            rows=[row for row, _ in found],
            redacted=counts if told else None,
            not_covered=rules.not_covered() if rules else self.not_covered,
        )


def from_values(values: Iterable[Any], place: str = "index", first: int = 0, *, arrow: bool = False) -> Loaded:
    """Return the rows of an iterable, numbered from ``first``."""
    loaded = Loaded(place=place, arrow=arrow)
    for number, value in enumerate(values, start=first):
        loaded.add(number, value)
    return loaded


def from_arrow(rows: Iterable[Any], place: str = "index", first: int = 0) -> Loaded:
    """Return rows that come out of Arrow, without the keys that it filled into nested values for other rows' sake."""
    return from_values((unfilled(row) for row in rows), place, first, arrow=True)
