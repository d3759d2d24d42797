"""Span: one record of a trace, whatever wrote it, with attributes that are found under their dotted name in any form.

Three forms occur: OTLP's list of ``{"key", "value": {"stringValue": ...}}``, flat dicts with dotted names, and nested dicts.
Only a name that is asked for is looked up; values are never taken apart, so that a dot in somebody's JSON stays a dot.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from shadownb.engine.messages.values import from_json_text

EVALUATION = "gen_ai.evaluation.result"
"""The event with which the convention tells how well a call went."""
UNTOLD = "shadownb.untold"
"""The attribute with which a source says why a call's content is not there."""
_ANY_VALUE = ("stringValue", "intValue", "doubleValue", "boolValue", "arrayValue", "kvlistValue", "bytesValue")


def is_key_value_list(value: Any) -> bool:
    """Whether ``value`` is OTLP's list of keys and values."""
    return isinstance(value, list) and bool(value) and all(isinstance(e, Mapping) and "key" in e for e in value)


def any_value(value: Any) -> Any:
    """Return what an OTLP AnyValue holds; other values as they are.

    Its one field may be named in either of protobuf's two ways, and the fields that are not set may stand beside it as
    nulls, as Phoenix writes them.
    """
    if not isinstance(value, Mapping) or not value or not all(_camel(name) in _ANY_VALUE for name in value):
        return value
    kind, inner = next(((_camel(name), held) for name, held in value.items() if held is not None), ("", None))
    if inner is None:
        return None
    if kind == "intValue" and isinstance(inner, str):  # JSON carries 64-bit integers as text
        return int(inner) if inner.lstrip("-").isdecimal() else inner
    if kind in ("arrayValue", "kvlistValue"):
        values = inner.get("values") if isinstance(inner, Mapping) else None
        values = values if isinstance(values, list) else []
        return [any_value(entry) for entry in values] if kind == "arrayValue" else key_values(values)
    return inner


def _camel(name: Any) -> str:
    first, *rest = str(name).split("_")
    return first + "".join(part.capitalize() for part in rest)


def key_values(pairs: Any) -> dict[str, Any]:
    """Return OTLP's list of keys and values as a dict."""
    return {str(pair["key"]): any_value(pair.get("value")) for pair in objects(pairs) if "key" in pair}


def objects(value: Any) -> list[Mapping[str, Any]]:
    """Return the objects in a list; an empty list for anything else."""
    return [entry for entry in value if isinstance(entry, Mapping)] if isinstance(value, (list, tuple)) else []


class Attributes:
    """The attributes of a span, an event, or an entry of an indexed list."""

    def __init__(self, container: Any = None) -> None:
        if is_key_value_list(container):
            container = key_values(container)
        self._data: Mapping[str, Any] = container if isinstance(container, Mapping) else {}

    def __bool__(self) -> bool:
        return bool(self._data)

    def keys(self) -> list[str]:
        """Return the names as they stand in the container."""
        return list(self._data)

    def get(self, name: str) -> Any:
        """Return the value under a dotted name; None where there is none."""
        return _find(self._data, name)

    def first(self, *names: str) -> Any:
        """Return the value of the first of these names that has one."""
        return next((value for name in names if (value := self.get(name)) is not None), None)

    def text(self, *names: str) -> str | None:
        """Return the first of these names as text; None where there is none or it is empty."""
        value = self.first(*names)
        return str(value) if value not in (None, "") else None

    def any(self, *prefixes: str) -> bool:
        """Whether a name begins with one of these."""
        if any(key.startswith(prefixes) for key in self._data):
            return True
        return any(self.get(prefix.rstrip(".")) is not None for prefix in prefixes)

    def indexed(self, name: str) -> list[Attributes]:
        """Return the entries of a list: of ``name.0.x``, ``name.1.x``, or of a list of objects under ``name``."""
        value = from_json_text(self.get(name))
        if isinstance(value, Mapping):
            value = [value[key] for key in sorted((k for k in value if str(k).isdigit()), key=int)]
        if isinstance(value, (list, tuple)) and value:
            return [Attributes(entry) for entry in value]
        entries: dict[int, dict[str, Any]] = {}
        for holder, rest in _levels(self._data, name):
            for key, entry in holder.items():
                number, _, inner = key.removeprefix(rest).partition(".")
                if key.startswith(rest) and number.isdigit() and inner:
                    entries.setdefault(int(number), {})[inner] = entry
        return [Attributes(entries[number]) for number in sorted(entries)]

    def to_dict(self) -> dict[str, Any]:
        """Return the container."""
        return dict(self._data)


def _find(data: Mapping[str, Any], name: str) -> Any:
    if name in data:
        return data[name]
    at = name.rfind(".")
    while at > 0:
        inner = data.get(name[:at])
        if isinstance(inner, Mapping) and (value := _find(inner, name[at + 1 :])) is not None:
            return value
        at = name.rfind(".", 0, at)
    return None


