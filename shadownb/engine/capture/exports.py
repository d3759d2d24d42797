"""Exports of a store: JSONL, parquet, spans of OpenTelemetry, and ``datasets``. Page by page, so that memory does
not grow with the store.

JSONL rows are :meth:`Call.to_dict`; a call that cannot be read is there with the reason under ``unread``. In parquet and
``datasets`` the nested columns are JSON text: messages of different tools have no common schema, and a schema guessed from the
first rows would drop or refuse the others.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shadownb.engine.capture.call import EXPORTED
from shadownb.engine.capture.database import Database
from shadownb.engine.jsontext import dumps, may_hold_halves
from shadownb.errors import ExportError, did_you_mean

if TYPE_CHECKING:
    import datasets
    import pyarrow as pa

    from shadownb.engine.capture.call import Call
    from shadownb.engine.ports.capture_store import CaptureStore

FORMATS = ("jsonl", "parquet", "otlp")
_NESTED = ("usage", "error", "headers", "messages", "tools", "choices", "request", "response")
_TYPES = {"stream": "bool", "redacted": "bool", "http_status": "int64", "started_at": "double", "first_byte_s": "double",
          "duration_s": "double", "cost": "double"}  # fmt: skip
_PAGE = 200


def export(
    store: CaptureStore[Call], path: str | Path, *, fmt: str | None = None, parsed: bool = True, **filters: Any
) -> Path:
    """Write calls to a file; returns its path. A file that is there is replaced when the new one is complete.

    Without ``parsed`` they are written as they are stored.

    Raises
    ------
    ExportError
        The format is not known.
    """
    target = Path(path).expanduser()
    chosen = fmt or ("otlp" if ".otlp." in target.name else target.suffix.removeprefix(".").replace("ndjson", "jsonl"))
    if chosen not in FORMATS:
        raise ExportError(
            f"fmt={chosen!r} is not a format for calls.{did_you_mean(chosen, FORMATS)}",
            fix="Let the file end in .jsonl, .parquet or .otlp.jsonl, or give fmt='jsonl'.",
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part-{os.getpid()}")
    try:
        if chosen == "jsonl":
            _jsonl(
                (call.to_dict() for call in store.iterate(**filters)) if parsed else _stored_rows(store, filters), part
            )
        elif chosen == "otlp":
            _otlp(store, filters, part)
        else:
            _parquet(
                _read_columns(store, filters) if parsed else _stored_columns(store, filters),
                part,
                parsed=parsed,
            )
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return target


def to_dataset(store: CaptureStore[Call], **filters: Any) -> datasets.Dataset:
    """Return calls as a ``datasets.Dataset`` in memory; the columns of the parquet export."""
    import datasets
    import pyarrow as pa

    schema = _schema()
    batches = [pa.RecordBatch.from_pydict(columns, schema=schema) for columns in _read_columns(store, filters)]
    return datasets.Dataset(pa.Table.from_batches(batches, schema=schema))


def flat_row(call: Call, tools: Callable[[Any], str] = dumps) -> dict[str, Any]:
    """Return a call with its nested columns as JSON text; ``tools`` writes those of its tools."""
    row = call.to_dict()
    row |= {name: call.as_json(name) for name in ("usage", "error", "headers")}
    row["tools"] = row["tools"] and tools(row["tools"])
    for name, body in (("request", call.request_body), ("response", b"" if call.is_streamed else call.response_body)):
        if row[name] and body and not may_hold_halves(body):
            row[name] = body.decode("utf-8", "replace")  # it is JSON already
    for name in _NESTED:
        row[name] = row[name] if row[name] is None or isinstance(row[name], str) else dumps(row[name])
    return row


def _read_columns(store: CaptureStore[Call], filters: dict[str, Any]) -> Iterator[dict[str, list[Any]]]:
    tools = _Repeated()
    rows = (flat_row(call, tools) for call in store.iterate(**filters))
    names = _schema().names
    while page := list(islice(rows, _PAGE)):
        yield {name: [row[name] for row in page] for name in names}


class _Repeated:
    """Writes what is mostly the same from one call to the next, as an agent's tools are."""

    def __init__(self) -> None:
        self._last: Any = None
        self._text = ""

    def __call__(self, value: Any) -> str:
        if value != self._last:
            self._last, self._text = value, dumps(value)
        return self._text


def _stored_columns(store: CaptureStore[Call], filters: dict[str, Any]) -> Iterator[dict[str, list[Any]]]:
    """Yield pages of calls as they are stored: as columns by a store that has them so, else from its calls."""
    database = getattr(store, "database", None)
    if isinstance(database, Database) and "text" not in filters:
        yield from database.columns(EXPORTED, **filters)
        return
    for call in store.iterate(**filters):
        facts = {name: getattr(call, name) for name in EXPORTED}
        facts = {name: dumps(value) if isinstance(value, dict) else value for name, value in facts.items()}
        bodies = {"request": call.request_body, "response": call.response_body}
        yield {name: [value] for name, value in facts.items()} | {
            name: [body.decode("utf-8", "replace")] for name, body in bodies.items()
        }


def _stored_rows(store: CaptureStore[Call], filters: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for columns in _stored_columns(store, filters):
        for values in zip(*columns.values(), strict=True):
            yield dict(zip(columns, values, strict=True))


def _jsonl(rows: Iterator[dict[str, Any]], path: Path) -> None:
    with open(path, "w", encoding="utf-8", errors="replace") as file:
        for row in rows:
            file.write(dumps(row) + "\n")


def _otlp(store: CaptureStore[Call], filters: dict[str, Any], path: Path) -> None:
    from shadownb.engine.traces.writing import otlp_lines

    scores = store.scores() if hasattr(store, "scores") else {}
    with open(path, "w", encoding="utf-8", errors="replace") as file:
        for line in otlp_lines(store.iterate(**filters), scores):
            file.write(line + "\n")


def _parquet(pages: Iterator[dict[str, list[Any]]], path: Path, *, parsed: bool) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = _schema(parsed=parsed)
    repeated = ["session", "dialect", "model", "response_model", "route", "status", "finish_reason", "headers"]
    # A dictionary of long texts, of which no two are equal, would be built and thrown away again.
    with pq.ParquetWriter(path, schema, compression="zstd", compression_level=1, use_dictionary=repeated) as writer:
        for columns in pages:
            writer.write_batch(pa.RecordBatch.from_pydict(columns, schema=schema))


def _schema(*, parsed: bool = True) -> pa.Schema:
    import pyarrow as pa

    read = (*(name for name in _NESTED if name not in EXPORTED), "unread") if parsed else ("request", "response")
    return pa.schema([(name, pa.type_for_alias(_TYPES.get(name, "string"))) for name in (*EXPORTED, *read)])
