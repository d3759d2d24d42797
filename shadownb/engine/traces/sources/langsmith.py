"""LangSmith: runs as its client returns and its API exports them (``run_type``, ``inputs``, ``outputs``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shadownb.engine.messages.values import from_json_text
from shadownb.engine.traces.spans import Attributes, Span, finite, seconds

NAME = "langsmith"


def recognises(item: Mapping[str, Any]) -> bool:
    """Whether an object is a run."""
    return "run_type" in item and "inputs" in item and ("trace_id" in item or "dotted_order" in item)


def span_of(item: Mapping[str, Any]) -> Span:
    """Return the span of a run."""
    inputs, outputs = _object(item.get("inputs")), _object(item.get("outputs"))
    extra = _object(item.get("extra"))
    metadata = _object(extra.get("metadata"))
    usage = _object(outputs.get("usage_metadata")) or _object(metadata.get("usage_metadata"))
    # LangChain's models are given their tools beside the messages.
    parameters = _object(extra.get("invocation_params"))
    tools = inputs.get("tools") or parameters.get("tools") or parameters.get("functions")
    failure = item.get("error") or ("error" if item.get("status") == "error" else None)
    found = {
        "openinference.span.kind": item.get("run_type"),
        "input.value": {**inputs, "tools": tools} if tools and inputs else inputs or None,
        "output.value": outputs or None,
        "gen_ai.request.model": metadata.get("ls_model_name") or parameters.get("model") or inputs.get("model"),
        "gen_ai.usage.input_tokens": usage.get("input_tokens", item.get("prompt_tokens")),
        "gen_ai.usage.output_tokens": usage.get("output_tokens", item.get("completion_tokens")),
        "gen_ai.usage.cost": finite(item.get("total_cost")),
        "session.id": next(
            (metadata[key] for key in ("session_id", "thread_id", "conversation_id") if metadata.get(key)), None
        ),
        **_scores(item.get("feedback_stats")),
    }
    return Span(
        trace_id=str(item.get("trace_id") or ""),
        span_id=str(item.get("id") or ""),
        name=str(item.get("name") or ""),
        parent_id=str(item.get("parent_run_id") or "") or None,
        start=seconds(item.get("start_time")),
        end=seconds(item.get("end_time")),
        source=NAME,
        attributes=Attributes({key: value for key, value in found.items() if value is not None}),
        failure=str(failure)[:200] if failure else None,
    )


def _object(value: Any) -> Mapping[str, Any]:
    value = from_json_text(value)
    return value if isinstance(value, Mapping) else {}


def _scores(stats: Any) -> dict[str, Any]:
    """Return the means of what was said about a run, by name: ``reward_key`` finds them."""
    entries = stats.items() if isinstance(stats, Mapping) else ()
    return {str(name): entry.get("avg") for name, entry in entries if isinstance(entry, Mapping)}
