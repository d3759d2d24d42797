"""MLflow: ``mlflow.spanInputs`` and ``mlflow.spanOutputs`` as JSON, ``mlflow.chat.tools``, ``mlflow.chat.tokenUsage``.

Its values are JSON texts throughout, also where they are names: ``"\\"CHAT_MODEL\\""``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from shadownb.engine.jsontext import loads_piece
from shadownb.engine.messages.values import from_json_text
from shadownb.engine.traces.chat import tool_schemas
from shadownb.engine.traces.conventions.openai_wire import exchange_of
from shadownb.engine.traces.exchange import Exchange, tokens, with_facts
from shadownb.engine.traces.spans import Attributes, Span, objects, span_from_dict

NAME = "mlflow"
INPUTS, OUTPUTS = "mlflow.spanInputs", "mlflow.spanOutputs"
_KIND = "mlflow.spanType"
_CALLS = ("CHAT_MODEL", "LLM")


def read(span: Span) -> Exchange | None:
    """Return the exchange, or None where this is no call of a model with inputs and outputs."""
    attributes = span.attributes
    given, answer = attributes.get(INPUTS), attributes.get(OUTPUTS)
    if given is None or answer is None or _name(attributes.get(_KIND)) not in _CALLS:
        return None
    exchange = exchange_of(given, _plain(answer))
    exchange.tools = tool_schemas(attributes.get("mlflow.chat.tools")) or exchange.tools
    exchange.usage = tokens(attributes.get("mlflow.chat.tokenUsage")) or exchange.usage
    exchange.model = exchange.model or _name(attributes.get("mlflow.llm.model"))
    return with_facts(exchange, attributes)


def recognises(item: Mapping[str, Any]) -> bool:
    """Whether an object is one of its spans."""
    held = item.get("attributes")
    return isinstance(held, Mapping) and any(str(name).startswith("mlflow.") for name in held)


def span_of(item: Mapping[str, Any], holder: Mapping[str, Any]) -> Span:
    """Return the span of an object; ``holder`` is the trace around it, which names its session and how it was judged."""
    span = span_from_dict(item, NAME)
    info = holder.get("info")
    about: Mapping[str, Any] = info if isinstance(info, Mapping) else {}
    held = about.get("trace_metadata") or about.get("request_metadata")
    session = _name(held.get("mlflow.trace.session")) if isinstance(held, Mapping) else None
    kind = _name(span.attributes.get(_KIND))
    found = {
        "openinference.span.kind": "llm" if kind in _CALLS else (kind or "unknown").lower(),
        "session.id": session,
        **dict(_scores(about.get("assessments"))),
    }
    span.attributes = Attributes({**span.attributes.to_dict(), **{k: v for k, v in found.items() if v is not None}})
    return span


def _scores(assessments: Any) -> Iterator[tuple[str, Any]]:
    for entry in objects(assessments):
        told = entry.get("feedback") or entry.get("expectation")
        if isinstance(told, Mapping) and not isinstance(told.get("value"), (Mapping, list)):
            yield str(entry.get("assessment_name") or entry.get("name")), told.get("value")


def _name(value: Any) -> str | None:
    found = _plain(value)
    return str(found) if found not in (None, "") else None


def _plain(value: Any) -> Any:
    """Return a value without the quotes of its JSON."""
    if isinstance(value, str) and value[:1] == '"':
        try:
            return loads_piece(value)
        except ValueError:
            return value
    return from_json_text(value)
