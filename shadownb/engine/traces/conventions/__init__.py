"""The conventions in which model calls are written into spans, in the order in which they are tried.

A convention is a module with ``NAME`` and ``read(span) -> Exchange | None``; None means that the span is not written in it.
To add one, write such a module and put it into :data:`CONVENTIONS`.
"""

from __future__ import annotations

from collections.abc import Callable

from shadownb.engine.traces.conventions import (
    langfuse,
    mlflow,
    openai_wire,
    openinference,
    openllmetry,
    otel_genai,
    phoenix,
    span_events,
)
from shadownb.engine.traces.exchange import Exchange
from shadownb.engine.traces.spans import Span

Reader = Callable[[Span], Exchange | None]

CONVENTIONS: dict[str, Reader] = {
    langfuse.NAME: langfuse.read,
    phoenix.NAME: phoenix.read,
    mlflow.NAME: mlflow.read,
    otel_genai.NAME: otel_genai.read,
    openinference.NAME: openinference.read,
    openllmetry.NAME: openllmetry.read,
    span_events.NAME: span_events.read,
    openai_wire.NAME: openai_wire.read,
}

__all__ = ["CONVENTIONS", "Reader"]
