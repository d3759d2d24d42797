"""What agents do through the clients comes out as episodes: tool loops, interleaved conversations, branches, subagents."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from shadownb.engine.capture.proxy import CaptureProxy
from tests.capture.conftest import run_async
from tests.capture.upstream import Reply, Seen, Upstream, echo, event, stream

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


def chat_loop(client: Any, *, streamed: bool) -> None:
    messages: list[Any] = [{"role": "system", "content": "be kind"}, {"role": "user", "content": "where are they?"}]
    asked: Any = {"model": "gpt-4o", "tools": [{"type": "function", "function": LOOK}]}
    if streamed:
        with client.chat.completions.stream(**asked, messages=messages) as events:
            list(events)
            message = events.get_final_completion().choices[0].message
    else:
        message = client.chat.completions.create(**asked, messages=messages).choices[0].message
    messages.append(message.model_dump())  # with every null and extra field that the client adds
    messages += [
        {"role": "tool", "tool_call_id": call.id, "content": f"found {call.id}"} for call in message.tool_calls
    ]
    client.chat.completions.create(**asked, messages=messages)


def responses_loop(client: Any, *, by_id: bool) -> None:
    asked: Any = {"model": "gpt-4o", "instructions": "be kind", "tools": [{"type": "function", **LOOK}]}
    given: list[Any] = [{"role": "user", "content": "where are they?"}]
    first = client.responses.create(**asked, input=given)
    results = [
        {"type": "function_call_output", "call_id": item.call_id, "output": f"found {item.call_id}"}
        for item in first.output
    ]
    if by_id:
        client.responses.create(**asked, input=results, previous_response_id=first.id)
    else:
        client.responses.create(**asked, input=[*given, *(item.model_dump() for item in first.output), *results])


def messages_loop(client: Any) -> None:
    tools: Any = [{"name": "look", "description": "d", "input_schema": LOOK["parameters"]}]
    asked: Any = {"model": "claude-opus-5", "max_tokens": 99, "system": "be kind", "tools": tools}
    given: list[Any] = [{"role": "user", "content": "where are they?"}]
    first = client.messages.create(**asked, messages=given)
    results: Any = [
        {"type": "tool_result", "tool_use_id": b.id, "content": f"found {b.id}"}
        for b in first.content
        if b.type == "tool_use"
    ]
    turn: Any = {"role": "assistant", "content": [block.model_dump() for block in first.content]}
    client.messages.create(**asked, messages=[*given, turn, {"role": "user", "content": results}])


LOOPS: dict[str, Callable[[Any, Any], None]] = {
    "chat": lambda openai, _: chat_loop(openai, streamed=False),
    "chat, streamed": lambda openai, _: chat_loop(openai, streamed=True),
    "responses": lambda openai, _: responses_loop(openai, by_id=False),
    "responses by id": lambda openai, _: responses_loop(openai, by_id=True),
    "messages": lambda _, anthropic: messages_loop(anthropic),
}


@pytest.mark.parametrize("kind", LOOPS)
def test_a_tool_loop_is_one_episode_with_two_turns(
    kind: str, upstream: Upstream, proxy: CaptureProxy, openai_client: Any, anthropic_client: Any
) -> None:
    upstream.answer = agent
    LOOPS[kind](openai_client, anthropic_client)
    assert len(proxy.calls) == 2
    (episode,) = proxy.trajectories()
    assert [m["role"] for m in episode.messages] == ["system", "user", "assistant", "tool", "tool", "assistant"]
    assert len(episode.calls) == 2
    called = [c["function"] for c in episode.messages[2]["tool_calls"]]
    assert [c["name"] for c in called] == ["look", "look"]
    assert [m["content"] for m in episode.messages[3:5]] == ["found call_a", "found call_b"]
    assert episode.final_content().startswith("echo: ")
    assert episode.tools == [{"type": "function", "function": LOOK}]


def test_50_interleaved_conversations_come_out_as_50(proxy: CaptureProxy) -> None:
    import openai

    async def talk(client: Any, number: int) -> None:
        messages: list[Any] = [{"role": "system", "content": "be kind"}, {"role": "user", "content": f"task {number}"}]
        for turn in range(3):
            message = (await client.chat.completions.create(model="gpt-4o", messages=messages)).choices[0].message
            messages += [message.model_dump(), {"role": "user", "content": f"more {turn}"}]

    async def everybody() -> None:
        async with openai.AsyncOpenAI(base_url=proxy.base_url, api_key=proxy.token, max_retries=0) as client:
            await asyncio.gather(*(talk(client, number) for number in range(50)))

    run_async(everybody())
    assert len(proxy.calls) == 150
    episodes = proxy.trajectories()
    assert sorted(e.first_user_content() for e in episodes) == sorted(f"task {n}" for n in range(50))
    assert {len(e.calls) for e in episodes} == {3}


def test_regenerating_branches_and_sessions_separate(proxy: CaptureProxy, openai_client: Any) -> None:
    given: Any = [{"role": "user", "content": "say something"}]
    create = openai_client.chat.completions.create
    first = create(model="m", messages=given).choices[0].message.model_dump()
    create(model="m", messages=given)  # the same again, and the first one is gone on with
    create(model="m", messages=[*given, first, {"role": "user", "content": "go on"}])
    assert sorted(len(e.calls) for e in proxy.trajectories()) == [1, 2]
    for session in ("one", "two"):
        create(model="m", messages=given, extra_headers={"x-session-id": session})
    assert [len(proxy.trajectories(session=session)) for session in ("one", "two")] == [1, 1]
