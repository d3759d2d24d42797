"""Records of tools that are no OpenTelemetry spans: one module a tool, which makes a span of one of its objects.

A source is a module with ``NAME``, ``recognises(item)`` and ``span_of(item)``. The span holds request and answer as JSON under
``input.value`` and ``output.value``, as :mod:`~shadownb.engine.traces.conventions.openai_wire` reads them. To add one, write such
a module and put it into :data:`SOURCES`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from shadownb.engine.traces.sources import agents_sdk, helicone, langsmith, litellm
from shadownb.engine.traces.spans import Span


class Source(Protocol):
    """What a module in this room has."""

    NAME: str

    def recognises(self, item: Mapping[str, Any], /) -> bool: ...

    def span_of(self, item: Mapping[str, Any], /) -> Span: ...


SOURCES: tuple[Source, ...] = (agents_sdk, langsmith, litellm, helicone)


def source_of(item: Mapping[str, Any]) -> Source | None:
    """Return the source that an object comes from; None where it is none of theirs."""
    return next((source for source in SOURCES if source.recognises(item)), None)


__all__ = ["SOURCES", "Source", "source_of"]
