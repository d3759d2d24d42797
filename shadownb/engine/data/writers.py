"""Rows to files that :mod:`readers` reads back to the same canonical rows."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from shadownb.engine.messages.texts import is_whole
from shadownb.errors import DataError

Row = dict[str, Any]


def to_json(value: Any, **options: Any) -> str:
    """Return JSON text; values that JSON does not know (dates) become their text, NaN and infinities null.

    Half characters stay in it, so that it may be no valid Unicode; what is written to a file escapes them.
    """
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, default=str, **options)
    except (ValueError, TypeError):  # NaN, or keys of several types, which cannot be sorted
        return json.dumps(_finite(value), ensure_ascii=False, default=str, **options)


def _storable(value: Any, **options: Any) -> str:
    """Return JSON text that UTF-8 can hold: a half character becomes the escape that it came from."""
    text = to_json(value, **options)
    return text if is_whole(text) else json.dumps(json.loads(text), **options)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _finite(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _jsonl(rows: list[Row]) -> bytes:
    return "".join(_storable(row) + "\n" for row in rows).encode()


def _json(rows: list[Row]) -> bytes:
    return (_storable(rows, indent=1) + "\n").encode()


def _csv(rows: list[Row]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns(rows), restval="", lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({key: "" if value is None else _cell(value) for key, value in row.items()})
    _require_whole(rows)
    return text.getvalue().encode()


def _parquet(rows: list[Row]) -> bytes:
    import pyarrow
    import pyarrow.parquet

    _require_whole(rows)
    # Lists and objects go in as JSON text: arrow would give every tool call the arguments of all others.
    flat = {name: [_cell(row.get(name)) for row in rows] for name in columns(rows)}
    try:
        table = pyarrow.table(flat)
    except pyarrow.ArrowException as error:
        raise DataError(
            f"The rows do not fit a parquet table: {error}",
            why="A parquet column holds values of one type.",
            fix="Save as .jsonl, which keeps rows as they are.",
        ) from None
    sink = io.BytesIO()
    pyarrow.parquet.write_table(table, sink)
    return sink.getvalue()


def _require_whole(rows: list[Row]) -> None:
    """Raise :class:`DataError` for a row with half a character, which a table cannot hold."""
    for index, row in enumerate(rows):
        if not is_whole(to_json(row)):
            raise DataError(
                f"Row {index} holds half a character (a lone surrogate), which a CSV or parquet file cannot hold.",
                fix="Correct it, leave the row out (dataset.usable()), or save as .jsonl.",
            )


def _cell(value: Any) -> Any:
    return to_json(value) if isinstance(value, (dict, list, tuple)) else value


def columns(rows: list[Row]) -> list[str]:
    """Return the columns of all rows, in the order they first occur."""
    return list(dict.fromkeys(key for row in rows for key in row))


WRITERS: dict[str, Callable[[list[Row]], bytes]] = {
    ".jsonl": _jsonl,
    ".ndjson": _jsonl,
    ".json": _json,
    ".csv": _csv,
    ".parquet": _parquet,
}


def write_file(rows: list[Row], path: Path) -> Path:
    """Write rows by the suffix of ``path``; the file appears only once it is complete."""
    writer = WRITERS.get(path.suffix.lower())
    if writer is None:
        raise DataError(
            f"{path}: rows cannot be saved as {path.suffix!r}.", fix=f"Use one of {', '.join(WRITERS)} as the suffix."
        )
    content = writer(rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.part")
    aside.write_bytes(content)
    aside.replace(path)
    return path
