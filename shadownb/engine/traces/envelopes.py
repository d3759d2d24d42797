"""Where spans come from: files, JSON text, objects; and the envelopes around them.

Read are OTLP (``resourceSpans``, also as log records with ``resourceLogs``), lists, JSON lines, pages of an API
(``{"data": [...]}``), traces and sessions of Langfuse, spans and rows of Phoenix, spans as SDKs print them, records of the tools in
:mod:`.sources`, and session files of agents (:mod:`.sessions`). What is in an envelope but no span goes to the report.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from shadownb.engine.jsontext import Unreadable, check_depth, loads, parse
from shadownb.engine.traces.conventions import langfuse, mlflow, phoenix
from shadownb.engine.traces.report import TraceReport
from shadownb.engine.traces.sessions import Format, Turn, format_of
from shadownb.engine.traces.sources import agents_sdk, source_of
from shadownb.engine.traces.spans import Span, event_from_dict, objects, span_from_dict
from shadownb.errors import DataError

_HOLDERS = ("data", "traces", "trace", "observations", "spans", "batches", "results", "items")
_DEEPEST = 256  # levels of a span; OTLP takes four for one level of what an attribute holds
_MOST_ENVELOPES, _LEVEL = 16, " level"  # traces in sessions in pages are three
_SUFFIXES, _GZIP = (".json", ".jsonl", ".ndjson", ".gz"), b"\x1f\x8b"
_LONGEST_PATH = 4096  # PATH_MAX of Linux; no file name is longer


def load(source: Any, report: TraceReport) -> Any:
    """Return the JSON of a path, of all files in a folder, of JSON text, or of an object as it is.

    Raises
    ------
    DataError
        If it is text that is neither JSON nor the path of a file.
    """
    if isinstance(source, Path):
        return _file(source, report)
    if isinstance(source, bytes):
        source = source.decode("utf-8-sig", errors="replace")
    if not isinstance(source, str):
        return source
    # What begins like JSON is JSON: no trace export has a name that begins with a bracket.
    if source.lstrip("\ufeff \t\r\n")[:1] in ("{", "["):
        return _parse(source, "the text", report)
    if len(source) > _LONGEST_PATH or "\n" in source.strip():
        raise DataError(
            f"This text of {len(source):,} characters is neither JSON nor the path of a file.",
            fix="Pass the path of an export, its JSON text, or the parsed object.",
        )
    return _file(Path(source), report)


def _file(path: Path, report: TraceReport) -> Any:
    path = path.expanduser()
    if path.is_dir():
        return _folder(path, report)
    if not path.is_file():
        raise DataError(f"There is no file {path}.", fix="Pass the path of a trace export, or its JSON text.")
    return _parse(_text_of(path), str(path), report)


def _text_of(path: Path) -> str:
    """Return the text of a file, also of one that is compressed, as exports to object stores are."""
    data = path.read_bytes()
    try:
        plain = gzip.decompress(data) if data[:2] == _GZIP else data
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be unpacked: {error}", fix="Pass a whole file.") from None
    return plain.decode("utf-8-sig", errors="replace")


def _folder(path: Path, report: TraceReport) -> list[Any]:
    """Return what the files of a folder hold, each as it is; one that cannot be read is counted."""
    files = [each for each in sorted(path.rglob("*")) if each.suffix in _SUFFIXES and each.is_file()]
    found = []
    for each in files:
        try:
            found.append(_parse(_text_of(each), str(each), report))
        except (DataError, OSError) as error:
            report.leave_out("the file cannot be read", f"{each.relative_to(path)}: {error}"[:200])
    if not found:
        raise DataError(
            f"There is no trace export in {path}.",
            why=f"Of {len(files):,} files that end in .json or .jsonl none can be read.",
            fix="Pass the path of a trace export, or a folder of them.",
        )
    return found


def _parse(text: str, what: str, report: TraceReport) -> Any:
    text = text.lstrip("\ufeff")
    try:
        return parse(text)
    except (ValueError, RecursionError) as error:
        lines = [line for line in text.split("\n") if line.strip()]
        found = []
        for number, line in enumerate(lines, start=1):
            try:
                found.append(loads(line, max_depth=_DEEPEST))
            except Unreadable as problem:
                report.leave_out("the line cannot be read", f"line {number}: {problem}")
            except ValueError as problem:
                report.leave_out("the line is not valid JSON", f"line {number}: {problem}")
        if not found:
            reason = "is nested too deeply" if isinstance(error, RecursionError) else f"is not valid JSON: {error}"
            raise DataError(f"{what} {reason}", fix="Pass a trace export as JSON, or one object a line.") from None
        return found


def spans_in(value: Any, report: TraceReport) -> list[Span]:
    """Return the spans in parsed JSON or an iterable of spans; what is no span is counted in the report."""
    logs: list[Mapping[str, Any]] = []
    found = list(_walk(value, {}, logs, report))
    _attach(found, logs)
    report.sources.update(span.source for span in found)
    return found


def _walk(value: Any, holder: Mapping[str, Any], logs: list[Mapping[str, Any]], report: TraceReport) -> Iterator[Span]:
    if isinstance(value, Span):
        yield value
    elif callable(getattr(value, "to_json", None)) and hasattr(value, "attributes"):  # a ReadableSpan of the SDK
        yield span_from_dict(loads(value.to_json(), max_depth=_DEEPEST))
    elif agents_sdk.is_living(value):
        yield from _walk(agents_sdk.exported(value), holder, logs, report)
    elif callable(getattr(value, "to_dict", None)) and hasattr(value, "info") and hasattr(value, "data"):  # of MLflow
        yield from _walk(value.to_dict(), holder, logs, report)
    elif callable(getattr(value, "model_dump", None)) and hasattr(value, "run_type"):  # LangSmith's Run
        yield from _walk(value.model_dump(mode="json"), holder, logs, report)
    elif isinstance(value, Path):
        yield from _walk(load(value, report), holder, logs, report)
    elif isinstance(value, list) and (session := format_of(value)) is not None:
        yield from _session(session, value, report)
    elif hasattr(value, "columns") and callable(
        getattr(value, "to_dict", None)
    ):  # a data frame, as Phoenix's client has it
        yield from _walk(value.to_dict("records"), holder, logs, report)
    elif isinstance(value, Mapping):
        yield from _object(value, holder, logs, report)
    elif isinstance(value, Iterable) and not isinstance(value, (str, bytes)):
        for entry in value:
            yield from _walk(entry, holder, logs, report)
    else:
        report.leave_out("it is no object with fields", repr(value)[:80])


def _session(session: Format, lines: list[Any], report: TraceReport) -> Iterator[Span]:
    """Yield the answers in a session file; lines that are none of them are no spans that were left out."""
    readable = [line for line in lines if isinstance(line, Mapping) and _is_readable(line, report)]
    turns: list[Turn] = []
    try:
        turns.extend(session.turns_of(readable))
    except Exception as error:  # whatever it holds: what was read until then is there, and other files are
        report.leave_out("the rest of a session cannot be read", f"{session.NAME}: {type(error).__name__}")
    latest = 0.0
    for turn in turns:  # a file has its order, whatever the clock did meanwhile
        latest = max(latest, turn.start or 0.0)
        turn.start = latest or None
    if turns:
        report.notes[f"files of {session.NAME} do not hold {session.MISSING}"] += 1
    else:
        report.leave_out("a session without an answer", session.NAME)
    yield from turns


def _object(
    item: Mapping[str, Any], holder: Mapping[str, Any], logs: list[Mapping[str, Any]], report: TraceReport
) -> Iterator[Span]:
    resources = item.get("resourceSpans") or item.get("resource_spans")
    records = item.get("resourceLogs") or item.get("resource_logs")
    if isinstance(resources, list) or isinstance(records, list):
        for entry in _scoped(resources, ("scopeSpans", "scope_spans", "instrumentationLibrarySpans"), "spans"):
            if _is_readable(entry, report):
                yield span_from_dict(entry, "otlp")
        found = _scoped(records, ("scopeLogs", "scope_logs"), "logRecords")
        logs.extend(record for record in found if _is_readable(record, report))
    elif isinstance(item.get("scopeSpans"), list):  # a batch of Tempo's
        yield from _object({"resourceSpans": [item]}, holder, logs, report)
    elif source_of(item) or langfuse.recognises(item) or phoenix.recognises(item) or _is_span(item):
        if _is_readable(item, report):
            yield from _span(item, holder)
    else:
        yield from _inner(item, holder, logs, report)


def _span(item: Mapping[str, Any], holder: Mapping[str, Any]) -> Iterator[Span]:
    """Yield the span of an object that tells of one, whatever wrote it."""
    if (source := source_of(item)) is not None:
        yield source.span_of(item)
    elif langfuse.recognises(item):
        yield from langfuse.spans_of(item, holder)
    elif phoenix.recognises(item):
        yield phoenix.span_of(item)
    elif mlflow.recognises(item):
        yield mlflow.span_of(item, holder)
    else:
        yield span_from_dict(item)


def _inner(
    item: Mapping[str, Any], holder: Mapping[str, Any], logs: list[Mapping[str, Any]], report: TraceReport
) -> Iterator[Span]:
    """Yield the spans in an object that is none itself."""
    inner = [item[name] for name in _HOLDERS if isinstance(item.get(name), (list, Mapping))]
    level = int(holder.get(_LEVEL, 0)) + 1
    if not inner or level > _MOST_ENVELOPES:
        report.leave_out("it is no span", ", ".join(map(str, item))[:80] or "{}")
        return
    for part in inner:
        # Facts of the trace (its session, its scores) belong to the spans in it, or lie beside them.
        trace = item.get("trace")
        facts = {**item, **trace} if isinstance(trace, Mapping) else item
        if part is not trace or any(isinstance(trace.get(name), list) for name in _HOLDERS):
            yield from _walk(part, {**holder, **facts, _LEVEL: level}, logs, report)


def _is_readable(item: Mapping[str, Any], report: TraceReport) -> bool:
    """Return whether a span is nested no deeper than is read; one that is goes to the report."""
    try:
        check_depth(item, _DEEPEST)
    except Unreadable as error:
        report.leave_out("it cannot be read", str(error))
        return False
    return True


def _is_span(item: Mapping[str, Any]) -> bool:
    named = any(name in item for name in ("traceId", "trace_id", "spanId", "span_id", "context", "span_context"))
    return named and ("attributes" in item or "events" in item)


def _scoped(resources: Any, scopes: tuple[str, ...], leaf: str) -> Iterator[Mapping[str, Any]]:
    for resource in objects(resources):
        for name in scopes:
            for scope in objects(resource.get(name)):
                yield from objects(scope.get(leaf))


def _attach(spans: list[Span], logs: list[Mapping[str, Any]]) -> None:
    """Give each span the log records that name it as their span: there they are what span events are elsewhere."""
    by_id = {(span.trace_id, span.span_id): span for span in spans}
    for record in logs:
        key = (str(record.get("traceId") or ""), str(record.get("spanId") or ""))
        if key not in by_id:
            start = record.get("timeUnixNano") or record.get("observedTimeUnixNano")
            made = span_from_dict({"traceId": key[0], "spanId": key[1], "startTimeUnixNano": start}, "otlp")
            by_id[key] = made
            spans.append(made)
        by_id[key].events.append(event_from_dict(record))
