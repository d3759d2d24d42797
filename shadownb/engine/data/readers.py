"""Rows out of files, frames and the hub. A line that cannot be read becomes a bad row with its number, not an error.

A file is refused as a whole (:class:`DataError`) only when it is missing, is not text, or holds no row at all.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shadownb.engine.data.formats import shows_a_row
from shadownb.engine.data.loaded import Loaded, from_arrow, from_values
from shadownb.engine.data.padding import unfilled
from shadownb.engine.data.report import UnreadColumn
from shadownb.engine.data.trees import is_tree
from shadownb.engine.jsontext import RepeatedKey, parse
from shadownb.errors import DataError, did_you_mean

if TYPE_CHECKING:
    import pandas

Row = dict[str, Any]


def read_jsonl(path: Path) -> Loaded:
    """Read one JSON object a line; blank lines are skipped."""
    require_file(path)
    loaded = Loaded(place="line")
    # Only \n ends a line: str.splitlines also splits at characters that JSON strings may hold.
    for number, line in enumerate(path.read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            value = parse(line.decode(), unique=True)
        except UnicodeDecodeError as error:
            loaded.refuse(number, f"not UTF-8 text (byte {error.start} of the line)")
        except (ValueError, RecursionError) as error:
            loaded.refuse(number, f"not valid JSON ({error})")
        else:
            loaded.add(number, value)
    return loaded


def read_json(path: Path) -> Loaded:
    """Read a JSON list of objects, an object with exactly one list of them such as ``{"data": [...]}``, or one row."""
    text, repeated = read_text(path), False
    try:
        try:
            value = parse(text, unique=True)
        except RepeatedKey:
            value, repeated = json.loads(text, object_pairs_hook=_marked), True
            if isinstance(value, _Repeated):
                raise
    except (ValueError, RecursionError) as error:
        fix = "Correct the file at that place. If it holds one object a line, name it .jsonl."
        raise DataError(f"{path} is not valid JSON: {error}", fix=fix) from None
    if not isinstance(value, (dict, list)):
        raise DataError(f"{path} holds a {type(value).__name__}, not a list of rows.", fix="Save the rows as a list.")
    loaded = _from_object(path, value) if isinstance(value, dict) else from_values(value, "row", 1)
    return _without_repeated(loaded) if repeated else loaded


class _Repeated(dict[str, Any]):
    """An object with the same key twice, so that of a whole file only the rows that hold one are bad."""


def _marked(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return _Repeated(pairs) if len(dict(pairs)) < len(pairs) else dict(pairs)


def _without_repeated(loaded: Loaded) -> Loaded:
    kept = Loaded(place=loaded.place, unreadable=loaded.unreadable, beside=loaded.beside)
    for row, number in zip(loaded.rows, loaded.numbers, strict=True):
        if _holds_repeated(row):
            kept.refuse(number, "a key stands twice in one of its objects")
        else:
            kept.add(number, row)
    return kept


def _holds_repeated(value: Any) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return isinstance(value, _Repeated) or any(map(_holds_repeated, inner))


def _from_object(path: Path, value: Row) -> Loaded:
    if shows_a_row(value) or is_tree([value]):
        return from_values([value], "row", 1)
    lists = {key: entry for key, entry in value.items() if isinstance(entry, list)}
    if len(lists) != 1:
        found = f"lists named {', '.join(lists)}" if lists else "no list"
        raise DataError(
            f"{path} holds an object with {found}.",
            why="Rows are read from a JSON list, from an object with exactly one list, or from an object that is one row.",
            fix="Save the rows as a list, or load the file and pass one list to Dataset.from_list.",
        )
    ((name, rows),) = lists.items()
    loaded = from_values(rows, "row", 1)
    loaded.beside = [UnreadColumn(f"{key} (beside {name})", 1, "left out") for key in value if key != name]
    return loaded


def read_csv(path: Path) -> Loaded:
    """Read a CSV file with a header; the delimiter may be a comma, a semicolon or a tab.

    Rows are numbered as a spreadsheet shows them: the header is row 1.
    """
    text = read_text(path)
    delimiter = max(",;\t", key=text.split("\n", 1)[0].count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    loaded = Loaded(place="row")
    limit = csv.field_size_limit(len(text) + 1)  # the default refuses cells of documents
    try:
        columns = next(reader, [])
        if len(set(columns)) < len(columns):
            twice = next(name for name in columns if columns.count(name) > 1)
            raise DataError(f"{path} has two columns named {twice!r}.", fix="Give every column its own name.")
        for number, cells in enumerate(reader, start=2):
            if cells and len(cells) != len(columns):
                loaded.refuse(number, f"it has {len(cells)} cells, the header has {len(columns)}")
            elif cells:
                loaded.add(number, dict(zip(columns, cells, strict=True)))
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: {error}", fix="Correct that line.") from None
    finally:
        csv.field_size_limit(limit)
    return loaded


def read_parquet(path: Path) -> Loaded:
    """Read a parquet file. Keys that arrow filled in for other rows' sake are taken out of nested values."""
    import pyarrow
    import pyarrow.parquet

    try:
        rows = pyarrow.parquet.read_table(path).to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{path} cannot be read as parquet: {error}", fix="Check that the file is complete.") from None
    return from_arrow(rows, "row", 1)


