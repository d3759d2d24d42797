"""Exchange: what a convention reads out of one span, a prompt and its answers, in the form that episodes are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shadownb.engine.data.messages import from_json_text
from shadownb.engine.traces.spans import Attributes, Span, finite

MODEL = (
    "gen_ai.response.model", "gen_ai.request.model", "llm.response.model", "llm.request.model", "llm.model_name",
    "langfuse.observation.model.name", "ai.model.id",
)  # fmt: skip
CONVERSATION = (
    "gen_ai.conversation.id", "session.id", "langfuse.session.id", "traceloop.association.properties.session_id",
    "traceloop.association.properties.conversation_id", "traceloop.association.properties.thread_id", "thread.id",
)  # fmt: skip
USAGE = {
    "prompt_tokens": (
        "gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.token_count.prompt", "llm.usage.prompt_tokens",
    ),
    "completion_tokens": (
        "gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens", "llm.token_count.completion",
        "llm.usage.completion_tokens",
    ),
    "total_tokens": ("gen_ai.usage.total_tokens", "llm.usage.total_tokens", "llm.token_count.total"),
    "cached_tokens": (
        "gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_read_input_tokens",
        "llm.token_count.prompt_details.cache_read",
    ),
}  # fmt: skip
COST = ("gen_ai.usage.cost", "llm.cost.total", "gen_ai.usage.total_cost")


@dataclass
class Exchange:
    """One model call as a span tells it.

    Attributes
    ----------
    messages
        The prompt, as chat messages.
    choices
        ``{"message", "finish_reason"}`` each.
    tools
        Tool schemas; empty where the span has none.
    model, usage, cost
        What is known of the call.
    """

    messages: list[dict[str, Any]]
    choices: list[dict[str, Any]]
    tools: list[dict[str, Any]] = field(default_factory=list)
    model: str | None = None
    usage: dict[str, int] | None = None
    cost: float | None = None


def with_facts(exchange: Exchange, attributes: Attributes) -> Exchange:
    """Fill in model, usage, cost and finish reasons from the names that conventions share."""
    exchange.model = exchange.model or attributes.text(*MODEL)
    exchange.usage = exchange.usage or _usage(attributes)
    if exchange.cost is None:
        exchange.cost = finite(attributes.first(*COST))
    reasons = from_json_text(attributes.first("gen_ai.response.finish_reasons", "llm.finish_reason"))
    reasons = reasons if isinstance(reasons, (list, tuple)) else [reasons]
    for choice, reason in zip(exchange.choices, reasons, strict=False):
        choice.setdefault("finish_reason", reason)
    return exchange


def choice(message: dict[str, Any], finish_reason: Any = None) -> dict[str, Any]:
    """Return one answer; without a reason, none is claimed."""
    answer = {**message, "role": "assistant"}
    return {"message": answer, "finish_reason": str(finish_reason)} if finish_reason else {"message": answer}


def conversation_of(span: Span) -> str | None:
    """Return the id of the conversation that a span belongs to; None where it names none."""
    return span.attributes.text(*CONVERSATION)


def tokens(details: Any) -> dict[str, int] | None:
    """Return usage under OpenAI's names, from the names of any provider."""
    details = from_json_text(details)
    if not isinstance(details, Mapping):
        return None
    names = {
        "prompt_tokens": ("prompt_tokens", "input_tokens", "input", "promptTokens", "inputTokens"),
        "completion_tokens": ("completion_tokens", "output_tokens", "output", "completionTokens", "outputTokens"),
        "total_tokens": ("total_tokens", "total", "totalTokens"),
    }
    return _counts({name: next((details[k] for k in keys if details.get(k)), None) for name, keys in names.items()})


def _usage(attributes: Attributes) -> dict[str, int] | None:
    return _counts({name: attributes.first(*names) for name, names in USAGE.items()})


def _counts(found: Mapping[str, Any]) -> dict[str, int] | None:
    counts = {name: int(count) for name, value in found.items() if (count := finite(value)) is not None}
    if "total_tokens" not in counts and {"prompt_tokens", "completion_tokens"} <= counts.keys():
        counts["total_tokens"] = counts["prompt_tokens"] + counts["completion_tokens"]
    return counts or None
