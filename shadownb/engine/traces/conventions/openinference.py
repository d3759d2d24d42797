"""OpenInference: ``llm.input_messages.{i}.message.*``, ``llm.output_messages.{i}.message.*``, ``llm.tools.{i}.tool.*``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shadownb.engine.messages.values import from_json_text
from shadownb.engine.traces.chat import chat_messages, tool_schemas
from shadownb.engine.traces.exchange import Exchange, choice, told_answers, wanted_choices, with_facts
from shadownb.engine.traces.spans import Attributes, Span

NAME = "openinference"


def read(span: Span) -> Exchange | None:
    """Return the exchange, or None where the span has no such messages."""
    inputs = [_message(entry) for entry in span.attributes.indexed("llm.input_messages") if entry.any("message.")]
    outputs = [_message(entry) for entry in span.attributes.indexed("llm.output_messages") if entry.any("message.")]
    if not inputs and not outputs:
        return None
    messages = [message for item in inputs for message in chat_messages(item)]
    reasons = _finish_reasons(span.attributes)
    choices = []
    for number, item in enumerate(outputs):
        reason = reasons[number] if number < len(reasons) else None
        choices += [choice(message, reason) for message in chat_messages(item, "assistant")[-1:]]
    choices = told_answers(choices, wanted_choices(span.attributes))
    return with_facts(Exchange(messages, choices, _tools(span.attributes)), span.attributes)


def _message(entry: Attributes) -> dict[str, Any]:
    message: dict[str, Any] = {}
    for name in ("role", "content", "tool_call_id", "name"):
        value = entry.get(f"message.{name}")
        if value is not None:
            message[name] = value
    parts = [_part(part) for part in entry.indexed("message.contents")]
    if parts:
        message["content"] = parts
    calls = [_call(call) for call in entry.indexed("message.tool_calls")]
    legacy = entry.get("message.function_call_name")
    if legacy:
        arguments = entry.get("message.function_call_arguments_json")
        calls.append({"function": {"name": legacy, "arguments": arguments}})
    if calls:
        message["tool_calls"] = calls
    return message


def _part(part: Attributes) -> dict[str, Any]:
    kind = part.text("message_content.type") or "text"
    if part.any("tool_call."):
        function = _call(part)["function"]
        return {
            "type": "tool_use",
            "id": part.get("tool_call.id"),
            "name": function["name"],
            "input": function["arguments"],
        }
    text = part.first("message_content.text", f"message_content.{kind}", "message_content.reasoning.text")
    if kind == "image":
        return {"type": "image_url", "image_url": {"url": part.get("message_content.image.image.url")}}
    return {"type": kind, "text": text} if isinstance(text, str) else {"type": kind}


def _call(call: Attributes) -> dict[str, Any]:
    function = {name: call.get(f"tool_call.function.{name}") for name in ("name", "arguments")}
    return {"id": call.get("tool_call.id"), "function": function}


def _tools(attributes: Attributes) -> list[dict[str, Any]]:
    found = []
    for entry in attributes.indexed("llm.tools"):
        schema = from_json_text(entry.get("tool.json_schema"))
        name, description = entry.text("tool.name"), entry.text("tool.description")
        if isinstance(schema, Mapping) and not tool_schemas(schema) and name:
            # Some providers' definition is the parameters alone; its name then stands beside it.
            schema = {"name": name, "description": description, "parameters": schema}
        found += tool_schemas(schema if schema is not None else {"name": name, "description": description})
    return found or tool_schemas(_parameters(attributes).get("tools"))


def _parameters(attributes: Attributes) -> Mapping[str, Any]:
    value = from_json_text(attributes.get("llm.invocation_parameters"))
    return value if isinstance(value, Mapping) else {}


def _finish_reasons(attributes: Attributes) -> list[Any]:
    raw = from_json_text(attributes.get("output.value"))
    choices = raw.get("choices") if isinstance(raw, Mapping) else None
    if not isinstance(choices, list):
        return []
    return [entry.get("finish_reason") for entry in choices if isinstance(entry, Mapping)]
