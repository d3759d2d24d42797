"""OpenAI's chat completions, and what speaks like them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from shadownb.engine.capture.dialects.base import (
    Dialect,
    Facts,
    counts,
    error_of,
    listed,
    need,
    need_messages,
    place_of,
)
from shadownb.engine.capture.dialects.contents import spread_content
from shadownb.engine.capture.dialects.deltas import Growing, merge, settled
from shadownb.engine.capture.dialects.tool_deltas import ToolCalls, longer_name
from shadownb.engine.capture.sse import Event
from shadownb.engine.trajectories.endings import ended_by_itself

USAGE = {
    "prompt_tokens": "prompt_tokens",
    "completion_tokens": "completion_tokens",
    "total_tokens": "total_tokens",
    "prompt_tokens_details.cached_tokens": "cached_tokens",
    "completion_tokens_details.reasoning_tokens": "reasoning_tokens",
}
# Events that say more than a piece of text; the others are not decoded for the facts.
_TELLING = re.compile(rb'"(?:usage"\s*:\s*\{|finish_reason"\s*:\s*"|error"\s*[:,}])')


class ChatDialect(Dialect):
    """``/v1/chat/completions``."""

    name = "chat"
    path = "/chat/completions"

    def check(self, request: dict[str, Any]) -> None:
        need_messages(request)
        need(request, "n", int)
        need(request, "stream_options", dict)

    def messages(self, request: dict[str, Any]) -> list[dict[str, Any]]:
        return [message for message in listed(request.get("messages")) if isinstance(message, dict)]

    def tools(self, request: dict[str, Any]) -> list[dict[str, Any]]:
        # Before there were tools there were functions.
        functions = [{"function": each} for each in listed(request.get("functions")) if isinstance(each, dict)]
        return super().tools(
            {"tools": [*listed(request.get("tools")), *({"type": "function", **f} for f in functions)]}
        )

    def rebuild(self, stream: Sequence[Event]) -> dict[str, Any]:
        whole: dict[str, Any] = {}
        choices: dict[int, dict[str, Any]] = {}
        calls: dict[int, ToolCalls] = {}
        for event in stream:
            chunk = event.json()
            for choice in listed(chunk.pop("choices", None)):
                if isinstance(choice, dict):
                    place = place_of(choice, "index")
                    total = choices.setdefault(place, {})
                    self._add(total, choice, calls.setdefault(place, ToolCalls()))
            for key, value in chunk.items():
                if value is not None or key not in whole:
                    whole[key] = value
        if not whole and not choices:
            return {}
        if isinstance(whole.get("object"), str):
            whole["object"] = whole["object"].removesuffix(".chunk")
        for place, found in calls.items():
            if found.calls and not choices[place].get("message", {}).get("tool_calls"):
                message = choices[place].setdefault("message", {"role": "assistant", "content": None})
                message["tool_calls"] = found.calls
        whole["choices"] = [settled(choices[index]) for index in sorted(choices)]
        return whole

    def _add(self, total: dict[str, Any], choice: dict[str, Any], calls: ToolCalls) -> None:
        if _only_text_grows(total, choice):
            total["message"]["content"].add(choice["delta"]["content"])
            return
        whole = choice.get("message")
        if isinstance(whole, dict):  # the answer once more in one piece, or only in one
            total["message"] = dict(whole)
            choice = {key: value for key, value in choice.items() if key not in ("message", "delta")}
        delta = choice.get("delta")
        if not isinstance(delta, dict):  # from servers that have text completions in mind
            text = delta if isinstance(delta, str) else choice.get("text")
            choice = {key: value for key, value in choice.items() if key not in ("delta", "text")}
            delta = {"content": text} if isinstance(text, str) else None
        message = total.setdefault("message", {"role": "assistant", "content": None})
        if known := total.get("finish_reason"):
            choice = {**choice, "finish_reason": worse_ending(known, choice.get("finish_reason"))}
        if isinstance(delta, dict):
            delta = spread_content(delta)
            given = delta.pop("tool_calls", None)
            calls.add(given if isinstance(given, list) else [given])
            function, known = delta.get("function_call"), message.get("function_call")
            if isinstance(function, dict) and isinstance(known, dict):  # of 2023; its name may come in pieces, too
                known["name"] = longer_name(known.get("name"), function.get("name"), bool(known.get("arguments")))
                delta["function_call"] = {key: value for key, value in function.items() if key != "name"}
            merge(message, delta)
        merge(total, {key: value for key, value in choice.items() if key != "delta"})

    def choices(self, response: dict[str, Any]) -> list[dict[str, Any]]:
        found = []
        for number, choice in enumerate(listed(response.get("choices"))):
            if isinstance(choice, dict):
                message = choice.get("message")
                found.append(
                    {
                        "index": choice.get("index", number),
                        "message": _plain(spread_content(message))
                        if isinstance(message, dict)
                        else {"role": "assistant", "content": None},
                        "finish_reason": choice.get("finish_reason"),
                    }
                )
        return found

    def response_facts(self, response: dict[str, Any]) -> Facts:
        facts = Facts()
        _take(facts, response)
        facts.whole = bool(response.get("choices")) or facts.error is not None
        return facts

    def stream_facts(self, stream: Iterator[Event]) -> Facts:
        facts = Facts()
        for number, event in enumerate(stream):
            if event.data.strip() == b"[DONE]":
                facts.whole = True
            elif event.name == "error":
                data = event.json()
                facts.error = error_of({**data, "type": "error"}) if "error" not in data else error_of(data)
            elif number == 0 or _TELLING.search(event.data):
                _take(facts, event.json())
        facts.whole = facts.whole or facts.finish_reason is not None
        return facts


def _only_text_grows(total: dict[str, Any], choice: dict[str, Any]) -> bool:
    """Whether a piece adds to a text that has begun, and says nothing else; nearly all pieces of a stream do."""
    delta = choice.get("delta")
    if type(delta) is not dict or len(delta) != 1 or type(delta.get("content")) is not str:
        return False
    if not isinstance(total.get("message", {}).get("content"), Growing):
        return False
    return all(
        key == "delta" or (key in total and (value is None or value == total[key])) for key, value in choice.items()
    )


def _take(facts: Facts, chunk: dict[str, Any]) -> None:
    for field, key in (("model", "model"), ("response_id", "id")):
        if isinstance(chunk.get(key), str):
            setattr(facts, field, chunk[key])
    facts.usage = counts(chunk.get("usage"), USAGE) or facts.usage
    facts.error = error_of(chunk) or facts.error
    first = next((c for c in listed(chunk.get("choices")) if isinstance(c, dict) and place_of(c, "index") == 0), {})
    facts.error = error_of(first) or facts.error  # of a router, whose provider failed
    if isinstance(first.get("finish_reason"), str):
        facts.finish_reason = worse_ending(facts.finish_reason, first["finish_reason"])


def worse_ending(known: Any, new: Any) -> Any:
    """Return the finish reason of a choice that names two: the one that says that the answer is not whole."""
    return known if known and (not new or not ended_by_itself("chat", known)) else new


def _plain(message: dict[str, Any]) -> dict[str, Any]:
    """Return a message without the ``index`` that only the deltas of tool calls carry."""
    calls = message.get("tool_calls")
    if not isinstance(calls, list):
        return message
    bare = [{k: v for k, v in call.items() if k != "index"} if isinstance(call, dict) else call for call in calls]
    return {**message, "tool_calls": bare}
