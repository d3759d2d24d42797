"""Requests and responses as JSON: whole bodies, or messages, under one attribute each.

Bodies of OpenAI's chat and Responses APIs, of Anthropic's Messages and of LangChain, as ``input.value`` and ``output.value``
and their relatives (Logfire's ``request_data`` and ``response_data``) hold them. Plain text on both sides is a prompt and its
answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shadownb.engine.messages.values import from_json_text
from shadownb.engine.traces.chat import chat_messages, is_item, tool_schemas
from shadownb.engine.traces.exchange import Exchange, last_answer, tokens, with_facts
from shadownb.engine.traces.spans import Span

NAME = "openai-wire"

_PAIRS = (
    ("llm.input_messages", "llm.output_messages"),
    ("llm.request.messages", "llm.response.messages"),
    ("llm.prompts", "llm.responses"),
    ("llm.prompts", "llm.completions"),
    ("gen_ai.prompt", "gen_ai.completion"),
    ("ai.prompt.messages", "ai.response.text"),
    ("ai.prompt", "ai.response.text"),
    ("request_data", "response_data"),
    ("input.value", "output.value"),
)
_TOOLS = ("llm.tools", "gen_ai.request.tools", "gen_ai.tool.definitions", "ai.prompt.tools", "llm.request.tools")


def read(span: Span) -> Exchange | None:
    """Return the exchange, or None where the span has no such pair of attributes."""
    attributes = span.attributes
    for request, response in _PAIRS:
        given, answer = attributes.get(request), attributes.get(response)
        if response == "ai.response.text":
            answer = _vercel(answer, attributes.get("ai.response.toolCalls"))
        if isinstance(given, (str, Mapping, list)) and answer is not None:
            break
    else:
        return None
    exchange = exchange_of(given, answer)
    exchange.tools = exchange.tools or tool_schemas(attributes.first(*_TOOLS))
    parameters = from_json_text(attributes.get("llm.invocation_parameters"))
    if not exchange.tools and isinstance(parameters, Mapping):
        exchange.tools = tool_schemas(parameters.get("tools"))
    return with_facts(exchange, attributes)


def exchange_of(request: Any, response: Any) -> Exchange:
    """Return the exchange of a request and a response in any of the forms above."""
    request, response = from_json_text(request), from_json_text(response)
    body: Mapping[str, Any] = request if isinstance(request, Mapping) else {}
    if isinstance(body.get("kwargs"), Mapping):
        body = body["kwargs"]
    messages = chat_messages(body.get("system") or body.get("instructions"), "system")
    given = next((body[key] for key in ("messages", "input", "contents", "prompt") if body.get(key)), None)
    if given is None and "role" in body:
        given = body
    asked = given if given is not None else (request if not body else None)
    if isinstance(asked, list) and len(asked) == 1 and isinstance(asked[0], list):
        asked = asked[0]  # LangChain batches prompts
    asked, defined = _without_definitions(asked)
    messages += chat_messages(asked)
    answer: Mapping[str, Any] = response if isinstance(response, Mapping) else {}
    model = answer.get("model") or body.get("model")
    usage = tokens(answer.get("usage"))
    tools = tool_schemas(body.get("tools") or body.get("functions")) or defined
    return Exchange(messages, _choices(response), tools, str(model) if model else None, usage)


def _without_definitions(asked: Any) -> tuple[Any, list[dict[str, Any]]]:
    """Return messages without the tools among them, which Langfuse writes for LangChain as messages of a tool, and those tools."""
    if not isinstance(asked, list):
        return asked, []
    found = [tool_schemas([entry["content"]]) if _may_define(entry) else [] for entry in asked]
    rest = [entry for entry, tools in zip(asked, found, strict=True) if not tools]
    return rest, [tool for tools in found for tool in tools]


def _may_define(entry: Any) -> bool:
    is_tool = isinstance(entry, Mapping) and entry.get("role") == "tool" and not entry.get("tool_call_id")
    return is_tool and isinstance(entry.get("content"), Mapping)


def _choices(response: Any) -> list[dict[str, Any]]:
    if isinstance(response, Mapping):
        if isinstance(response.get("choices"), list):
            return [one for entry in response["choices"] for one in _choice(entry, entry)]
        if isinstance(response.get("generations"), list):
            flat = [g for batch in response["generations"] for g in (batch if isinstance(batch, list) else [batch])]
            return [one for entry in flat for one in _choice(entry, entry.get("generation_info") or {})]
        if isinstance(response.get("output"), (list, str)):
            answers = last_answer(chat_messages(response["output"], "assistant"))
            status = response.get("status")  # of the Responses API: "incomplete" where a limit or a filter ended it
            return [{**told, "finish_reason": status} for told in answers] if isinstance(status, str) else answers
        if is_item(response):
            return last_answer(chat_messages([response]))
        return _choice(response, response)
    return last_answer(chat_messages(response, "assistant"))


def _choice(entry: Any, holder: Any) -> list[dict[str, Any]]:
    facts = holder if isinstance(holder, Mapping) else {}
    about = facts.get("response_metadata")  # where LangChain keeps it
    places = [facts, about] if isinstance(about, Mapping) else [facts]
    reason = next((p[name] for p in places for name in ("finish_reason", "stop_reason") if p.get(name)), None)
    message = entry
    if isinstance(entry, Mapping) and not isinstance(entry.get("message"), Mapping) and "role" not in entry:
        message = {"content": entry.get("content", entry.get("text")), "tool_calls": entry.get("tool_calls")}
    return [
        {**told, **({"finish_reason": str(reason)} if reason else {})}
        for told in last_answer(chat_messages(message, "assistant"))
    ]


def _vercel(text: Any, calls: Any) -> Any:
    calls = from_json_text(calls)
    if text is None and not calls:
        return None
    blocks = [{"type": "tool-call", **call} for call in calls or [] if isinstance(call, Mapping)]
    return {"role": "assistant", "content": [*([{"type": "text", "text": text}] if text else []), *blocks]}