def _levels(data: Mapping[str, Any], name: str) -> list[tuple[Mapping[str, Any], str]]:
    """Return each dict in which keys below ``name`` may stand, with the beginning they have there."""
    found = [(data, name + ".")]
    for at, letter in enumerate(name):
        inner = data.get(name[:at]) if letter == "." else None
        if isinstance(inner, Mapping):
            found += _levels(inner, name[at + 1 :])
    return found


@dataclass
class Event:
    """Something that happened within a span: its name, attributes, and body where it has one."""

    name: str
    attributes: Attributes
    body: Any = None


@dataclass
class Span:
    """One span.

    Attributes
    ----------
    trace_id, span_id, parent_id
        Its place in a trace.
    start, end
        Seconds since 1970; None where they are not known.
    kind
        The kind that the export gives outside the attributes, in capitals, as Phoenix does (``LLM``, ``CHAIN``, ...).
    source
        Which form it came in: ``otlp``, ``sdk``, ``langfuse`` or ``phoenix``.
    failure
        What its status says where it ended in an error; None for one that did not.
    """

    trace_id: str
    span_id: str
    name: str = ""
    parent_id: str | None = None
    start: float | None = None
    end: float | None = None
    kind: str | None = None
    source: str = "otlp"
    attributes: Attributes = field(default_factory=Attributes)
    events: list[Event] = field(default_factory=list)
    failure: str | None = None


def failure_of(item: Mapping[str, Any], attributes: Attributes) -> str | None:
    """Return why a span failed, as its status says it in any form; None where it did not."""
    status = item.get("status")
    holder: Mapping[str, Any] = status if isinstance(status, Mapping) else {"code": status}
    codes = (
        holder.get("code"), holder.get("status_code"), item.get("status_code"), item.get("statusCode"), item.get("level"),
        attributes.get("otel.status_code"), attributes.get("langfuse.observation.level"),
    )  # fmt: skip
    failed = any(str(code).upper().rpartition(".")[2] in ("2", "ERROR", "STATUS_CODE_ERROR") for code in codes)
    kind = attributes.text("error.type")
    if not failed and not kind:
        return None
    texts = (
        holder.get("message"), holder.get("description"), item.get("status_message"), item.get("statusMessage"),
        attributes.get("otel.status_description"), attributes.get("langfuse.observation.status_message"), kind,
    )  # fmt: skip
    return next((str(text)[:200] for text in texts if text), "error")


def span_from_dict(item: Mapping[str, Any], source: str | None = None) -> Span:
    """Return the span of one JSON object, in OTLP's form or that of the SDKs."""
    inner = item.get("context") or item.get("span_context")
    context: Mapping[str, Any] = inner if isinstance(inner, Mapping) else {}

    def pick(*names: str) -> Any:
        return next(
            (v for name in names for holder in (item, context) if (v := holder.get(name)) not in (None, "")), None
        )

    def identifier(*names: str) -> str | None:
        found = pick(*names)
        return None if found is None else str(found).removeprefix("0x")  # as the SDK's console exporter prints them

    attributes = Attributes(item.get("attributes"))
    return Span(
        trace_id=identifier("traceId", "trace_id", "context.trace_id") or "",
        span_id=identifier("spanId", "span_id", "context.span_id", "id") or "",
        name=str(item.get("name") or ""),
        parent_id=identifier("parentSpanId", "parent_span_id", "parent_id", "parentId"),
        start=seconds(pick("startTimeUnixNano", "start_time_unix_nano", "startTime", "start_time")),
        end=seconds(pick("endTimeUnixNano", "end_time_unix_nano", "endTime", "end_time")),
        kind=_text(item.get("span_kind")),
        source=source or ("otlp" if "traceId" in item else "sdk"),
        attributes=attributes,
        events=[event_from_dict(event) for event in objects(item.get("events"))],
        failure=failure_of(item, attributes),
    )


def event_from_dict(item: Mapping[str, Any]) -> Event:
    """Return the event of one JSON object; a log record is one as well."""
    attributes = Attributes(item.get("attributes"))
    name = item.get("name") or item.get("eventName") or item.get("event_name") or attributes.get("event.name") or ""
    body = any_value(item.get("body"))
    return Event(str(name), attributes, from_json_text(body))


def seconds(value: Any) -> float | None:
    """Return a time as seconds since 1970: from seconds, milli-, micro- or nanoseconds, or ISO 8601 text."""
    if value in (None, ""):
        return None
    if isinstance(value, datetime):
        return value.timestamp()
    number = finite(value)
    if number is None:
        try:
            return datetime.fromisoformat(str(value)).timestamp()
        except ValueError:
            return None
    # 10^11 seconds are the year 5138; anything larger counts in smaller units.
    while number > 1e11:
        number /= 1000
    return number


def finite(value: Any) -> float | None:
    """Return a number, also from text; None for anything else, NaN and infinities."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and not isinstance(value, bool) else None


def _text(value: Any) -> str | None:
    return None if value in (None, "") else str(value)
