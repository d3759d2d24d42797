"""The way back: recorded calls as spans of OpenTelemetry's GenAI convention, in OTLP's JSON, one request of an exporter a line.

Every tool that takes OTLP reads such a file (a collector's ``otlpjsonfile`` receiver does), and :func:`~shadownb.traces.from_otlp`
gives back the episodes that the calls had. What only a recorder knows (that an answer broke off, or rests on what the provider
kept) is told by the span's status and its finish reasons, so that no reader trains on it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from shadownb._version import __version__
from shadownb.engine.jsontext import dumps
from shadownb.engine.messages.values import from_json_text
from shadownb.engine.traces.exchange import WITHHELD
from shadownb.engine.traces.spans import EVALUATION
from shadownb.engine.trajectories.endings import ended_by_itself
from shadownb.engine.trajectories.identity import calls_of, reasoning_of

if TYPE_CHECKING:
    from shadownb.engine.capture.call import Call
    from shadownb.engine.capture.feedback import Score

_OPERATIONS = {"completions": "text_completion", "gemini": "generate_content"}
_PROVIDERS = {"messages": "anthropic", "gemini": "gcp.gemini"}
_PARAMETERS = {
    "temperature": "temperature", "top_p": "top_p", "top_k": "top_k", "max_tokens": "max_tokens", "seed": "seed",
    "max_completion_tokens": "max_tokens", "max_output_tokens": "max_tokens", "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty", "n": "choice.count",
}  # fmt: skip
_USAGE = {
    "prompt_tokens": "gen_ai.usage.input_tokens", "completion_tokens": "gen_ai.usage.output_tokens",
    "total_tokens": "gen_ai.usage.total_tokens", "cached_tokens": "gen_ai.usage.cache_read.input_tokens",
    "cache_write_tokens": "gen_ai.usage.cache_creation.input_tokens",
    "reasoning_tokens": "gen_ai.usage.reasoning.output_tokens",
}  # fmt: skip
_NO_ANSWER = ("error", "cut", "client_gone", "unread")
_CLIENT = 3  # SPAN_KIND_CLIENT
_PAGE = 100  # spans in a line


def otlp_lines(calls: Iterable[Call], scores: Mapping[str, Sequence[Score]] | None = None) -> Iterator[str]:
    """Yield OTLP's JSON of calls, in lines of a hundred spans.

    Parameters
    ----------
    scores
        What was said about calls, by their ids; it becomes events of their spans.
    """
    page: list[dict[str, Any]] = []

    def line() -> str:
        scope = {"name": "shadownb", "version": __version__}
        resource = {"attributes": [_attribute("service.name", "shadownb")]}
        return dumps({"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": scope, "spans": page}]}]})

    for call in calls:
        page.append(span_of_call(call, (scores or {}).get(call.id, ())))
        if len(page) == _PAGE:
            yield line()
            page = []
    if page:
        yield line()


def span_of_call(call: Call, scores: Sequence[Score] = ()) -> dict[str, Any]:
    """Return a call as a span in OTLP's JSON form."""
    start = int(call.started_at * 1e9)
    end = start + int((call.duration_s or 0.0) * 1e9)
    failed = call.status in _NO_ANSWER
    error = call.error or {}
    words = str(error.get("message") or call.unread or call.status) if failed else ""
    operation = _OPERATIONS.get(call.dialect, "chat")
    attributes = {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": "shadownb" if call.route == "local" else _PROVIDERS.get(call.dialect, "openai"),
        "gen_ai.request.model": call.model,
        "gen_ai.response.model": call.response_model,
        "gen_ai.response.id": call.response_id,
        "gen_ai.conversation.id": call.session,
        "gen_ai.response.finish_reasons": [_reason(call, choice) for choice in call.choices],
        "gen_ai.input.messages": dumps([_told(message) for message in call.messages]),
        "gen_ai.output.messages": dumps(
            [{**_told(choice["message"]), "finish_reason": _reason(call, choice)} for choice in call.choices]
        ),
        "gen_ai.tool.definitions": dumps(call.tools) if call.tools else None,
        "gen_ai.usage.cost": call.cost,
        WITHHELD: call.withheld,
        "error.type": str(error.get("type") or call.http_status or call.status) if failed else None,
        **{theirs: (call.usage or {}).get(ours) for ours, theirs in _USAGE.items()},
        **{f"gen_ai.request.{theirs}": call.request.get(ours) for ours, theirs in _PARAMETERS.items()},
        **{f"shadownb.tag.{name}": value for name, value in call.tags.items()},
    }
    return {
        "traceId": _digest(call.session or call.id, 16),
        "spanId": _digest(call.id, 8),
        "name": f"{operation} {call.model or ''}".strip(),
        "kind": _CLIENT,
        "startTimeUnixNano": str(start),
        "endTimeUnixNano": str(end),
        "attributes": [_attribute(name, value) for name, value in attributes.items() if value not in (None, [])],
        "events": [_event(score) for score in scores],
        "status": {"code": 2, "message": words} if failed else {"code": 1},
    }