def read_frame(frame: pandas.DataFrame) -> Loaded:
    """Read a pandas frame; missing values become None. Rows are numbered from 0, whatever the index."""
    columns = [str(column) for column in frame.columns]
    if len(set(columns)) < len(columns):
        twice = next(name for name in columns if columns.count(name) > 1)
        raise DataError(f"The frame has two columns named {twice!r}.", fix="Give every column its own name.")
    values = list(frame.itertuples(index=False, name=None))
    # A frame that was read from parquet holds objects as Arrow makes them; its lists are arrays then.
    arrow = any(hasattr(cell, "tolist") and getattr(cell, "ndim", 0) for cells in values for cell in cells)
    rows = ({name: _plain(cell) for name, cell in zip(columns, cells, strict=True)} for cells in values)
    return from_values((unfilled(row) if arrow else row for row in rows), arrow=arrow)


READERS: dict[str, Callable[[Path], Loaded]] = {
    ".jsonl": read_jsonl,
    ".ndjson": read_jsonl,
    ".json": read_json,
    ".csv": read_csv,
    ".parquet": read_parquet,
}


def read_file(path: Path) -> Loaded:
    """Read a file by its suffix. Raises :class:`DataError` if it is missing or of an unknown kind."""
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        known = ", ".join(READERS)
        raise DataError(
            f"{path}: files ending in {path.suffix!r} are not known.{did_you_mean(path.suffix, list(READERS))}",
            fix=f"Use one of {known}.",
        )
    require_file(path)
    return reader(path)


def require_file(path: Path) -> None:
    """Raise :class:`DataError` unless ``path`` is a file."""
    if not path.is_file():
        near = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
        what = "is a folder" if path.is_dir() else "does not exist"
        raise DataError(f"{path} {what}.{did_you_mean(path.name, near)}", fix="Give the path of a data file.")


def read_text(path: Path) -> str:
    """Return a file as text; a byte order mark is not part of it."""
    require_file(path)
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is not UTF-8 text (byte {error.start}).", fix="Save it as UTF-8; in a spreadsheet: 'CSV UTF-8'."
        ) from None


def _plain(value: Any) -> Any:
    """Return a frame's cell as plain Python: arrays as lists, numpy scalars as numbers, missing as None."""
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    if hasattr(value, "tolist"):  # numpy scalars and arrays
        return _plain(value.tolist())
    if isinstance(value, float) and math.isnan(value):
        return None
    return None if type(value).__name__ in ("NAType", "NaTType") else value
