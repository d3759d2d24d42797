"""Exports of a store: JSONL, parquet, and ``datasets``. Page by page, so that memory does not grow with the store.

JSONL rows are :meth:`Call.to_dict`; a call that cannot be read is there with the reason under ``unread``. In parquet and
``datasets`` the nested columns are JSON text: messages of different tools have no common schema, and a schema guessed from the
first rows would drop or refuse the others.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shadownb.engine.jsontext import dumps
from shadownb.errors import ExportError, did_you_mean

if TYPE_CHECKING:
    import datasets
    import pyarrow as pa

    from shadownb.engine.capture.call import Call
    from shadownb.engine.ports.capture_store import CaptureStore

FORMATS = ("jsonl", "parquet")
_NESTED = ("usage", "error", "headers", "messages", "tools", "choices", "request", "response")
_TYPES = {"stream": "bool", "redacted": "bool", "http_status": "int64", "started_at": "double", "first_byte_s": "double",
          "duration_s": "double", "cost": "double"}  # fmt: skip
_PAGE = 500


def export(store: CaptureStore[Call], path: str | Path, *, fmt: str | None = None, **filters: Any) -> Path:
    """Write calls to a file; returns its path. A file that is there is replaced when the new one is complete.

    Raises
    ------
    ExportError
        The format is not known.
    """
    target = Path(path).expanduser()
    chosen = fmt or target.suffix.removeprefix(".").replace("ndjson", "jsonl")
    if chosen not in FORMATS:
        raise ExportError(
            f"fmt={chosen!r} is not a format for calls.{did_you_mean(chosen, FORMATS)}",
            fix="Let the file end in .jsonl or .parquet, or give fmt='jsonl'.",
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part-{os.getpid()}")
    try:
        (_jsonl if chosen == "jsonl" else _parquet)(store.iterate(**filters), part)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return target


def to_dataset(store: CaptureStore[Call], **filters: Any) -> datasets.Dataset:
    """Return calls as a ``datasets.Dataset`` in memory; the columns of the parquet export."""
    import datasets
    import pyarrow as pa

    batches = list(_batches(store.iterate(**filters)))
    return datasets.Dataset(pa.Table.from_batches(batches, schema=_schema()))


def flat_row(call: Call) -> dict[str, Any]:
    """Return a call with its nested columns as JSON text."""
    row = call.to_dict()
    for name in _NESTED:
        row[name] = None if row[name] is None else dumps(row[name])
    return row


def _jsonl(calls: Iterator[Call], path: Path) -> None:
    with open(path, "w", encoding="utf-8", errors="replace") as file:
        for call in calls:
            file.write(dumps(call.to_dict()) + "\n")


def _parquet(calls: Iterator[Call], path: Path) -> None:
    import pyarrow.parquet as pq

    with pq.ParquetWriter(path, _schema(), compression="zstd") as writer:
        for batch in _batches(calls):
            writer.write_batch(batch)


def _batches(calls: Iterator[Call]) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    page: list[dict[str, Any]] = []
    for call in calls:
        page.append(flat_row(call))
        if len(page) == _PAGE:
            yield pa.RecordBatch.from_pylist(page, schema=_schema())
            page = []
    if page:
        yield pa.RecordBatch.from_pylist(page, schema=_schema())


def _schema() -> pa.Schema:
    import pyarrow as pa

    from shadownb.engine.capture.call import _EXPORTED

    names = [*_EXPORTED, *(name for name in _NESTED if name not in _EXPORTED), "unread"]
    return pa.schema([(name, pa.type_for_alias(_TYPES.get(name, "string"))) for name in names])
