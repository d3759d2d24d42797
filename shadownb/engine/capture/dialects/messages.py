"""Anthropic's Messages: content blocks in place of strings, named events in place of bare chunks."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from shadownb.engine.capture.dialects import offered
from shadownb.engine.capture.dialects.base import (
    Dialect,
    Facts,
    WireError,
    counts,
    error_of,
    kind_of,
    listed,
    mapped,
    need,
    need_messages,
    place_of,
    text_of,
)
from shadownb.engine.capture.dialects.deltas import Growing, settled
from shadownb.engine.capture.sse import Event
from shadownb.engine.jsontext import Unreadable, loads

_ERRORS = {400: "invalid_request_error", 401: "authentication_error", 403: "permission_error", 404: "not_found_error",
           413: "request_too_large", 429: "rate_limit_error", 529: "overloaded_error"}  # fmt: skip
_BROKEN = "_incomplete_json"  # stands for the input of a tool whose pieces add up to no JSON
_STARTED_BY = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "tool_use"}
_DELTA_FIELDS = {"text_delta": "text", "thinking_delta": "thinking", "signature_delta": "signature"}


class MessagesDialect(Dialect):
    """``/v1/messages``."""

    name = "messages"
    path = "/messages"
    end_marks = (b"event: message_stop", b"event:message_stop")
    end_types = ("message_stop",)

    def check(self, request: dict[str, Any]) -> None:
        need(request, "max_tokens", int, required=True)
        need(request, "system", (str, list))
        need_messages(request, ("user", "assistant", "system"))

    def messages(self, request: dict[str, Any]) -> list[dict[str, Any]]:
        system = text_of(request.get("system"))
        found: list[dict[str, Any]] = [{"role": "system", "content": system}] if system else []
        for message in listed(request.get("messages")):
            if isinstance(message, dict):
                content = message.get("content")
                if message.get("role") == "assistant":
                    found.append(assistant_message(content))
                elif message.get("role") == "user":
                    found.extend(_user_messages(content))
                else:
                    found.append({"role": message.get("role"), "content": text_of(content)})
        return found

    def tool(self, tool: dict[str, Any]) -> list[dict[str, Any]]:
        return offered.of_messages(tool)

    def rebuild(self, stream: Sequence[Event]) -> dict[str, Any]:
        whole: dict[str, Any] = {}
        blocks = _Blocks()
        for event in stream:
            data = event.json()
            kind, index = kind_of(event, data), place_of(data, "index")
            if kind == "message_start" and isinstance(data.get("message"), dict):
                if whole:
                    raise Unreadable("a second answer begins in the same stream")
                whole.update(data["message"])
            elif kind == "content_block_start" and isinstance(data.get("content_block"), dict):
                blocks.begin(index, data["content_block"])
            elif kind == "content_block_delta" and isinstance(data.get("delta"), dict):
                blocks.add(index, data["delta"])
            elif kind == "message_delta":
                whole.update(mapped(data.get("delta")))
                usage = {key: value for key, value in mapped(data.get("usage")).items() if value is not None}
                whole["usage"] = {**mapped(whole.get("usage")), **usage}
                whole.update({k: v for k, v in data.items() if k not in ("type", "delta", "usage")})
            elif error := error_of(data):
                whole["error"] = error
        if blocks.found or (whole and not isinstance(whole.get("content"), list)):
            whole["content"] = blocks.content()
        return whole

    def choices(self, response: dict[str, Any]) -> list[dict[str, Any]]:
        if not isinstance(response.get("content"), list):
            return []
        message = assistant_message(response["content"])
        return [{"index": 0, "message": message, "finish_reason": response.get("stop_reason")}]

    def response_facts(self, response: dict[str, Any]) -> Facts:
        stop = response.get("stop_reason")
        return Facts(
            model=response.get("model") if isinstance(response.get("model"), str) else None,
            response_id=response.get("id") if isinstance(response.get("id"), str) else None,
            usage=_usage(response.get("usage")),
            finish_reason=stop if isinstance(stop, str) else None,
            whole=isinstance(response.get("content"), list) or error_of(response) is not None,
            error=error_of(response),
        )

    def stream_facts(self, stream: Iterator[Event]) -> Facts:
        # Deltas of text are not decoded; the other events are few.
        kept = [event for event in stream if b"content_block_" not in event.data[:60]]
        facts = self.response_facts(self.rebuild(kept))
        facts.whole = facts.finish_reason is not None or any(b'"message_stop"' in event.data for event in kept)
        return facts

    def error(self, error: WireError) -> dict[str, Any]:
        kind = _ERRORS.get(error.status, "invalid_request_error" if error.status < 500 else "api_error")
        return {"type": "error", "error": {"type": kind, "message": error.message}}


def assistant_message(content: Any) -> dict[str, Any]:
    """Return an assistant's content blocks as one message in chat form."""
    if isinstance(content, str):
        return {"role": "assistant", "content": content}
    message: dict[str, Any] = {"role": "assistant", "content": None}
    texts, calls, thoughts, others = [], [], [], []
    for block in listed(content):
        kind = block.get("type") if isinstance(block, dict) else None
        if kind == "text":
            texts.append(str(block.get("text") or ""))
        elif kind == "tool_use":
            given = block.get("input") or {}
            broken = given.get(_BROKEN) if isinstance(given, dict) else None
            # What is no JSON stays text, as in OpenAI's dialect, where whoever makes rows of it refuses it by name.
            arguments = broken if isinstance(broken, str) else json.dumps(given, ensure_ascii=False)
            calls.append(
                {
                    "id": block.get("id"),
                    "type": "function",
                    "function": {"name": block.get("name"), "arguments": arguments},
                }
            )
        elif kind == "thinking":
            thoughts.append(str(block.get("thinking") or ""))
        else:
            others.append(block)
    if texts:
        message["content"] = "".join(texts)
    for name, value in (("tool_calls", calls), ("reasoning_content", "".join(thoughts)), ("other_blocks", others)):
        if value:
            message[name] = value
    return message


