"""Agents with a tool, written with the vendors' clients, and the model that they talk to."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.capture.upstream import Reply, Seen, echo, event, stream

LOOK: dict[str, Any] = {
    "name": "look",
    "description": "d",
    "parameters": {"type": "object", "properties": {"id": {"type": "integer"}}},
}
CALLS = [("call_a", {"id": 7}), ("call_b", {"id": 8})]


async def agent(seen: Seen, reply: Reply) -> None:
    """Call two tools at once where no results are there yet, else answer."""
    text = seen.body.decode()
    if "found" in text or '"tools"' not in text:
        await echo(seen, reply)
        return
    path, streamed = seen.path.partition("?")[0], seen.json.get("stream")
    if path == "/v1/messages":
        blocks = [{"type": "tool_use", "id": n, "name": "look", "input": a} for n, a in CALLS]
        head = {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "m",
            "usage": {"input_tokens": 1, "output_tokens": 1},
        }
        await reply.json({**head, "content": blocks, "stop_reason": "tool_use", "stop_sequence": None})
    elif path == "/v1/responses":
        base = {"type": "function_call", "name": "look", "status": "completed"}
        items = [{**base, "id": f"fc_{n}", "call_id": n, "arguments": json.dumps(a)} for n, a in CALLS]
        head = {"id": "resp_tool", "object": "response", "created_at": 1, "status": "completed", "model": "m"}
        await reply.json({**head, "output": items, "parallel_tool_calls": True, "tool_choice": "auto", "tools": []})
    else:
        calls = [
            {"id": n, "type": "function", "function": {"name": "look", "arguments": json.dumps(a)}} for n, a in CALLS
        ]
        head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
        if not streamed:
            message = {"role": "assistant", "content": None, "tool_calls": calls, "refusal": None}
            choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
            await reply.json({**head, "object": "chat.completion", "choices": [choice]})
            return
        deltas: list[dict[str, Any]] = [{"role": "assistant", "content": None}]
        deltas += [{"tool_calls": [{"index": n, **call}]} for n, call in enumerate(calls)]
        frames = [event({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}) for delta in deltas]
        end = event({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]})
        await stream(reply, [*frames, end, b"data: [DONE]\n\n"])


Work = Callable[[list[str]], list[str]]
"""Runs the tools: takes the ids of the calls and returns their results."""


def found(ids: list[str]) -> list[str]:
    return [f"found {identifier}" for identifier in ids]


def chat_loop(
    client: Any, task: str = "where are they?", *, system: str = "be kind", work: Work = found, streamed: bool = False
) -> None:
    messages: list[Any] = [{"role": "system", "content": system}, {"role": "user", "content": task}]
    asked: Any = {"model": "gpt-4o", "tools": [{"type": "function", "function": LOOK}]}
    if streamed:
        with client.chat.completions.stream(**asked, messages=messages) as events:
            list(events)
            message = events.get_final_completion().choices[0].message
    else:
        message = client.chat.completions.create(**asked, messages=messages).choices[0].message
    messages.append(message.model_dump())  # with every null and extra field that the client adds
    ids = [call.id for call in message.tool_calls]
    messages += [{"role": "tool", "tool_call_id": i, "content": text} for i, text in zip(ids, work(ids), strict=True)]
    client.chat.completions.create(**asked, messages=messages)


def responses_loop(
    client: Any,
    task: str = "where are they?",
    *,
    system: str = "be kind",
    work: Work = found,
    kept: str = "by the client",
) -> None:
    asked: Any = {"model": "gpt-4o", "tools": [{"type": "function", **LOOK}]}
    given: list[Any] = [{"role": "user", "content": task}]
    if kept == "by id, with a system item":
        given.insert(0, {"role": "system", "content": system})
    else:
        asked["instructions"] = system
    if kept == "in a conversation":
        asked["conversation"] = "conv_1"
    first = client.responses.create(**asked, input=given)
    ids = [item.call_id for item in first.output]
    results = [
        {"type": "function_call_output", "call_id": i, "output": text} for i, text in zip(ids, work(ids), strict=True)
    ]
    if kept == "by the client":
        client.responses.create(**asked, input=[*given, *(item.model_dump() for item in first.output), *results])
    elif kept == "in a conversation":
        client.responses.create(**asked, input=results)
    else:
        client.responses.create(**asked, input=results, previous_response_id=first.id)


def messages_loop(client: Any, task: str = "where are they?", *, system: str = "be kind", work: Work = found) -> None:
    tools: Any = [{"name": "look", "description": "d", "input_schema": LOOK["parameters"]}]
    asked: Any = {"model": "claude-opus-5", "max_tokens": 99, "system": system, "tools": tools}
    given: list[Any] = [{"role": "user", "content": task}]
    first = client.messages.create(**asked, messages=given)
    ids = [block.id for block in first.content if block.type == "tool_use"]
    results: Any = [
        {"type": "tool_result", "tool_use_id": i, "content": text} for i, text in zip(ids, work(ids), strict=True)
    ]
    turn: Any = {"role": "assistant", "content": [block.model_dump() for block in first.content]}
    client.messages.create(**asked, messages=[*given, turn, {"role": "user", "content": results}])
