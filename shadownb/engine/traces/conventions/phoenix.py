"""Phoenix: spans as its REST API and client return them, and rows of its data frames (``attributes.llm.input_messages``).

What a span says is OpenInference; what is Phoenix's own is the envelope, and that attributes come nested, flat, or as columns.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from shadownb.engine.traces.conventions import openinference
from shadownb.engine.traces.exchange import Exchange
from shadownb.engine.traces.spans import Span, span_from_dict

NAME = "phoenix"
_COLUMN = "attributes."


def read(span: Span) -> Exchange | None:
    """Return the exchange of a span that came in Phoenix's envelope, or None."""
    return openinference.read(span) if span.source == NAME else None


def recognises(item: Mapping[str, Any]) -> bool:
    """Whether an object is a span or a row of Phoenix: a span kind beside the attributes, or attributes as columns."""
    columns = any(isinstance(key, str) and key.startswith(_COLUMN) for key in item)
    context = item.get("context")
    nested = isinstance(context, Mapping) and "trace_id" in context and "attributes" in item
    return (columns and "context.trace_id" in item) or (nested and isinstance(item.get("span_kind"), str))


def span_of(item: Mapping[str, Any]) -> Span:
    """Return the span of one object or row."""
    columns = {key[len(_COLUMN) :]: value for key, value in item.items() if key.startswith(_COLUMN)}
    attributes = item.get("attributes") or {key: value for key, value in columns.items() if _is_set(value)}
    return span_from_dict({**item, "attributes": attributes}, NAME)


def _is_set(value: Any) -> bool:
    # Rows of a data frame have every column of the whole set, NaN or null where the span has no value.
    return value is not None and value != "" and not (isinstance(value, float) and math.isnan(value))
