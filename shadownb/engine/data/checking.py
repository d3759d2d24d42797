"""Every row of a set is checked here: its format, its canonical form, and the reason where it has none."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

from shadownb.engine.data.formats import FORMATS, canonical_row, detect
from shadownb.engine.data.messages import RowProblem
from shadownb.engine.data.readers import Loaded
from shadownb.engine.data.report import BadRow, DatasetReport
from shadownb.errors import DataError, did_you_mean

Row = dict[str, Any]


def check(loaded: Loaded, source: str, format: str | None = None) -> tuple[list[Row | None], DatasetReport]:
    """Return the canonical form of each row (None for a bad one) and the report.

    Parameters
    ----------
    format
        The format to read the rows as; None or ``auto`` takes that of most rows, and the others are bad rows then.

    Raises
    ------
    DataError
        If there is no row at all, or the format is unknown.
    """
    if format not in (None, "auto", *FORMATS):
        raise DataError(
            f"format={format!r} is unknown.{did_you_mean(str(format), FORMATS)}",
            fix=f"Leave it out to detect it, or use one of {', '.join(FORMATS)}.",
        )
    if not loaded.rows:
        raise _nothing(source, loaded)
    most, each = detect(loaded.rows)
    given = format is not None and format != "auto"
    chosen = str(format) if given else most
    canonical: list[Row | None] = []
    bad = list(loaded.unreadable)
    for index, (row, looks) in enumerate(zip(loaded.rows, each, strict=True)):
        try:
            if looks != chosen and not given:
                raise RowProblem(_misfit(row, looks, chosen))
            canonical.append(row if chosen == "raw" else canonical_row(row, chosen))
        except RowProblem as problem:
            canonical.append(None)
            bad.append(BadRow(loaded.numbers[index], str(problem), loaded.place, index))
    bad.sort(key=lambda entry: entry.row)
    report = DatasetReport(
        format=chosen,
        total=len(loaded.rows) + len(loaded.unreadable),
        valid=sum(row is not None for row in canonical),
        bad=tuple(bad),
        formats=dict(Counter(each).most_common()),
    )
    return canonical, report


def _misfit(row: Row, looks: str, format: str) -> str:
    if looks == "raw":
        return f"no known column (it has: {', '.join(map(str, row)) or 'none'}), while most rows are {format}"
    return f"it looks like {looks}, while most rows are {format}"


def _nothing(source: str, loaded: Loaded) -> DataError:
    if loaded.unreadable:
        return DataError(
            f"No row could be read from {source}: all {len(loaded.unreadable):,} entries are bad.",
            why=str(loaded.unreadable[0]),
            fix='Write one object with named columns a row, for example {"prompt": "...", "completion": "..."}.',
        )
    return DataError(
        f"There are no rows in {source}.", fix="Add at least one row, for example {'prompt': ..., 'completion': ...}."
    )


def split_indices(count: int, test_size: float, seed: int, name: str) -> tuple[list[int], list[int]]:
    """Return the row positions of (train, test), each in the order of the rows; raises :class:`DataError`."""
    if count == 1:
        raise DataError(f"{name!r} has one row, which cannot be split.", fix="Add rows.")
    number = isinstance(test_size, (int, float)) and not isinstance(test_size, bool)
    whole = number and test_size % 1 == 0
    if not (number and (0 < test_size < 1 or (whole and 1 <= test_size < count))):
        raise DataError(
            f"test_size={test_size!r} is out of range.",
            fix=f"Use a share between 0 and 1, or a number of rows from 1 to {count - 1}.",
        )
    wanted = int(test_size) if whole else round(count * test_size)
    test = set(random.Random(seed).sample(range(count), min(max(wanted, 1), count - 1)))
    return [index for index in range(count) if index not in test], sorted(test)
