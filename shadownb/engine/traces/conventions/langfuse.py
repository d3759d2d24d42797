"""Langfuse: exports of traces, sessions and observations, and the attributes of its own SDK on OpenTelemetry spans.

An observation of type ``GENERATION`` is a model call; its input and output are what was passed to the SDK, in any of the forms
that :mod:`openai_wire` reads. Scores of an export become ``langfuse.score.<name>``, for ``reward_key``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from shadownb.engine.messages.values import from_json_text
from shadownb.engine.traces.conventions.openai_wire import exchange_of
from shadownb.engine.traces.exchange import Exchange, tokens, with_facts
from shadownb.engine.traces.spans import Attributes, Span, failure_of, finite, seconds

NAME = "langfuse"
_PREFIX = "langfuse.observation."
_TYPES = ("GENERATION", "SPAN", "EVENT", "AGENT", "TOOL", "CHAIN", "RETRIEVER", "EVALUATOR", "EMBEDDING", "GUARDRAIL")


def read(span: Span) -> Exchange | None:
    """Return the exchange, or None where this is no generation with input and output."""
    attributes = span.attributes
    if str(attributes.get(_PREFIX + "type") or "").lower() != "generation":
        return None
    given, answer = attributes.get(_PREFIX + "input"), attributes.get(_PREFIX + "output")
    if given is None or answer is None:
        return None
    exchange = exchange_of(given, answer)
    parameters = from_json_text(attributes.get(_PREFIX + "model.parameters"))
    if not exchange.tools and isinstance(parameters, Mapping) and parameters.get("tools"):
        exchange.tools = exchange_of({"tools": parameters["tools"]}, "").tools
    exchange.usage = tokens(attributes.get(_PREFIX + "usage_details")) or exchange.usage
    costs = from_json_text(attributes.get(_PREFIX + "cost_details"))
    exchange.cost = finite(costs.get("total")) if isinstance(costs, Mapping) else None
    return with_facts(exchange, attributes)


def recognises(item: Mapping[str, Any]) -> bool:
    """Whether an object of an export is an observation."""
    named = any(key in item for key in ("traceId", "trace_id")) and ("startTime" in item or "start_time" in item)
    return named and str(item.get("type") or "").upper() in _TYPES


def spans_of(item: Mapping[str, Any], trace: Mapping[str, Any]) -> Iterator[Span]:
    """Yield the span of an observation; ``trace`` is the object that holds it, for its session and scores."""

    def pick(*names: str) -> Any:
        return next((item[name] for name in names if item.get(name) is not None), None)

    attributes = {
        _PREFIX + "type": str(item.get("type")).lower(),
        _PREFIX + "input": pick("input"),
        _PREFIX + "output": pick("output"),
        _PREFIX + "model.name": pick("model", "providedModelName", "provided_model_name"),
        _PREFIX + "model.parameters": pick("modelParameters", "model_parameters"),
        _PREFIX + "usage_details": pick("usageDetails", "usage_details", "usage"),
        _PREFIX + "cost_details": pick("costDetails", "cost_details")
        or {"total": pick("totalCost", "total_cost", "calculatedTotalCost")},
        "session.id": pick("sessionId", "session_id") or trace.get("sessionId") or trace.get("session_id"),
        **_scores(trace, str(item.get("id"))),
    }
    held = Attributes({key: value for key, value in attributes.items() if value is not None})
    yield Span(
        trace_id=str(pick("traceId", "trace_id") or ""),
        span_id=str(item.get("id") or ""),
        name=str(item.get("name") or ""),
        parent_id=str(pick("parentObservationId", "parent_observation_id") or "") or None,
        start=seconds(pick("startTime", "start_time")),
        end=seconds(pick("endTime", "end_time")),
        source=NAME,
        attributes=held,
        failure=failure_of(item, held),
    )


def _scores(trace: Mapping[str, Any], observation: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    scores = trace.get("scores")
    for score in scores if isinstance(scores, list) else []:
        if isinstance(score, Mapping) and score.get("observationId") in (None, "", observation):
            found[f"langfuse.score.{score.get('name')}"] = score.get("value")
    return found
