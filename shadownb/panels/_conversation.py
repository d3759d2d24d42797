"""What the Trajectories panel sends of an episode: a window of its messages with long texts cut, and a window of its tokens."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from shadownb.engine.trajectories import Trajectory
from shadownb.engine.trajectories.identity import calls_of, message_text, reasoning_of, role_of

MESSAGES = 30
TOKENS = 1500
_CUT = 1500  # characters of a text until somebody asks for all
_WHOLE = 100_000
_FACTS = (
    "kind",
    "session",
    "cost",
    "tokens_in",
    "tokens_out",
    "seconds",
    "messages",
    "answers",
    "whole",
    "score",
    "title",
)


def conversation(
    row: Mapping[str, Any],
    trajectory: Trajectory,
    related: list[dict[str, Any]],
    begin: int,
    notes: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """Return the messages from ``begin`` on, at most ``MESSAGES``, with what is known about the whole episode."""
    begin = max(0, min(begin, len(trajectory.messages) - 1))
    facts = {call.message: call for call in trajectory.calls}
    trained, names = set(trajectory.trainable_turns), _answered(trajectory.messages)
    recorded = set(trajectory.sampled_turns)
    shown = []
    for at in range(begin, min(begin + MESSAGES, len(trajectory.messages))):
        message = _message(at, trajectory.messages[at], names.get(at))
        message["recorded"], message["trained"] = at in recorded, at in trained
        if at in facts:
            call = facts[at]
            usage = call.usage or {}
            message["call"] = {
                "id": call.id, "model": call.model, "status": call.status, "finish": call.finish_reason,
                "tokens_in": usage.get("prompt_tokens"), "tokens_out": usage.get("completion_tokens"),
                "cost": call.cost, "seconds": call.duration_s,
            }  # fmt: skip
        shown.append(message)
    return {
        "id": row["id"],
        "facts": {name: row[name] for name in _FACTS},
        "models": trajectory.models,
        "rented": sorted({call.model or "a model" for call in trajectory.calls if call.route != "local"}),
        "metrics": dict(trajectory.metrics),
        "failed": list(trajectory.metadata.get("failed_calls") or []),
        "tools": [_tool(tool) for tool in trajectory.tools or []],
        "total": len(trajectory.messages),
        "begin": begin,
        "messages": shown,
        "notes": notes or [],
        "related": [_related(other) for other in related],
    }


def whole_text(trajectory: Trajectory, at: int, part: str) -> str:
    """Return a text of one message: ``text``, ``reasoning``, or the arguments of tool call number ``part``."""
    message = trajectory.messages[at]
    if part == "text":
        text = message_text(message)
    elif part == "reasoning":
        text = reasoning_of(message)
    else:
        text = _as_text(calls_of(message)[int(part)]["arguments"])
    return text if len(text) <= _WHOLE else f"{text[:_WHOLE]}… ({len(text):,} characters)"


def with_whole(message: dict[str, Any], part: str, text: str) -> dict[str, Any]:
    """Return a message of the page with one of its texts replaced by the whole one."""
    if part in ("text", "reasoning"):
        return {**message, part: text}
    calls = [{**c, "arguments": text} if at == int(part) else c for at, c in enumerate(message["calls"])]
    return {**message, "calls": calls}


def token_window(inspection: Mapping[str, Any], begin: int) -> dict[str, Any]:
    """Return at most ``TOKENS`` tokens of an inspection from ``begin`` on, and how many there are."""
    tokens = [token for sequence in inspection["sequences"] for token in sequence]
    begin = max(0, min(begin, len(tokens) - 1))
    return {
        "stage": "ready",
        "tokens": tokens[begin : begin + TOKENS],
        "begin": begin,
        "total": len(tokens),
        "summary": inspection["summary"].removeprefix("row 0; "),
        "template": f"{inspection['template_source']}, {inspection['template_reason']}",
    }


def _message(at: int, message: Mapping[str, Any], answers: str | None) -> dict[str, Any]:
    text, reasoning = message_text(message), reasoning_of(message)
    found: dict[str, Any] = {"at": at, "role": role_of(message), "text": text[:_CUT], "length": len(text)}
    if answers or message.get("name"):
        found["name"] = answers or str(message["name"])
    if reasoning:
        found["reasoning"], found["reasoning_length"] = reasoning[:_CUT], len(reasoning)
    calls = [(call["name"], _as_text(call["arguments"])) for call in calls_of(message)]
    if calls:
        found["calls"] = [{"name": n, "arguments": text[:_CUT], "length": len(text)} for n, text in calls]
    if others := _not_text(message):
        found["others"] = others
    return found


def _answered(messages: list[dict[str, Any]]) -> dict[int, str]:
    """Return which tool each tool result is of, by the index of the message."""
    names: dict[Any, str] = {}
    found: dict[int, str] = {}
    for at, message in enumerate(messages):
        names.update({call["id"]: call["name"] for call in calls_of(message) if call["id"]})
        if role_of(message) == "tool" and message.get("tool_call_id") in names:
            found[at] = names[message["tool_call_id"]]
    return found


def _not_text(message: Mapping[str, Any]) -> list[str]:
    parts = message.get("content")
    if not isinstance(parts, list):
        return []
    kinds = [str(part.get("type")) for part in parts if isinstance(part, Mapping)]
    hidden = ("text", "input_text", "output_text", "thinking", "redacted_thinking", "reasoning", "refusal")
    return [kind for kind in kinds if kind not in hidden]


def _tool(tool: Mapping[str, Any]) -> dict[str, str]:
    function = tool.get("function", tool)
    return {"name": str(function.get("name") or ""), "schema": _as_text(function)[:_CUT]}


def _related(row: Mapping[str, Any]) -> dict[str, Any]:
    names = ("id", "kind", "relation", "at", "messages", "title", "last", "whole")
    return {name: row[name] for name in names}


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=1, default=str)
