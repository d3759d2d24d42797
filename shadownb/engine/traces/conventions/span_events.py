"""Span events of OpenTelemetry's earlier GenAI convention: one ``gen_ai.*.message`` a message and a ``gen_ai.choice`` an answer.

What a message says stands in the event's attributes, in its body (events as log records), or as JSON under
``gen_ai.event.content``. Langtrace writes the whole prompt and answer into one ``gen_ai.content.*`` event each.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shadownb.engine.messages.values import from_json_text
from shadownb.engine.traces.chat import chat_messages, tool_schemas
from shadownb.engine.traces.exchange import Exchange, choice, one_answer, told_answers, wanted_choices, with_facts
from shadownb.engine.traces.spans import Event, Span, finite

NAME = "span-events"
_ROLES = {f"gen_ai.{role}.message": role for role in ("system", "user", "assistant", "tool")}
_WHOLE = {"gen_ai.content.prompt": "gen_ai.prompt", "gen_ai.content.completion": "gen_ai.completion"}


def read(span: Span) -> Exchange | None:
    """Return the exchange, or None where the span has no such events."""
    messages: list[dict[str, Any]] = []
    choices: list[dict[str, Any]] = []
    places: dict[int, list[dict[str, Any]]] = {}  # answers that name their place; several events may tell of one
    seen = False
    for event in span.events:
        if event.name in _ROLES:
            messages += _message(event, _ROLES[event.name])
        elif event.name == "gen_ai.choice":
            index = finite(_content(event).get("index"))
            held = choices if index is None else places.setdefault(int(index), [])
            held += _choice(event)
        elif event.name == "gen_ai.content.prompt":
            messages += chat_messages(event.attributes.get(_WHOLE[event.name]))
        elif event.name == "gen_ai.content.completion":
            answers = chat_messages(event.attributes.get(_WHOLE[event.name]), "assistant")
            choices += told_answers([choice(answer) for answer in answers], wanted_choices(span.attributes))
        else:
            continue
        seen = True
    if not seen:
        return None
    choices += [one_answer(told) for _, told in sorted(places.items()) if told]
    if not choices and messages and messages[-1]["role"] == "assistant":
        choices = [choice(messages.pop())]  # some write the answer as one more message
    definitions = span.attributes.first("gen_ai.tool.definitions", "gen_ai.request.tools", "llm.tools")
    return with_facts(Exchange(messages, choices, tool_schemas(definitions)), span.attributes)


def _content(event: Event) -> dict[str, Any]:
    held = from_json_text(event.attributes.get("gen_ai.event.content"))
    for candidate in (held, event.body):
        if isinstance(candidate, Mapping):
            return dict(candidate)
    found = event.attributes.to_dict()
    if isinstance(event.body, str):
        found.setdefault("content", event.body)
    return found


def _message(event: Event, role: str) -> list[dict[str, Any]]:
    found = {key: value for key, value in _content(event).items() if not key.startswith("gen_ai.")}
    found["tool_calls"] = from_json_text(found.get("tool_calls"))
    return chat_messages({**found, "role": role})


def _choice(event: Event) -> list[dict[str, Any]]:
    found = _content(event)
    message = from_json_text(found.get("message"))
    if isinstance(message, Mapping):
        message = dict(message)
    elif isinstance(message, list):  # the content blocks alone
        message = {"content": message}
    else:
        text = message if message is not None else found.get("content")
        message = {} if text is None else {"content": text}
    message["role"] = "assistant"
    message["tool_calls"] = from_json_text(message.get("tool_calls") or found.get("tool_calls"))
    if "content" not in message and not message["tool_calls"]:
        return []
    return [choice(answer, found.get("finish_reason")) for answer in chat_messages(message, "assistant")[-1:]]
