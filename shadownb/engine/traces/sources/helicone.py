"""Helicone: what its manual loggers send (``providerRequest``, ``providerResponse``), and requests as its API exports them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shadownb.engine.capture.dialects import dialect
from shadownb.engine.jsontext import dumps
from shadownb.engine.messages.values import from_json_text
from shadownb.engine.traces.spans import Attributes, Span, finite, seconds

NAME = "helicone"


def recognises(item: Mapping[str, Any]) -> bool:
    """Whether an object is one of its records."""
    sent = isinstance(item.get("providerRequest"), Mapping) and isinstance(item.get("providerResponse"), Mapping)
    return sent or ("request_body" in item and "response_body" in item and "request_id" in item)


def span_of(item: Mapping[str, Any]) -> Span:
    """Return the span of a record."""
    return _logged(item) if "providerRequest" in item else _exported(item)


def _logged(item: Mapping[str, Any]) -> Span:
    request, response = item["providerRequest"], item["providerResponse"]
    meta = request.get("meta")
    about = {str(key).lower(): value for key, value in meta.items()} if isinstance(meta, Mapping) else {}
    timing = item.get("timing")
    times = timing if isinstance(timing, Mapping) else {}
    return _span(
        request.get("json"),
        response.get("json") or _streamed(response.get("textBody")),
        identifier=about.get("helicone-request-id"),
        session=about.get("helicone-session-id"),
        status=response.get("status"),
        start=_moment(times.get("startTime")),
        end=_moment(times.get("endTime")),
    )


def _exported(item: Mapping[str, Any]) -> Span:
    def pick(*names: str) -> Any:
        return next((item[name] for name in names if item.get(name) not in (None, "")), None)

    start, delay = seconds(pick("request_created_at", "created_at")), finite(pick("delay_ms", "latency"))
    end = seconds(pick("response_created_at")) or (start + delay / 1000 if start and delay is not None else None)
    properties = from_json_text(pick("request_properties", "properties"))
    found = _span(
        item.get("request_body"),
        item.get("response_body"),
        identifier=pick("request_id"),
        session=properties.get("Helicone-Session-Id") if isinstance(properties, Mapping) else None,
        status=pick("response_status", "status"),
        start=start,
        end=end,
    )
    facts = {
        "gen_ai.request.model": pick("request_model", "model", "response_model"),
        "gen_ai.usage.input_tokens": pick("prompt_tokens"),
        "gen_ai.usage.output_tokens": pick("completion_tokens"),
        "gen_ai.usage.cost": pick("cost", "costUSD"),
    }
    known = {key: value for key, value in facts.items() if value is not None}
    found.attributes = Attributes({**found.attributes.to_dict(), **known})
    return found


def _span(
    request: Any, response: Any, *, identifier: Any, session: Any, status: Any, start: float | None, end: float | None
) -> Span:
    request, response = from_json_text(request), from_json_text(response)
    code = finite(status)
    failed = code is not None and not 200 <= code < 300
    answer = response if isinstance(response, Mapping) else {}
    error = answer.get("error")
    found = {
        "openinference.span.kind": "llm",
        "input.value": request,
        "output.value": response,
        "session.id": session,
        "gen_ai.request.model": request.get("model") if isinstance(request, Mapping) else None,
    }
    name = str(identifier or f"{answer.get('id') or 'request'}-{start}")  # a gateway may give one id to many answers
    return Span(
        trace_id=name,
        span_id=name,
        name="request",
        start=start,
        end=end,
        source=NAME,
        attributes=Attributes({key: value for key, value in found.items() if value is not None}),
        failure=(str(error)[:200] if error else f"status {code:g}") if failed and code is not None else None,
    )


def _streamed(body: Any) -> Any:
    """Return the answer in the body of a stream: its chunks one a line, or as events; a text that is neither as it is."""
    if not isinstance(body, str) or not body.strip():
        return None
    parts = [line.removeprefix("data:").strip() for line in body.splitlines()]
    chunks = [chunk for part in parts if isinstance(chunk := from_json_text(part), Mapping)]
    if not chunks:
        return body
    kind = str(chunks[0].get("type") or "")
    wire = "messages" if kind == "message_start" else "responses" if kind.startswith("response.") else "chat"
    events = b"".join(b"data: " + dumps(chunk).encode() + b"\n\n" for chunk in chunks)
    return dialect(wire).response(events, streamed=True)


def _moment(value: Any) -> float | None:
    """Return a time in seconds, of ``{"seconds": ..., "milliseconds": ...}``."""
    if not isinstance(value, Mapping):
        return seconds(value)
    whole, rest = finite(value.get("seconds")), finite(value.get("milliseconds"))
    return None if whole is None else whole + (rest or 0.0) / 1000