def _reason(call: Call, choice: Mapping[str, Any]) -> str:
    """Return a finish reason. A reader takes none for the end of an answer, so an answer without an end is called incomplete."""
    reason = choice.get("finish_reason", call.finish_reason)
    if ended_by_itself(None, reason) and not ended_by_itself(call.dialect, reason):
        return "incomplete"
    return str(reason)


def _digest(text: str, size: int) -> str:
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=size).hexdigest()


def _event(score: Score) -> dict[str, Any]:
    held = {
        "gen_ai.evaluation.name": score.name,
        "gen_ai.evaluation.score.value": score.value,
        "gen_ai.evaluation.explanation": score.note or None,
    }
    attributes = [_attribute(name, value) for name, value in held.items() if value is not None]
    return {"name": EVALUATION, "timeUnixNano": str(int(score.at * 1e9)), "attributes": attributes}


def _attribute(name: str, value: Any) -> dict[str, Any]:
    return {"key": name, "value": _value(value)}


def _value(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, list):
        return {"arrayValue": {"values": [_value(each) for each in value]}}
    return {"stringValue": value if isinstance(value, str) else dumps(value)}


# -- messages ----------------------------------------------------------------------------------------------------------


def _told(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return a message in chat form as one of the convention."""
    role, content = str(message.get("role") or "user"), message.get("content")
    parts: list[dict[str, Any]] = []
    if reasoning := reasoning_of(message):
        parts.append({"type": "reasoning", "content": reasoning})
    if role == "tool":
        parts.append({"type": "tool_call_response", "id": message.get("tool_call_id"), "response": content})
    elif isinstance(content, list):
        parts += [_part(part) for part in content]
    elif content not in (None, ""):
        parts.append({"type": "text", "content": content})
    if refusal := message.get("refusal"):
        parts.append({"type": "text", "content": str(refusal)})
    for call in calls_of(message):
        arguments = from_json_text(call["arguments"])
        parts.append({"type": "tool_call", "id": call["id"], "name": call["name"], "arguments": arguments})
    for name in ("other_items", "other_blocks"):
        held = message.get(name)
        parts += [dict(each) for each in held if isinstance(each, Mapping)] if isinstance(held, list) else []
    given = message.get("name")
    return {"role": role, "parts": parts, **({"name": given} if isinstance(given, str) else {})}


def _part(part: Any) -> dict[str, Any]:
    if not isinstance(part, Mapping):
        return {"type": "text", "content": str(part)}
    if isinstance(part.get("text"), str):
        return {"type": "text", "content": part["text"]}
    picture = part.get("image_url")
    url = picture.get("url") if isinstance(picture, Mapping) else picture
    if part.get("type") == "image_url" and isinstance(url, str):
        kind, found, data = url.removeprefix("data:").partition(";base64,")
        if found and url.startswith("data:"):
            return {"type": "blob", "modality": "image", "mime_type": kind, "content": data}
        return {"type": "uri", "modality": "image", "uri": url}
    return dict(part)
