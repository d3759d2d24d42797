"""Splits in which what is held out is later, or of other sources, than what is trained on."""

from __future__ import annotations

import datetime
import math
import random
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from shadownb.errors import DataError

Rows = Sequence[Mapping[str, Any]]


def values_of(rows: Rows, column: str, option: str) -> list[Any]:
    """Return a column's value of each row; None where a row has none.

    Raises
    ------
    DataError
        No row has the column.
    """
    found = [row.get(column) for row in rows]
    if all(value is None for value in found):
        known = ", ".join(dict.fromkeys(str(name) for row in rows for name in row)) or "none"
        raise DataError(f"{option}={column!r} is no column of the rows.", fix=f"They have {known}.")
    return found


def by_group(rows: Rows, column: str, wanted: int, seed: int) -> tuple[list[int], list[int]]:
    """Return row positions of (train, test); rows with the same value of a column are on the same side.

    Groups are drawn until the test side has ``wanted`` rows; a row without a value is a group of its own.

    Raises
    ------
    DataError
        No row has the column, or all have the same value.
    """
    groups: dict[Hashable, list[int]] = {}
    for index, value in enumerate(values_of(rows, column, "group")):
        key: Hashable = (index,) if value is None else _hashable(value)
        groups.setdefault(key, []).append(index)
    if len(groups) < 2:
        raise DataError(
            f"group={column!r}: all rows have the same value, so none can be held out.",
            fix="Take a column that tells sources apart, or leave group out.",
        )
    drawn = list(groups.values())
    random.Random(seed).shuffle(drawn)
    test: list[int] = []
    for members in drawn[:-1]:  # one is left to train on
        if len(test) >= wanted:
            break
        test += members
    chosen = set(test)
    return [index for index in range(len(rows)) if index not in chosen], sorted(test)


def by_time(rows: Rows, column: str, wanted: int) -> tuple[list[int], list[int]]:
    """Return row positions of (train, test); the test side has the latest rows, and none as early as one of the train side.

    Times are numbers, or dates as text in ISO 8601.

    Raises
    ------
    DataError
        A row has no time, one cannot be read, or all rows are of one time.
    """
    given = values_of(rows, column, "time")
    moments = [moment_of(value) for value in given]
    unread = [index for index, moment in enumerate(moments) if moment is None]
    if unread:
        raise DataError(
            f"time={column!r}: {len(unread):,} of {len(rows):,} rows have no time that can be read.",
            why=f"Row {unread[0]} has {given[unread[0]]!r:.60}.",
            fix="Give each a number, or a date such as 2026-01-31T12:00:00Z.",
        )
    known = [moment for moment in moments if moment is not None]
    border = sorted(known)[-wanted]
    test = [index for index, moment in enumerate(known) if moment >= border]
    if len(test) == len(rows):  # the earliest are of that very time, too
        test = [index for index, moment in enumerate(known) if moment > border]
    if not test or len(test) == len(rows):
        raise DataError(f"time={column!r}: all rows are of one time.", fix="Take another column, or leave time out.")
    chosen = set(test)
    return [index for index in range(len(rows)) if index not in chosen], test


def moment_of(value: Any) -> float | None:
    """Return a time as a number that grows with it; None where it cannot be read."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, str):
        text = value.strip()
        try:
            value = datetime.datetime.fromisoformat(text)
        except ValueError:
            try:
                return moment_of(float(text))
            except ValueError:
                return None
    if isinstance(value, datetime.datetime):
        return (value if value.tzinfo is not None else value.replace(tzinfo=datetime.UTC)).timestamp()
    if isinstance(value, datetime.date):
        return datetime.datetime(value.year, value.month, value.day, tzinfo=datetime.UTC).timestamp()
    return None


def _hashable(value: Any) -> Hashable:
    try:
        hash(value)
    except TypeError:
        return repr(value)
    return (type(value).__name__, value)
