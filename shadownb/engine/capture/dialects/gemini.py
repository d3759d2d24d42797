"""Gemini's own API: contents with parts in place of messages, the model in the path, streams without an end of their own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from shadownb.engine.capture.dialects import offered
from shadownb.engine.capture.dialects.base import (
    Dialect,
    Facts,
    WireError,
    counts,
    error_of,
    listed,
    mapped,
    need,
    place_of,
)
from shadownb.engine.capture.sse import Event
from shadownb.engine.jsontext import Unreadable, dumps, loads

_USAGE = {
    "promptTokenCount": "prompt_tokens",
    "candidatesTokenCount": "completion_tokens",
    "totalTokenCount": "total_tokens",
    "cachedContentTokenCount": "cached_tokens",
    "thoughtsTokenCount": "reasoning_tokens",
}
_STATUS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
}


class GeminiDialect(Dialect):
    """``/v1beta/models/NAME:generateContent`` and ``:streamGenerateContent``."""

    name = "gemini"
    path = ""  # the model is in it: see :mod:`shadownb.engine.capture.routes`
    end_marks = ()
    end_fields = (b'"finishReason"',)

    def check(self, request: dict[str, Any]) -> None:
        need(request, "contents", (str, list, dict), required=True)

    # -- requests -------------------------------------------------------------------------------------------------

    def messages(self, request: dict[str, Any]) -> list[dict[str, Any]]:
        system = _text(_parts(_either(request, "systemInstruction")))
        found: list[dict[str, Any]] = [{"role": "system", "content": system}] if system else []
        given = request.get("contents")
        for content in _turns(given if isinstance(given, list) else [given]):
            if isinstance(content, str):
                found.append({"role": "user", "content": content})
            elif isinstance(content, dict):
                found += _messages(content)
        return found

    def hidden(self, request: dict[str, Any]) -> str | None:
        return "a part of its prompt is cached at the provider" if _either(request, "cachedContent") else None

    def tool(self, tool: dict[str, Any]) -> list[dict[str, Any]]:
        declared = [each for each in listed(_either(tool, "functionDeclarations")) if isinstance(each, dict)]
        return [offered.function(f.get("name"), f.get("description"), _plain_schema(_schema_of(f))) for f in declared]

    # -- answers --------------------------------------------------------------------------------------------------

    def response(self, body: bytes, *, streamed: bool) -> dict[str, Any]:
        if (
            not streamed and body.lstrip()[:1] == b"["
        ):  # a stream that was not asked for as events: one list of its chunks
            try:
                return self._joined([chunk for chunk in loads(body) if isinstance(chunk, dict)])
            except Unreadable:
                raise
            except ValueError:
                raise Unreadable("it is no JSON") from None
        return super().response(body, streamed=streamed)

    def rebuild(self, stream: Sequence[Event]) -> dict[str, Any]:
        return self._joined([event.json() for event in stream])

    def _joined(self, chunks: list[dict[str, Any]]) -> dict[str, Any]:
        whole: dict[str, Any] = {}
        candidates: dict[int, dict[str, Any]] = {}
        for chunk in chunks:
            for candidate in listed(chunk.get("candidates")):
                if isinstance(candidate, dict):
                    total = candidates.setdefault(
                        place_of(candidate, "index"), {"content": {"role": "model", "parts": []}}
                    )
                    total["content"]["parts"] += _parts(candidate.get("content"))
                    total.update(
                        {key: value for key, value in candidate.items() if key != "content" and value is not None}
                    )
            whole.update({key: value for key, value in chunk.items() if key != "candidates" and value is not None})
        if candidates:
            whole["candidates"] = [candidates[index] for index in sorted(candidates)]
        return whole

    def choices(self, response: dict[str, Any]) -> list[dict[str, Any]]:
        return [
            {
                "index": candidate.get("index", number),
                "message": _assistant(_parts(candidate.get("content"))),
                "finish_reason": candidate.get("finishReason"),
            }
            for number, candidate in enumerate(listed(response.get("candidates")))
            if isinstance(candidate, dict)
        ]

    def response_facts(self, response: dict[str, Any]) -> Facts:
        first = next((c for c in listed(response.get("candidates")) if isinstance(c, dict)), {})
        blocked = mapped(response.get("promptFeedback")).get("blockReason")
        reason = first.get("finishReason") or blocked
        usage = counts(response.get("usageMetadata"), _USAGE)
        if usage is not None and "reasoning_tokens" in usage:  # they are billed as output, and counted beside it
            usage["completion_tokens"] = usage.get("completion_tokens", 0) + usage["reasoning_tokens"]
        return Facts(
            model=response.get("modelVersion") if isinstance(response.get("modelVersion"), str) else None,
            response_id=response.get("responseId") if isinstance(response.get("responseId"), str) else None,
            usage=usage,
            finish_reason=reason if isinstance(reason, str) else None,
            whole=isinstance(reason, str) or error_of(response) is not None,
            error=error_of(response),
        )

    def stream_facts(self, stream: Iterator[Event]) -> Facts:
        return self.response_facts(self.rebuild(list(stream)))

    def error(self, error: WireError) -> dict[str, Any]:
        status = _STATUS.get(error.status, "INVALID_ARGUMENT" if error.status < 500 else "INTERNAL")
        return {"error": {"code": error.status, "message": error.message, "status": status}}


def _either(value: Any, name: str) -> Any:
    """Return a field under its name in JSON or in protobuf: both are taken by the API, and both are sent."""
    fields = mapped(value)
    snake = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
    return fields.get(name, fields.get(snake))


def _parts(content: Any) -> list[dict[str, Any]]:
    if isinstance(content, str):
        return [{"text": content}]
    given = mapped(content).get("parts")
    return [part for part in (given if isinstance(given, list) else [given]) if isinstance(part, dict)]


def _turns(contents: list[Any]) -> list[Any]:
    """Return contents with an answer that was streamed as one: clients send its chunks back as contents of their own."""
    found: list[Any] = []
    for content in contents:
        last = found[-1] if found else None
        if mapped(content).get("role") == "model" and mapped(last).get("role") == "model":
            found[-1] = {"role": "model", "parts": [*_parts(last), *_parts(content)]}
        else:
            found.append(content)
    return found


def _text(parts: list[dict[str, Any]]) -> str:
    return "".join(part["text"] for part in parts if isinstance(part.get("text"), str) and not part.get("thought"))


def _messages(content: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a turn in chat form: results of functions as messages of their own, then the rest."""
    parts = _parts(content)
    if content.get("role") == "model":
        return [_assistant(parts)]
    found: list[dict[str, Any]] = []
    rest: list[dict[str, Any]] = []
    for part in parts:
        result = _either(part, "functionResponse")
        if isinstance(result, dict):
            identifier = {"tool_call_id": result["id"]} if result.get("id") else {}
            found.append(
                {"role": "tool", **identifier, "name": result.get("name"), "content": dumps(result.get("response"))}
            )
        else:
            rest.append(part)
    if not rest:
        return found
    if all(isinstance(part.get("text"), str) for part in rest):
        return [*found, {"role": "user", "content": _text(rest)}]
    return [*found, {"role": "user", "content": [_media(part) for part in rest]}]


