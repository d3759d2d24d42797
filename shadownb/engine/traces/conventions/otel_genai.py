"""OpenTelemetry's GenAI convention: ``gen_ai.input.messages`` and ``gen_ai.output.messages`` with typed parts.

On the span itself, as structure or as JSON text, or on its ``gen_ai.client.inference.operation.details`` event.
"""

from __future__ import annotations

from shadownb.engine.messages.values import from_json_text
from shadownb.engine.traces.chat import chat_messages, tool_schemas
from shadownb.engine.traces.exchange import Exchange, choice, told_answers, wanted_choices, with_facts
from shadownb.engine.traces.spans import Attributes, Span

NAME = "otel-genai"
DETAILS = "gen_ai.client.inference.operation.details"


def read(span: Span) -> Exchange | None:
    """Return the exchange, or None where the span has no such messages."""
    holders = [span.attributes, *(event.attributes for event in span.events if event.name == DETAILS)]
    holders += [Attributes(event.body) for event in span.events if event.name == DETAILS]
    holder = next((h for h in holders if h.any("gen_ai.input.messages", "gen_ai.output.messages")), None)
    if holder is None:
        return None
    messages = chat_messages(holder.get("gen_ai.input.messages"))
    # Instructions are parts without a role, or (as some write them) text.
    given = from_json_text(holder.get("gen_ai.system_instructions"))
    system = chat_messages([{"role": "system", "parts": given}] if isinstance(given, list) else given, "system")
    if system and messages[:1] != system:
        messages = system + messages
    outputs = from_json_text(holder.get("gen_ai.output.messages"))
    outputs = outputs if isinstance(outputs, list) else [outputs]
    choices = []
    for output in outputs:
        reason = output.get("finish_reason") if isinstance(output, dict) else None
        choices += [choice(message, reason) for message in chat_messages(output, "assistant")[-1:]]
    choices = told_answers(choices, wanted_choices(span.attributes))
    tools = tool_schemas(holder.first("gen_ai.tool.definitions", "gen_ai.request.tools"))
    return with_facts(Exchange(messages, choices, tools), span.attributes)
