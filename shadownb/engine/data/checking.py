"""Every row of a set is checked here: its format, its canonical form, what was not read, and the reason where it has no form."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from shadownb.engine.data.columns import KNOWN, OTHER_SHAPES, TARGETS, Columns
from shadownb.engine.data.display import shorten
from shadownb.engine.data.formats import FORMATS, PROMPT, canonical_row, detect_row, only_asks
from shadownb.engine.data.loaded import Loaded
from shadownb.engine.data.padding import without_padding
from shadownb.engine.data.report import BadRow, DatasetReport
from shadownb.engine.data.unread import Tally, counted, refusal, words_of
from shadownb.engine.messages import RowProblem
from shadownb.engine.messages.texts import shown
from shadownb.engine.messages.values import plain_name
from shadownb.errors import DataError, did_you_mean

Row = dict[str, Any]

_LONGEST_REASON = 400  # it may name what somebody wrote as a role


@dataclass(frozen=True)
class Reading:
    """How the rows of a set are read.

    Attributes
    ----------
    format
        One of ``FORMATS``; None takes that of most rows, and the others are bad rows then.
    columns
        The user's own names: column of the rows to known name, as in ``{"frage": "prompt"}``.
    ignore
        Columns (``notes``) and keys of messages (``messages[].audio``) that are not read and refuse no row.
    """

    format: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    ignore: frozenset[str] = frozenset()

    @classmethod
    def of(
        cls, format: str | None, columns: Mapping[str, str] | None, ignore: Sequence[str] | str, rows: Iterable[Row]
    ) -> Reading:
        """Return it from what a user gave. Raises :class:`DataError` for names that the rows or ShadowNB do not know."""
        if format not in (None, "auto", *FORMATS):
            raise DataError(
                f"format={format!r} is unknown.{did_you_mean(str(format), FORMATS)}",
                fix=f"Leave it out to detect it, or use one of {', '.join(FORMATS)}.",
            )
        ignored = frozenset([ignore] if isinstance(ignore, str) else ignore)
        mapped = dict(columns or {})
        if mapped or ignored:
            _check_names(mapped, ignored, list(dict.fromkeys(str(name) for row in rows for name in row)))
        return cls(None if format == "auto" else format, mapped, ignored)


def _check_names(columns: dict[str, str], ignore: frozenset[str], there: list[str]) -> None:
    for name, target in columns.items():
        if target not in KNOWN:
            raise DataError(
                f"columns={{{name!r}: {target!r}}}: {target!r} is not a column that is read.{did_you_mean(target, TARGETS)}",
                fix=f"Map to one of {', '.join(TARGETS)}.",
            )
    twice = next((target for target, count in Counter(columns.values()).items() if count > 1), None)
    if twice is not None:
        both = ", ".join(repr(name) for name, target in columns.items() if target == twice)
        raise DataError(
            f"columns= maps {both} to {twice!r}.", fix="Map one of them; join them in the rows if both belong there."
        )
    for option, names in (("columns", columns), ("ignore", ignore)):
        for name in names:
            column = name.partition("[]")[0].partition(".")[0] if option == "ignore" else name
            if name not in there and column not in (*there, "tools", "tool_calls"):
                raise DataError(
                    f"{option}= names {shown(name)!r}, which no row has.{did_you_mean(name, there)}",
                    fix=f"The rows have: {', '.join(map(shown, there[:20]))}.",
                )


@dataclass(frozen=True)
class Checked:
    """What was found out about the rows of a set, row by row.

    Attributes
    ----------
    canonical
        The canonical form of each row, None for a bad one.
    reasons
        By row: why it is bad.
    looks
        The format that each row shows by itself.
    unread
        By row: what was not read, name and kind.
    examples
        The first value of each of these, as it is shown.
    """

    format: str
    canonical: list[Row | None]
    reasons: dict[int, str]
    looks: list[str]
    unread: list[dict[str, str]]
    examples: dict[tuple[str, str], str]

    def part(self, indices: Sequence[int]) -> Checked:
        """Return it for some of the rows. They are not judged anew: what was decided by looking at all rows stays."""
        return Checked(
            self.format,
            [self.canonical[index] for index in indices],
            {place: self.reasons[index] for place, index in enumerate(indices) if index in self.reasons},
            [self.looks[index] for index in indices],
            [self.unread[index] for index in indices],
            self.examples,
        )

    def report(self, loaded: Loaded) -> DatasetReport:
        """Return the report on rows that were loaded so."""
        bad = [
            BadRow(loaded.numbers[index], shorten(why, _LONGEST_REASON), loaded.place, index)
            for index, why in self.reasons.items()
        ]
        taken: Counter[str] = Counter()
        for counts in loaded.redacted or ():
            taken.update(counts)
        return DatasetReport(
            format=self.format,
            total=len(loaded.rows) + len(loaded.unreadable),
            valid=0 if self.format == "raw" else len(loaded.rows) - len(bad),
            bad=tuple(sorted([*loaded.unreadable, *bad], key=lambda entry: entry.row)),
            formats=dict(Counter(self.looks).most_common()),
            unread=(*counted(self.unread, self.examples), *loaded.beside),
            redacted=dict(taken.most_common()) if loaded.redacted is not None else None,
            not_covered=loaded.not_covered,
            unknown=tuple(dict.fromkeys(str(name) for row in loaded.rows for name in row))
            if self.format == "raw"
            else (),
        )


def check(loaded: Loaded, source: str, reading: Reading) -> Checked:
    """Read every row. Raises :class:`DataError` if there is none."""
    if not loaded.rows:
        raise _nothing(source, loaded)
    columns = [Columns(row, reading.columns, reading.ignore) for row in loaded.rows]
    looks = [detect_row(row) for row in columns]
    unclear = ("raw", "chat", "sharegpt")  # one answer in the set, and the others lack theirs
    if reading.format is None and all(
        look in unclear and only_asks(row) for look, row in zip(looks, columns, strict=True)
    ):
        looks = [PROMPT] * len(looks)
    format = reading.format or Counter(looks).most_common(1)[0][0]  # of most rows, the earlier one in a tie
    given = reading.format is not None
    canonical: list[Row | None] = []
    reasons: dict[int, str] = {}
    tally = Tally(reading.ignore)
    for index, row in enumerate(columns):
        try:
            if not given and looks[index] != format and not _fits(row, format):
                raise RowProblem(_misfit(loaded.rows[index], looks[index], format))
            canonical.append(loaded.rows[index] if format == "raw" else canonical_row(row, format))
        except RowProblem as problem:
            canonical.append(None)
            reasons[index] = str(problem)
            continue
        rest = row.rest() if format != "raw" else []
        if rest:
            read = canonical[index] or {}
            said = [message["content"] for message in read.get("messages", ()) if message["content"]]
            texts = said if format in ("chat", "sharegpt") else row.texts
            left = frozenset(plain_name(name) for name, _ in rest) if format == PROMPT else frozenset()
            tally.add(index, rest, words_of(read), texts, OTHER_SHAPES if given and format != PROMPT else left)
    tally.judge_frames()
    unread = [tally.kinds.get(index, {}) for index in range(len(columns))]
    reasons |= {index: why for index, kinds in enumerate(unread) if (why := refusal(kinds)) is not None}
    if format != "raw":
        canonical = without_padding(canonical, arrow=loaded.arrow)
    canonical = [None if index in reasons else row for index, row in enumerate(canonical)]
    return Checked(format, canonical, reasons, looks, unread, tally.examples)


def _fits(row: Columns, format: str) -> bool:
    """Whether a row may be read as the format of most: a transcript among plain texts is a plain text."""
    return format == "text" and isinstance(row.see("text"), str)


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
    wanted = held_out_count(count, test_size, name)
    test = set(random.Random(seed).sample(range(count), wanted))
    return [index for index in range(count) if index not in test], sorted(test)


def held_out_count(count: int, test_size: float, name: str) -> int:
    """Return how many of ``count`` rows are held out; raises :class:`DataError`."""
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
    return min(max(wanted, 1), count - 1)
