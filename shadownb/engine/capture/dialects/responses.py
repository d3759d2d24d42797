"""OpenAI's Responses: items in place of messages, and answers that later requests can name."""

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
    kind_of,
    listed,
    mapped,
    need,
    place_of,
)
from shadownb.engine.capture.dialects.deltas import merge, settled
from shadownb.engine.capture.dialects.items import items_to_messages
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

    def tool(self, tool: dict[str, Any]) -> list[dict[str, Any]]:
        return offered.of_responses(tool)

    def references(self, request: dict[str, Any]) -> list[str]:
        given = listed(request.get("input"))
        return [
            i["id"]
            for i in given
            if isinstance(i, dict) and i.get("type") == "item_reference" and isinstance(i.get("id"), str)
        ]

    def with_items(self, request: dict[str, Any], items: dict[str, dict[str, Any]]) -> dict[str, Any]:
        def resolved(item: Any) -> Any:
            named = item.get("id") if isinstance(item, dict) and item.get("type") == "item_reference" else None
            return items.get(named, item) if isinstance(named, str) else item

        return {**request, "input": [resolved(item) for item in listed(request.get("input"))]}

    def hidden(self, request: dict[str, Any]) -> str | None:
        if isinstance(request.get("prompt"), dict):
            return "its instructions are a prompt that the provider keeps"
        kinds = [item.get("type") for item in listed(request.get("input")) if isinstance(item, dict)]
        return "a part of its prompt is compacted, and only the provider can read it" if "compaction" in kinds else None

    def rebuild(self, stream: Sequence[Event]) -> dict[str, Any]:
        whole: dict[str, Any] = {}
        items = _Items()
        for event in stream:
            data = event.json()
            kind = kind_of(event, data)
            if isinstance(data.get("response"), dict) or kind in _ENDS:
                said = mapped(data.get("response"))
                if kind in _ENDS:  # the end of some gateways is empty, or does not say that it is one
                    whole = {**whole, **said, "status": said.get("status") or kind.removeprefix("response.")}
                    break
                whole = said
            elif kind in ("response.output_item.added", "response.output_item.done") and isinstance(
                data.get("item"), dict
            ):
                items.put(place_of(data, "output_index"), data["item"], ended=kind.endswith("done"))
            elif isinstance(data.get("delta"), str):
                item = items.of(data)
                if item is None and kind in _PIECES:  # its beginning was lost, or never sent
                    item = {"type": "reasoning" if "reasoning" in kind else "message", "role": "assistant"}
                    items.put(place_of(data, "output_index"), item, ended=False)
                if item is not None:
                    _add(item, kind, data)
            elif error := error_of({**data, "type": kind} if kind == "error" else data):
                whole = {**whole, "error": {k: v for k, v in error.items() if k != "sequence_number"}}
        if listed(whole.get("output")) or not items.found:
            return whole
        # The stream broke off, or its end does not repeat what came before it, as that of some gateways.
        return {**whole, "output": settled(items.found)}

    def choices(self, response: dict[str, Any]) -> list[dict[str, Any]]:
        found = items_to_messages(listed(response.get("output")))
        message = next((m for m in found if m.get("role") == "assistant"), None)
        if message is None:
            return []
        return [{"index": 0, "message": message, "finish_reason": _finish(response)}]

    def response_facts(self, response: dict[str, Any]) -> Facts:
        error = error_of(response)
        return Facts(
            model=response.get("model") if isinstance(response.get("model"), str) else None,
            response_id=response.get("id") if isinstance(response.get("id"), str) else None,
            usage=counts(response.get("usage"), _USAGE),
            finish_reason=_finish(response),
            whole=response.get("status") in ("completed", "incomplete", "failed", "cancelled", "queued")
            or error is not None,
            error=error,
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


class _Items:
    """The items of a stream, by their ids; by their place where they have none."""

    def __init__(self) -> None:
        self.found: list[dict[str, Any]] = []
        self._by_id: dict[str, int] = {}
        self._by_place: dict[int, int] = {}
        self._ended: set[int] = set()

    def put(self, place: int, item: dict[str, Any], *, ended: bool) -> None:
        identifier = item.get("id")
        at = self._by_id.get(identifier) if isinstance(identifier, str) else None
        if at is None and ended:
            at = self._by_place.get(place)
            at = None if at in self._ended else at  # where no item has a place of its own, all have 0
        if at is None:
            at = len(self.found)
            self.found.append(item)
        self.found[at] = item
        self._by_place[place] = at
        if isinstance(identifier, str):
            self._by_id[identifier] = at
        if ended:
            self._ended.add(at)

    def of(self, data: dict[str, Any]) -> dict[str, Any] | None:
        """Return the item that a delta belongs to."""
        identifier = data.get("item_id")
        at = self._by_id.get(identifier) if isinstance(identifier, str) else None
        at = at if at is not None else self._by_place.get(place_of(data, "output_index"))
        return None if at is None else self.found[at]


_PIECES = {  # delta events: the list of an item they go to, the type of the part, and its field
    "response.output_text.delta": ("content", "output_text", "text"),
    "response.refusal.delta": ("content", "refusal", "refusal"),
    "response.reasoning_text.delta": ("content", "reasoning_text", "text"),
    "response.reasoning_summary_text.delta": ("summary", "summary_text", "text"),
}


def _add(item: dict[str, Any], kind: str, data: dict[str, Any]) -> None:
    """Add a delta to an item whose end has not come."""
    for event, field in (("function_call_arguments", "arguments"), ("custom_tool_call_input", "input")):
        if kind == f"response.{event}.delta":
            merge(item, {field: data["delta"]})
            return
    if kind in _PIECES:
        holder, part, field = _PIECES[kind]
        place = place_of(data, "content_index" if holder == "content" else "summary_index")
        merge(item, {holder: [{"index": place, "type": part, field: data["delta"]}]})


def _finish(response: dict[str, Any]) -> str | None:
    status, details = response.get("status"), response.get("incomplete_details")
    if status == "incomplete" and isinstance(details, dict) and isinstance(details.get("reason"), str):
        return str(details["reason"])
    unfinished = ("incomplete", "in_progress")
    if status == "completed" and any(
        isinstance(item, dict) and item.get("status") in unfinished for item in listed(response.get("output"))
    ):
        return "incomplete"
    return status if isinstance(status, str) and status != "in_progress" else None
