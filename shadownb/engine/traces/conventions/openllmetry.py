"""OpenLLMetry's indexed attributes: ``gen_ai.prompt.{i}.*``, ``gen_ai.completion.{i}.*``, ``llm.request.functions.{i}.*``.

Versions of 2024 wrote ``llm.prompts`` and ``llm.completions`` in the same way.
"""

from __future__ import annotations

from typing import Any

from shadownb.engine.traces.chat import chat_messages, tool_schemas
from shadownb.engine.traces.exchange import Exchange, choice, told_answers, wanted_choices, with_facts
from shadownb.engine.traces.spans import Attributes, Span

NAME = "openllmetry"
_PREFIXES = (("gen_ai.prompt", "gen_ai.completion"), ("llm.prompts", "llm.completions"))
_FIELDS = ("role", "content", "tool_call_id", "name", "reasoning_content", "reasoning")


def read(span: Span) -> Exchange | None:
    """Return the exchange, or None where the span has no such attributes."""
    for prompt, completion in _PREFIXES:
        inputs = [e for e in span.attributes.indexed(prompt) if e.any("role", "content", "tool_calls.")]
        outputs = [e for e in span.attributes.indexed(completion) if e.any("role", "content", "tool_calls.")]
        if inputs or outputs:
            break
    else:
        return None
    messages = [message for entry in inputs for message in chat_messages(_message(entry))]
    schemas = span.attributes.indexed("llm.request.functions")
    tools = tool_schemas([entry.to_dict() for entry in schemas])
    choices = told_answers(_choices(outputs), wanted_choices(span.attributes))
    return with_facts(Exchange(messages, choices, tools), span.attributes)


def _choices(outputs: list[Attributes]) -> list[dict[str, Any]]:
    found = []
    thought = ""
    for entry in outputs:
        if entry.get("role") == "thinking":  # Anthropic's thinking is written as a completion of its own
            thought = entry.text("content") or ""
            continue
        for message in chat_messages(_message(entry), "assistant")[-1:]:
            answer = {**message, "reasoning_content": thought} if thought else message
            found.append(choice(answer, entry.get("finish_reason")))
        thought = ""
    return found


def _message(entry: Attributes) -> dict[str, Any]:
    message = {name: value for name in _FIELDS if (value := entry.get(name)) is not None}
    calls = [{name: call.get(name) for name in ("id", "name", "arguments")} for call in entry.indexed("tool_calls")]
    return {**message, "tool_calls": calls} if calls else message
