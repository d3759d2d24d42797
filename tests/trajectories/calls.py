"""Calls as a recorder leaves them, and the many ways in which clients send a conversation back."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from itertools import count
from random import Random
from typing import Any

from shadownb.engine.trajectories import Trajectory
from shadownb.engine.trajectories.identity import PathHash

Message = dict[str, Any]
_numbers = count()


@dataclass
class Recorded:
    """A recorded call, as far as episodes read it."""

    messages: list[Message]
    choices: list[dict[str, Any]]
    session: str | None = None
    tools: list[dict[str, Any]] | None = None
    id: str = ""
    seq: int = 0
    model: str = "frontier-1"
    route: str = "upstream"
    status: str = "ok"
    finish_reason: str | None = "stop"
    started_at: float = 0.0
    duration_s: float = 0.5
    usage: dict[str, int] | None = None
    cost: float | None = None
    retry_of: str | None = None
    headers: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.seq = next(_numbers)
        self.id = self.id or f"call-{self.seq}"
        self.started_at = self.started_at or float(self.seq)


def system(text: str) -> Message:
    return {"role": "system", "content": text}


def user(text: str) -> Message:
    return {"role": "user", "content": text}


def answer(text: str | None = None, *calls: tuple[str, str, dict[str, Any]], **more: Any) -> Message:
    """An answer as OpenAI sends it; calls are (id, name, arguments)."""
    message: Message = {"role": "assistant", "content": text, "refusal": None, "annotations": [], **more}
    if calls:
        message["tool_calls"] = [
            {"id": i, "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}
            for i, name, arguments in calls
        ]
    return message


def result(identifier: str | None, text: str) -> Message:
    return {"role": "tool", "tool_call_id": identifier, "content": text}


def call(prompt: list[Message], reply: Message | None, *others: Message, **facts: Any) -> Recorded:
    """A call with one answer, several, or none."""
    replies = [reply, *others] if reply is not None else []
    choices = [{"index": n, "message": m, "finish_reason": "stop"} for n, m in enumerate(replies)]
    return Recorded([dict(message) for message in prompt], choices, **facts)


def echoed(messages: list[Message], random: Random) -> list[Message]:
    """Return a history as some client sends it back: the same turns in another form."""
    sent: list[Message] = []
    ids: dict[Any, Any] = {}
    rename = random.random() < 0.5
    for given in messages:
        message = {key: value for key, value in given.items() if value is not None or random.random() < 0.5}
        for key in ("reasoning_content", "refusal", "annotations"):
            if random.random() < 0.7:
                message.pop(key, None)
        if random.random() < 0.3:
            message["refusal"] = None
        if message["role"] == "assistant" and random.random() < 0.3:
            message["name"] = None
        content = message.get("content")
        if isinstance(content, str) and content and random.random() < 0.5:
            half = len(content) // 2
            message["content"] = [{"type": "text", "text": part} for part in (content[:half], content[half:])]
        elif not content and message["role"] == "assistant":
            message["content"] = random.choice(["", None])
        if message.get("tool_calls"):
            message["tool_calls"] = [_call(one, ids, rename, random) for one in message["tool_calls"]]
        if "tool_call_id" in message:
            message["tool_call_id"] = ids.get(message["tool_call_id"], message["tool_call_id"])
        keys = list(message)
        random.shuffle(keys)
        sent.append({key: message[key] for key in keys})
    return sent


def _call(given: dict[str, Any], ids: dict[Any, Any], rename: bool, random: Random) -> dict[str, Any]:
    arguments = given["function"]["arguments"]
    parsed = json.loads(arguments) if isinstance(arguments, str) else arguments
    parsed = dict(sorted(parsed.items(), reverse=True))
    form = random.choice([parsed, json.dumps(parsed, indent=2), json.dumps(parsed, separators=(",", ":"))])
    ids[given.get("id")] = f"client-{given.get('id')}" if rename else given.get("id")
    return {
        "type": "function",
        "function": {"name": given["function"]["name"], "arguments": form},
        "id": ids[given["id"]],
    }


def identity(messages: list[Message]) -> bytes:
    path = PathHash()
    return [path.push(message) for message in messages][-1]


def conversations(trajectories: list[Trajectory]) -> Counter[bytes]:
    """Return how often each conversation is among the trajectories."""
    return Counter(identity(trajectory.messages) for trajectory in trajectories)
