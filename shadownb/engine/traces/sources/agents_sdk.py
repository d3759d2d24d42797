"""OpenAI's Agents SDK: traces and spans as its ``export()`` gives them, or as a processor of its tracing sees them.

A ``generation`` holds what was said. A ``response`` holds it in a living span alone: its export names the response, which the API
keeps, and nothing that was said.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shadownb.engine.traces.spans import UNTOLD, Attributes, Span, seconds

NAME = "agents-sdk"


def recognises(item: Mapping[str, Any]) -> bool:
    """Whether an object is one of its spans."""
    return item.get("object") == "trace.span" and isinstance(item.get("span_data"), Mapping)


def is_living(value: Any) -> bool:
    """Whether this is a span object of the SDK, not its export."""
    return callable(getattr(value, "export", None)) and hasattr(value, "span_data") and hasattr(value, "trace_id")


def exported(value: Any) -> dict[str, Any]:
    """Return the export of a living span, with what a ``response`` was asked and what it said."""
    found: dict[str, Any] = dict(value.export() or {})
    data = value.span_data
    response = getattr(data, "response", None)
    if found and response is not None and callable(getattr(response, "model_dump", None)):
        given = {"input": getattr(data, "input", None), "response": response.model_dump(exclude_none=True)}
        found["span_data"] = {**(found.get("span_data") or {}), **given}
    return found


def span_of(item: Mapping[str, Any]) -> Span:
    """Return the span of one exported span."""
    data: Mapping[str, Any] = item["span_data"]
    kind = str(data.get("type") or "")
    response = data.get("response")
    request: Any = data.get("input")
    if isinstance(response, Mapping):
        # The SDK passes instructions and tools beside the input, and the answer repeats them.
        request = {"instructions": response.get("instructions"), "input": request, "tools": response.get("tools")}
    output = response if isinstance(response, Mapping) else data.get("output")
    answers = (
        isinstance(output, list) and len(output) == 1 and isinstance(output[0], Mapping) and "message" in output[0]
    )
    usage = data.get("usage")
    found = {
        "openinference.span.kind": "llm" if kind in ("generation", "response") else kind or "span",
        "input.value": request,
        "output.value": {"choices": output} if answers else output,
        "gen_ai.request.model": data.get("model"),
        **(_tokens(usage) if isinstance(usage, Mapping) else {}),
    }
    error = item.get("error")
    if kind == "response" and not isinstance(response, Mapping):
        found[UNTOLD] = (
            "its export names the answer, which the API keeps; capture, or a processor of the SDK's tracing, holds it"
        )
    return Span(
        trace_id=str(item.get("trace_id") or ""),
        span_id=str(item.get("id") or ""),
        name=str(data.get("name") or kind),
        parent_id=str(item.get("parent_id") or "") or None,
        start=seconds(item.get("started_at")),
        end=seconds(item.get("ended_at")),
        source=NAME,
        attributes=Attributes({key: value for key, value in found.items() if value is not None}),
        failure=str(error.get("message") or "error")[:200] if isinstance(error, Mapping) else None,
    )


def _tokens(usage: Mapping[str, Any]) -> dict[str, Any]:
    return {
        f"gen_ai.usage.{name}": usage.get(name)
        for name in ("input_tokens", "output_tokens")
        if usage.get(name) is not None
    }