def _media(part: dict[str, Any]) -> dict[str, Any]:
    if isinstance(part.get("text"), str):
        return {"type": "text", "text": part["text"]}
    inline, file = mapped(_either(part, "inlineData")), mapped(_either(part, "fileData"))
    kind = _either(inline or file, "mimeType")
    url = f"data:{kind};base64,{inline.get('data')}" if inline else _either(file, "fileUri")
    if url and str(kind).startswith("image/"):
        return {"type": "image_url", "image_url": {"url": url}}
    return part


def _assistant(parts: list[dict[str, Any]]) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": None}
    calls, others = [], []
    thoughts = "".join(part["text"] for part in parts if isinstance(part.get("text"), str) and part.get("thought"))
    for part in parts:
        call = _either(part, "functionCall")
        if isinstance(call, dict):
            identifier = {"id": call["id"]} if call.get("id") else {}
            function = {"name": call.get("name"), "arguments": dumps(call.get("args") or {})}
            calls.append({**identifier, "type": "function", "function": function})
        elif "text" not in part:
            kind = next((key for key in part if key not in ("thoughtSignature", "thought")), None)
            others += [{"type": kind, **part}] if kind is not None else []
    if any(isinstance(part.get("text"), str) and not part.get("thought") for part in parts):
        message["content"] = _text(parts)
    for name, value in (("tool_calls", calls), ("reasoning_content", thoughts), ("other_blocks", others)):
        if value:
            message[name] = value
    return message


def _schema_of(function: dict[str, Any]) -> Any:
    return _either(function, "parametersJsonSchema") or function.get("parameters")


def _plain_schema(schema: Any) -> Any:
    """Return a schema in JSON Schema's own words: Gemini writes types in capitals, and a null as ``nullable``."""
    if isinstance(schema, list):
        return [_plain_schema(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    found = {
        key: {name: _plain_schema(each) for name, each in value.items()}
        if key == "properties" and isinstance(value, dict)
        else value.lower()
        if key == "type" and isinstance(value, str)
        else _plain_schema(value)
        for key, value in schema.items()
        if key != "nullable"
    }
    if schema.get("nullable") is True and isinstance(found.get("type"), str):
        found["type"] = [found["type"], "null"]
    return found
