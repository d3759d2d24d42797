"""What the Data panel sends of rows: a page of them, how they are read, what leaks, how many tokens they have. No widget."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from shadownb.engine.data import mappings
from shadownb.engine.data.leakage import leakage
from shadownb.engine.data.suggesting import suggest
from shadownb.engine.data.writers import to_json
from shadownb.engine.messages.texts import shown
from shadownb.errors import DataError, ShadowError

from . import _choices

PAGE = 10
_BINS = 24
_COUNTED = 2000  # rows that tokens are counted in, a few seconds; of more, this many evenly taken
_LEAKS = 20
_REASONS = 12
_NOT_SAID = ("train_from", "columns")


def page(data: Any, part: str, found: Sequence[int], begin: int) -> dict[str, Any]:
    """Return a page of the rows that a search found, from about ``begin`` on."""
    begin = max(0, min(begin, len(found) - 1)) // PAGE * PAGE if found else 0
    reasons = {bad.index: bad.reason for bad in data.report.bad if bad.index is not None}
    rows = [
        {
            "index": index,
            "number": data.numbers[index],
            "parts": _parts(data, index, reasons),
            "bad": shown(reasons.get(index, "")),
        }
        for index in found[begin : begin + PAGE]
    ]
    place = next((bad.place for bad in data.report.bad), "row")
    return {"part": part, "begin": begin, "total": len(found), "all": len(data), "place": place, "rows": rows}


def _parts(data: Any, index: int, reasons: Mapping[int, str]) -> list[dict[str, str]]:
    if index in reasons or data.format == "raw":
        return _choices.row_parts(data.rows[index])
    return _choices.row_parts(
        {name: value for name, value in data.canonical_row(index).items() if name not in _NOT_SAID}
    )


def reading(data: Any) -> dict[str, Any]:
    """Return how columns are read, what is refused and why, and what may be said about the columns."""
    report = data.report
    found = {**_choices.describe_reading(data), "raw": data.format == "raw", "suggestion": None}
    found["counts"] = [[shown(reason), count] for reason, count in list(report.counts.items())[:_REASONS]]
    given = {"columns": dict(data.reading.columns), "ignore": sorted(data.reading.ignore)}
    said = bool(given["columns"] or given["ignore"])
    known = mappings.remembered(data.columns) if said else None
    found["remembered"] = known.at if known is not None else None
    if not said:
        found["suggestion"] = suggestion(data)
    return found


def suggestion(data: Any) -> dict[str, Any] | None:
    """Return what may be said about the columns, with the reasons and the first rows read so; None where nothing need be."""
    made = suggest(data)
    if not made.columns and not made.ignore:
        return None
    try:
        read = data.read_as(columns=made.columns, ignore=made.ignore)
        first = [_choices.row_parts(row) for row in read.canonical_rows()[:3]]
    except DataError:
        return None
    told = {**made.columns, **dict.fromkeys(made.ignore, _choices.IGNORE)}
    return {
        "columns": [[shown(name), target, shown(made.reasons.get(name, ""))] for name, target in told.items()],
        "valid": read.report.valid,
        "rows": len(read),
        "preview": first,
    }


def leaks(train: Any, held_out: Any) -> dict[str, Any]:
    """Return what of the held-out rows is among those to train on."""
    try:
        found = leakage(train, held_out)
    except ShadowError as error:  # rows that are no conversations cannot be compared
        return {"stage": "unknown", "summary": f"Not checked: {error.what}"}
    return {
        "stage": "ready",
        "summary": found.summary(),
        "count": len(found.rows),
        "rows": [shown(str(row)) for row in found.rows[:_LEAKS]],
    }


def tokens(data: Any, model: Any) -> dict[str, Any]:
    """Return how many tokens the rows have for a model, as bins and figures."""
    usable = data.usable() if data.report.valid else data
    step = -(-len(usable) // _COUNTED)
    counted = usable[::step] if step > 1 else usable
    found = counted.token_statistics(model)
    return {
        "stage": "ready",
        "bins": [list(each) for each in found.histogram(_BINS)],
        "figures": [[name, value] for name, value in found.figures()],
        "counted": len(counted),
        "of": len(usable),
        "max_length": found.max_length,
    }


def editable(data: Any, part: str, index: int) -> dict[str, Any]:
    """Return a row as it is edited: its texts by where they stand, and all of it as JSON."""
    row = data.rows[index]
    return {
        "part": part,
        "index": index,
        "number": data.numbers[index],
        "fields": _fields(row),
        "json": to_json(row, indent=1),
    }


def _fields(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the texts of a row that can be edited alone: those of columns and of messages."""
    found: list[dict[str, Any]] = []
    for name, value in row.items():
        if isinstance(value, str):
            found.append({"path": [name], "label": shown(name), "text": value})
        elif isinstance(value, list):
            for at, entry in enumerate(value):
                if not isinstance(entry, dict):
                    continue
                said = str(entry.get("role", entry.get("from", name)))
                found += [
                    {"path": [name, at, key], "label": f"{at + 1}. {shown(said)}", "text": entry[key]}
                    for key in ("content", "value")
                    if isinstance(entry.get(key), str)
                ]
    return found


def with_texts(row: Mapping[str, Any], texts: Sequence[tuple[Sequence[Any], str]]) -> dict[str, Any]:
    """Return a row with texts at these places; a place that it does not have is refused."""
    made = copy.deepcopy(dict(row))
    known = [field["path"] for field in _fields(row)]
    for path, text in texts:
        if list(path) not in known:
            raise DataError(f"The row has no text at {list(path)!r}.", fix="Open it again.")
        target: Any = made
        for key in path[:-1]:
            target = target[key]
        target[path[-1]] = text
    return made
