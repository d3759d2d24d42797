"""What is wrong with a data set: one entry a bad row, with the number it has in its source and the reason."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field

from shadownb.engine.messages.texts import shown

SHOWN = 10


@dataclass(frozen=True)
class BadRow:
    """One row that cannot be used.

    Attributes
    ----------
    row
        Its number as in the source: the line of a JSONL file, the row a spreadsheet shows for a CSV file, counted
        from 1 in other files and from 0 in lists and frames.
    reason
        Why it cannot be used.
    place
        What ``row`` counts: ``line``, ``row`` or ``index``.
    index
        Its position in ``dataset.rows``; None where the line could not be read as a row at all.
    """

    row: int
    reason: str
    place: str = "row"
    index: int | None = None

    def __str__(self) -> str:
        return f"{self.place} {self.row}: {self.reason}"


@dataclass(frozen=True)
class UnreadColumn:
    """A column or key that was not read.

    Attributes
    ----------
    name
        The column, or the path to a key: ``messages[].audio``.
    rows
        How many rows have a value in it.
    kind
        ``metadata``, ``repeats what was read``, ``ignored`` (by ``ignore=``) or ``left out``; anything else (``text``,
        ``a call``, ``a verdict``, ...) is what it holds that refused those rows.
    example
        The beginning of the first value.
    """

    name: str
    rows: int
    kind: str
    example: str = ""

    @property
    def refuses(self) -> bool:
        """Whether the rows that have it are refused."""
        return self.kind not in ("metadata", "repeats what was read", "ignored", "left out")

    def __str__(self) -> str:
        return f"{self.name} ({self.rows:,}, {self.kind})"


@dataclass(frozen=True)
class DatasetReport:
    """The outcome of checking every row.

    Attributes
    ----------
    format
        The format the set is read as.
    total
        Rows and unreadable lines together.
    valid
        Rows that can be used.
    bad
        The others, in source order.
    formats
        How many rows look like which format; more than one entry means a mixed set.
    unread
        The columns and keys that were not read, with the number of rows that have them.
    redacted
        Of how many places each kind of personal data was taken, when it was recorded or by ``redact``; None where nobody
        asked for it.
    not_covered
        The personal data that was not looked for, in words, such as ``names``.
    unknown
        The columns, where none has a known name: no row can be used until it is said what is what.
    """

    format: str
    total: int
    valid: int
    bad: tuple[BadRow, ...] = ()
    formats: dict[str, int] = field(default_factory=dict)
    unread: tuple[UnreadColumn, ...] = ()
    redacted: dict[str, int] | None = None
    not_covered: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether every row can be used."""
        return not self.bad and self.format != "raw"

    @property
    def mixed(self) -> bool:
        """Whether rows look like more than one format."""
        return len(self.formats) > 1

    @property
    def counts(self) -> dict[str, int]:
        """How many rows are bad for which kind of reason (the part of the reason that does not name a place)."""
        return dict(Counter(_kind(bad.reason) for bad in self.bad).most_common())

    def summary(self) -> str:
        """Return one line: how many rows can be used and how many cannot."""
        if self.format == "raw":
            known = f"no column has a known name (there are {_listed(self.unknown)})"
            return f"0 of {self.total:,} rows can be used: {known}; say what is what with columns="
        line = f"{self.valid:,} of {self.total:,} rows can be used as {self.format}"
        if self.mixed and self.bad:
            found = ", ".join(f"{count:,} {name}" for name, count in self.formats.items())
            line += f"; mixed formats ({found}), most are {self.format}"
        return line

    def unread_line(self) -> str:
        """Return one line that names and counts what was not read; "" where everything was."""
        if not self.unread:
            return ""
        more = f" and {len(self.unread) - SHOWN:,} more: see report.unread" if len(self.unread) > SHOWN else ""
        return f"not read: {', '.join(map(str, self.unread[:SHOWN]))}{more}"

    def redacted_line(self) -> str:
        """Return one line that counts what was taken out and names what was not looked for; "" where nobody asked for it."""
        if self.redacted is None:
            return ""
        counts = ", ".join(f"{count:,} {kind}" for kind, count in self.redacted.items()) or "nothing"
        return f"taken out: {counts}" + (f"; not covered: {', '.join(self.not_covered)}" if self.not_covered else "")

    def __str__(self) -> str:
        lines = [self.summary()]
        lines += [f"  {line}" for line in (self.unread_line(), self.redacted_line()) if line]
        lines += [f"  {bad}" for bad in self.bad[:SHOWN]]
        if len(self.bad) > SHOWN:
            lines.append(f"  and {len(self.bad) - SHOWN:,} more: see report.bad")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, object]:
        """Return the JSON form, with at most the first hundred bad rows spelled out."""
        shown = [{"row": bad.row, "place": bad.place, "reason": bad.reason} for bad in self.bad[:100]]
        return {
            "format": self.format,
            "total": self.total,
            "valid": self.valid,
            "bad": len(self.bad),
            "formats": self.formats,
            "counts": self.counts,
            "rows": shown,
            "unread": [asdict(column) for column in self.unread],
            **({"unknown": list(self.unknown)} if self.unknown else {}),
            **({"redacted": self.redacted, "not_covered": list(self.not_covered)} if self.redacted is not None else {}),
        }


def _kind(reason: str) -> str:
    head, _, rest = reason.partition(" ")
    return rest if "[" in head and rest else reason


def _listed(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return ", ".join(shown(name) for name in names[:SHOWN]) + more or "none"
