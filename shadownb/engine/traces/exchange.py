"""Exchange: what a convention reads out of one span, a prompt and its answers, in the form that episodes are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shadownb.engine.messages.values import from_json_text
from shadownb.engine.traces.spans import Attributes, Span, finite
from shadownb.engine.trajectories.identity import text_of

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
WITHHELD = "shadownb.withheld"
"""The attribute that says why an answer which came whole is not trained."""
COST = ("gen_ai.usage.cost", "llm.cost.total", "gen_ai.usage.total_cost")
_MOST_TOKENS = 2**53


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


def wanted_choices(attributes: Attributes) -> int | None:
    """Return how many answers a request asked for, or its response holds; None where the span does not say."""
    response = from_json_text(attributes.get("output.value"))
    if isinstance(response, Mapping):
        for name in ("choices", "candidates", "generations"):
            if isinstance(response.get(name), list) and response[name]:
                return len(response[name])
        if isinstance(response.get("output"), list) or isinstance(response.get("content"), list):
            return 1  # items, or content blocks, of one answer
    count = finite(attributes.first("gen_ai.request.choice.count", "llm.request.n"))
    parameters = from_json_text(attributes.first("llm.invocation_parameters", "langfuse.observation.model.parameters"))
    if count is None and isinstance(parameters, Mapping):
        names = ("n", "candidate_count", "candidateCount")
        count = finite(next((parameters[name] for name in names if parameters.get(name) is not None), None))
        if count is None and parameters:
            return 1  # they are recorded, and more than one answer was not asked for
    return None if count is None else int(count)


def told_answers(found: list[dict[str, Any]], wanted: int | None) -> list[dict[str, Any]]:
    """Return the answers that several messages tell: each is one, or they are text, reasoning and calls of a single one.

    Where nothing says how many there should be, two that both have text are two.
    """
    if wanted is None:
        texts = sum(bool(text_of(entry["message"].get("content"))) for entry in found)
        wanted = len(found) if texts > 1 else 1
    if len(found) < 2 or wanted > 1:
        return found
    return [one_answer(found)]


def one_answer(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the answer that several messages tell together."""
    message: dict[str, Any] = {"role": "assistant", "content": None}
    for entry in found:
        given = entry["message"]
        for name, value in given.items():
            known = message.get(name)
            both = (
                isinstance(value, str) and isinstance(known, str),
                isinstance(value, list) and isinstance(known, list),
            )
            if name != "role" and value not in (None, "", []):
                message[name] = known + value if any(both) else value
    reasons = [entry["finish_reason"] for entry in found if entry.get("finish_reason")]
    return {"message": message, **({"finish_reason": reasons[-1]} if reasons else {})}


def last_answer(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the answer at the end of messages: the assistant's after all others, as one; an empty list where there is none."""
    answer: list[dict[str, Any]] = []
    for message in reversed(messages):
        if message.get("role") != "assistant" and answer:
            break
        answer.insert(0, choice(message))
        if message.get("role") != "assistant":
            break
    return [one_answer(answer)] if len(answer) > 1 else answer


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
    numbers = {name: finite(value) for name, value in found.items()}
    counts = {name: int(count) for name, count in numbers.items() if count is not None and 0 <= count <= _MOST_TOKENS}
    if "total_tokens" not in counts and {"prompt_tokens", "completion_tokens"} <= counts.keys():
        counts["total_tokens"] = counts["prompt_tokens"] + counts["completion_tokens"]
    return counts or None
