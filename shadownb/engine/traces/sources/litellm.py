"""LiteLLM: the standard payload that its callbacks and its gateway log, and rows of the gateway's spend logs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shadownb.engine.messages.values import from_json_text
from shadownb.engine.traces.spans import Attributes, Span, seconds

NAME = "litellm"


def recognises(item: Mapping[str, Any]) -> bool:
    """Whether an object is a logged call."""
    named = "litellm_call_id" in item or ("request_id" in item and "spend" in item)
    return named and "messages" in item and "call_type" in item


def span_of(item: Mapping[str, Any]) -> Span:
    """Return the span of a logged call."""

    def pick(*names: str) -> Any:
        return next((item[name] for name in names if item.get(name) not in (None, "")), None)

    parameters = from_json_text(item.get("model_parameters"))
    asked = from_json_text(item.get("proxy_server_request"))  # of the gateway, where it keeps whole requests
    body = asked.get("body") if isinstance(asked, Mapping) and isinstance(asked.get("body"), Mapping) else asked
    request = {**body} if isinstance(body, Mapping) and (body.get("messages") or body.get("input")) else {}
    response = from_json_text(item.get("response"))
    answer = response if isinstance(response, Mapping) else {}
    given = from_json_text(item.get("messages"))
    if not request:
        held = parameters if isinstance(parameters, Mapping) else {}
        request = {
            "messages": given,
            "tools": held.get("tools") or answer.get("tools"),
            "instructions": held.get("instructions") or answer.get("instructions"),
        }
    failed = str(pick("status") or "").lower() in ("failure", "error")
    about = item.get("error_information")
    words = about.get("error_message") if isinstance(about, Mapping) else None
    found = {
        "openinference.span.kind": _kind(str(item.get("call_type"))),
        "input.value": {key: value for key, value in request.items() if value is not None},
        "output.value": response if response != {} else None,
        "gen_ai.request.model": pick("model", "model_group"),
        "gen_ai.usage.input_tokens": pick("prompt_tokens"),
        "gen_ai.usage.output_tokens": pick("completion_tokens"),
        # Of a model without a price it says 0, and why that is no price.
        "gen_ai.usage.cost": None if item.get("response_cost_failure_debug_info") else pick("response_cost", "spend"),
        "session.id": pick("session_id"),
    }
    return Span(
        trace_id=str(pick("trace_id", "litellm_call_id", "request_id") or ""),
        span_id=str(pick("litellm_call_id", "request_id", "id") or ""),
        name=str(item.get("call_type") or ""),
        start=seconds(pick("startTime")),
        end=seconds(pick("endTime")),
        source=NAME,
        attributes=Attributes({key: value for key, value in found.items() if value is not None}),
        failure=str(pick("error_str") or words or "error")[:200] if failed else None,
    )


def _kind(call: str) -> str:
    """Return ``llm`` for the calls that have an answer in words: ``acompletion``, ``aresponses``, ``anthropic_messages``."""
    spoken = ("completion", "responses", "messages", "generate_content")
    return "llm" if any(word in call for word in spoken) else call or "unknown"