def _user_messages(content: Any) -> list[dict[str, Any]]:
    """Return tool results as messages of their own, then the rest of the turn as one."""
    if isinstance(content, str):
        return [{"role": "user", "content": content}]
    results, parts = [], []
    for block in listed(content):
        if not isinstance(block, dict):
            continue
        if block.get("type") == "tool_result":
            inner = block.get("content")
            plain = not isinstance(inner, list) or all(isinstance(p, dict) and p.get("type") == "text" for p in inner)
            text = text_of(inner) if plain else [_part(p) for p in listed(inner)]
            results.append({"role": "tool", "tool_call_id": block.get("tool_use_id"), "content": text})
            if block.get("is_error"):
                results[-1]["is_error"] = True
        else:
            parts.append(_part(block))
    if not parts:
        return results
    if all(part.get("type") == "text" for part in parts):
        return [*results, {"role": "user", "content": "".join(str(part.get("text") or "") for part in parts)}]
    return [*results, {"role": "user", "content": parts}]


def _part(block: Any) -> dict[str, Any]:
    if not isinstance(block, dict):
        return {"type": "text", "text": str(block)}
    if block.get("type") == "text":
        return {"type": "text", "text": block.get("text") or ""}
    source = block.get("source")
    if block.get("type") == "image" and isinstance(source, dict):
        url = source.get("url") or f"data:{source.get('media_type')};base64,{source.get('data')}"
        return {"type": "image_url", "image_url": {"url": url}}
    return block


class _Blocks:
    """The content blocks of a stream. Every start begins a block, also one without an index of its own."""

    def __init__(self) -> None:
        self.found: list[tuple[int, dict[str, Any]]] = []
        self._latest: dict[int, dict[str, Any]] = {}
        self._partial: dict[int, list[str]] = {}  # by id() of the block

    def begin(self, index: int, block: dict[str, Any]) -> None:
        self._latest[index] = dict(block)
        self.found.append((index, self._latest[index]))

    def add(self, index: int, delta: dict[str, Any]) -> None:
        kind = str(delta.get("type"))
        if index not in self._latest:  # its start was lost
            self.begin(index, {"type": _STARTED_BY.get(kind, kind)})
        block = self._latest[index]
        if kind == "input_json_delta":
            self._partial.setdefault(id(block), []).append(str(delta.get("partial_json") or ""))
        elif kind in _DELTA_FIELDS:
            field = _DELTA_FIELDS[kind]
            if not isinstance(block.get(field), Growing):
                block[field] = Growing(str(block.get(field) or ""))
            block[field].add(str(delta.get(field) or ""))
        elif kind == "citations_delta":
            block["citations"] = [*listed(block.get("citations")), delta.get("citation")]
        else:
            block.update({key: value for key, value in delta.items() if key != "type"})

    def content(self) -> list[dict[str, Any]]:
        for _, block in self.found:
            text = "".join(self._partial.get(id(block), ()))
            if text.strip():  # a block may begin with its whole input, and empty deltas follow
                block["input"] = _object(text)
        return [settled(block) for _, block in sorted(self.found, key=lambda one: one[0])]


def _object(text: str) -> Any:
    try:
        return loads(text)
    except ValueError:
        return {_BROKEN: text}


def _usage(usage: Any) -> dict[str, Any] | None:
    """Return the counts under common names: here ``input_tokens`` leaves out what a cache gave or took."""
    found = counts(
        usage,
        {
            "input_tokens": "prompt_tokens",
            "output_tokens": "completion_tokens",
            "cache_read_input_tokens": "cached_tokens",
            "cache_creation_input_tokens": "cache_write_tokens",
            "cache_creation.ephemeral_1h_input_tokens": "cache_write_1h_tokens",
        },
    )
    if found is None or "prompt_tokens" not in found:
        return found
    found["prompt_tokens"] += found.get("cached_tokens", 0) + found.get("cache_write_tokens", 0)
    found["total_tokens"] = found["prompt_tokens"] + found.get("completion_tokens", 0)
    return found
