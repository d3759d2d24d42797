"""OpenAI's Responses: items in place of messages, and answers that later requests can name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from shadownb.engine.capture.dialects.base import (
    Dialect,
    Facts,
    WireError,
    counts,
    kind_of,
    listed,
    need,
    place_of,
    text_of,
)
from shadownb.engine.capture.dialects.deltas import merge
from shadownb.engine.capture.sse import Event

_ENDS = ("response.completed", "response.incomplete", "response.failed")
_USAGE = {
    "input_tokens": "prompt_tokens",
    "output_tokens": "completion_tokens",
    "total_tokens": "total_tokens",
    "input_tokens_details.cached_tokens": "cached_tokens",
    "output_tokens_details.reasoning_tokens": "reasoning_tokens",
}


class ResponsesDialect(Dialect):
    """``/v1/responses``."""

    name = "responses"
    path = "/responses"
    end_marks = tuple(f"{start}{end}".encode() for end in _ENDS for start in ("event: ", "event:"))
    end_types = _ENDS

    def validate(self, request: dict[str, Any]) -> None:
        need(request, "model", str, required="prompt" not in request)  # a stored prompt may name the model
        need(request, "stream", bool)
        need(request, "tools", list)
        self.check(request)

    def check(self, request: dict[str, Any]) -> None:
        need(request, "input", (str, list))
        need(request, "instructions", (str, list))
        need(request, "previous_response_id", str)
        need(request, "conversation", (str, dict))
        for number, item in enumerate(listed(request.get("input"))):
            if not isinstance(item, dict):
                raise WireError(
                    400, f"input[{number}] must be an object.", param=f"input[{number}]", code="invalid_type"
                )

    def messages(self, request: dict[str, Any]) -> list[dict[str, Any]]:
        found, given = _instructions(request), request.get("input")
        if isinstance(given, str):
            return [*found, {"role": "user", "content": given}]
        return [*found, *items_to_messages(listed(given))]

    def leading(self, request: dict[str, Any]) -> int:
        return len(_instructions(request))

    def tools(self, request: dict[str, Any]) -> list[dict[str, Any]]:
        found = []
        for tool in super().tools(request):
            if tool.get("type") == "function" and "function" not in tool:
                found.append({"type": "function", "function": {k: v for k, v in tool.items() if k != "type"}})
            else:
                found.append(tool)
        return found

    def rebuild(self, stream: Sequence[Event]) -> dict[str, Any]:
        whole: dict[str, Any] = {}
        items: dict[int, dict[str, Any]] = {}
        for event in stream:
            data = event.json()
            kind, place = kind_of(event, data), place_of(data, "output_index")
            if isinstance(data.get("response"), dict):
                whole = data["response"]
                if kind in _ENDS:
                    return whole
            elif kind in ("response.output_item.added", "response.output_item.done") and isinstance(
                data.get("item"), dict
            ):
                items[place] = data["item"]
            elif isinstance(data.get("delta"), str) and place in items:
                _add(items[place], kind, data)
            elif kind == "error" or isinstance(data.get("error"), dict):
                inner = {k: v for k, v in data.items() if k not in ("type", "sequence_number")}
                whole = {**whole, "error": data["error"] if isinstance(data.get("error"), dict) else inner}
        # The stream broke off: what had come is in the items.
        return {**whole, "output": [items[index] for index in sorted(items)]} if items else whole

    def choices(self, response: dict[str, Any]) -> list[dict[str, Any]]:
        found = items_to_messages(listed(response.get("output")))
        message = next((m for m in found if m.get("role") == "assistant"), None)
        if message is None:
            return []
        return [{"index": 0, "message": message, "finish_reason": _finish(response)}]

    def response_facts(self, response: dict[str, Any]) -> Facts:
        error = response.get("error")
        return Facts(
            model=response.get("model") if isinstance(response.get("model"), str) else None,
            response_id=response.get("id") if isinstance(response.get("id"), str) else None,
            usage=counts(response.get("usage"), _USAGE),
            finish_reason=_finish(response),
            whole=response.get("status") in ("completed", "incomplete", "failed", "cancelled", "queued")
            or isinstance(error, dict),
            error=error if isinstance(error, dict) else None,
        )

    def stream_facts(self, stream: Iterator[Event]) -> Facts:
        names = (*_ENDS, "error", "response.created")
        kept = [
            e for e in stream if e.name in names or (not e.name and (b'"response"' in e.data or b'"error"' in e.data))
        ]
        return self.response_facts(self.rebuild(kept))


def _instructions(request: dict[str, Any]) -> list[dict[str, Any]]:
    given = request.get("instructions")
    if isinstance(given, str):
        return [{"role": "system", "content": given}] if given else []
    return items_to_messages(listed(given))


def items_to_messages(items: list[Any]) -> list[dict[str, Any]]:
    """Return items in chat form: reasoning, text and calls of one turn become one assistant message."""
    found: list[dict[str, Any]] = []
    open_turn: dict[str, Any] | None = None
    for item in items:
        if not isinstance(item, dict):
            continue
        kind = item.get("type") or ("message" if "role" in item else None)
        if kind == "message" and item.get("role") != "assistant":
            open_turn = None
            found.append({"role": item.get("role"), "content": _content(item.get("content"))})
            continue
        if kind == "function_call_output":
            open_turn = None
            output = item.get("output")
            content = output if isinstance(output, str) else _content(output)
            found.append({"role": "tool", "tool_call_id": item.get("call_id"), "content": content})
            continue
        said = open_turn is not None and (open_turn["content"] is not None or "tool_calls" in open_turn)
        if open_turn is None or (said and kind in ("message", "reasoning") and "tool_calls" in open_turn):
            open_turn = {"role": "assistant", "content": None}
            found.append(open_turn)
        _into_turn(open_turn, kind, item)
    return found


def _into_turn(turn: dict[str, Any], kind: str | None, item: dict[str, Any]) -> None:
    if kind == "message":
        turn["content"] = (turn["content"] or "") + text_of(item.get("content"))
        refusals = [p.get("refusal") for p in listed(item.get("content")) if isinstance(p, dict) and p.get("refusal")]
        if refusals:
            turn["refusal"] = "".join(map(str, refusals))
    elif kind == "function_call":
        function = {"name": item.get("name"), "arguments": item.get("arguments") or "{}"}
        call = {"id": item.get("call_id") or item.get("id"), "type": "function", "function": function}
        turn.setdefault("tool_calls", []).append(call)
    elif kind == "reasoning":
        text = text_of(item.get("content")) or text_of(item.get("summary"))
        if text:
            turn["reasoning_content"] = turn.get("reasoning_content", "") + text
    else:
        turn.setdefault("other_items", []).append(item)


def _content(content: Any) -> Any:
    parts = listed(content)
    if isinstance(content, str) or not parts:
        return content
    if all(isinstance(part, dict) and part.get("type") in ("input_text", "output_text", "text") for part in parts):
        return text_of(parts)
    return [_part(part) for part in parts]


def _part(part: Any) -> Any:
    if isinstance(part, dict) and part.get("type") in ("input_text", "output_text"):
        return {"type": "text", "text": part.get("text") or ""}
    if isinstance(part, dict) and part.get("type") == "input_image" and isinstance(part.get("image_url"), str):
        return {"type": "image_url", "image_url": {"url": part["image_url"]}}
    return part


def _add(item: dict[str, Any], kind: str, data: dict[str, Any]) -> None:
    """Add a delta to an item whose end has not come."""
    if kind == "response.function_call_arguments.delta":
        item["arguments"] = str(item.get("arguments") or "") + data["delta"]
        return
    field = {"response.output_text.delta": "text", "response.refusal.delta": "refusal"}.get(kind)
    if field is None:
        return
    part = {
        "index": place_of(data, "content_index"),
        "type": f"output_{field}" if field == "text" else field,
        field: data["delta"],
    }
    merge(item, {"content": [part]})


def _finish(response: dict[str, Any]) -> str | None:
    status, details = response.get("status"), response.get("incomplete_details")
    if status == "incomplete" and isinstance(details, dict) and isinstance(details.get("reason"), str):
        return str(details["reason"])
    return status if isinstance(status, str) and status != "in_progress" else None
