"""Episodes of real clients through the real proxy and its store: the same tool loop in three dialects."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

import shadownb as snb
from shadownb.engine.capture import CaptureStore, capture
from shadownb.engine.capture.proxy import CaptureProxy
from shadownb.engine.trajectories import trajectories_of
from shadownb.errors import DataError
from tests.capture.upstream import Reply, Seen, Upstream

KEY = "sk-test-0000000000000000"
CITIES = ("Paris", "Rome")
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
CHAT_TOOLS: Any = [
    {"type": "function", "function": {"name": "weather", "description": "The weather", "parameters": SCHEMA}}
]


async def agent_model(seen: Seen, reply: Reply) -> None:
    """Asks for the weather of both cities at once; with the results there, it says what it knows."""
    body = seen.json
    known = any(mark in seen.body for mark in (b'"role":"tool"', b"function_call_output", b"tool_result"))
    if "responses" in seen.path:
        await reply.json(_responses(known))
    elif "messages" in seen.path:
        await reply.json(_messages(known))
    else:
        await reply.json(_chat(known, body["messages"]))


def _chat(known: bool, messages: list[dict[str, Any]]) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": "Rain and sun.", "refusal": None}
    asked = messages[1]["content"] if len(messages) > 1 else ""
    if asked.startswith("echo"):
        message["content"] = f"{asked}, {len(messages)}"
    elif not known:
        calls = [
            {"id": f"c{n}", "type": "function", "function": {"name": "weather", "arguments": f'{{"city": "{city}"}}'}}
            for n, city in enumerate(CITIES)
        ]
        message |= {"content": None, "tool_calls": calls}
    choice = {"index": 0, "message": message, "finish_reason": "stop" if known else "tool_calls"}
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    facts = {"id": "x", "object": "chat.completion", "created": 1, "model": "frontier-1"}
    return {**facts, "choices": [choice], "usage": usage}


def _responses(known: bool) -> dict[str, Any]:
    text = {"type": "output_text", "text": "Rain and sun.", "annotations": []}
    message = {"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": [text]}
    calls = [
        {"type": "function_call", "id": f"f{n}", "call_id": f"c{n}", "name": "weather", "status": "completed"}
        | {"arguments": f'{{"city": "{city}"}}'}
        for n, city in enumerate(CITIES)
    ]
    return {
        "id": "resp_2" if known else "resp_1", "object": "response", "created_at": 1, "model": "frontier-1",
        "status": "completed", "output": [message] if known else calls, "tools": [], "tool_choice": "auto",
        "parallel_tool_calls": True, "usage": {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15},
    }  # fmt: skip


def _messages(known: bool) -> dict[str, Any]:
    calls = [{"type": "tool_use", "id": f"c{n}", "name": "weather", "input": {"city": c}} for n, c in enumerate(CITIES)]
    return {
        "id": "msg", "type": "message", "role": "assistant", "model": "frontier-1", "stop_sequence": None,
        "content": [{"type": "text", "text": "Rain and sun."}] if known else calls,
        "stop_reason": "end_turn" if known else "tool_use", "usage": {"input_tokens": 10, "output_tokens": 5},
    }  # fmt: skip


@pytest.fixture
def proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CaptureProxy]:
    monkeypatch.setenv("SHADOWNB_HOME", str(tmp_path))
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    with Upstream(agent_model) as upstream, capture(upstream.url) as running:
        yield running


def chat_loop(proxy: CaptureProxy) -> None:
    import openai

    with openai.OpenAI(base_url=proxy.base_url, api_key=proxy.token, max_retries=0) as client:
        messages: list[Any] = [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Weather in Paris and Rome?"},
        ]
        first = client.chat.completions.create(model="frontier-1", messages=messages, tools=CHAT_TOOLS)
        messages.append(first.choices[0].message)
        for one, text in zip(first.choices[0].message.tool_calls or [], ("rain", "sun"), strict=True):
            messages.append({"role": "tool", "tool_call_id": one.id, "content": text})
        client.chat.completions.create(model="frontier-1", messages=messages, tools=CHAT_TOOLS)


def responses_loop(proxy: CaptureProxy, *, stored: bool = False) -> None:
    import openai

    with openai.OpenAI(base_url=proxy.base_url, api_key=proxy.token, max_retries=0) as client:
        tools: Any = [{"type": "function", "name": "weather", "description": "The weather", "parameters": SCHEMA}]
        given: list[Any] = [{"role": "user", "content": "Weather in Paris and Rome?"}]
        options: dict[str, Any] = {"model": "frontier-1", "instructions": "Be brief.", "tools": tools}
        first = client.responses.create(input=given, **options)
        outputs = [
            {"type": "function_call_output", "call_id": item.call_id, "output": text}
            for item, text in zip(first.output, ("rain", "sun"), strict=True)
            if item.type == "function_call"
        ]
        if stored:
            client.responses.create(input=outputs, previous_response_id=first.id, **options)  # type: ignore[arg-type]
        else:
            client.responses.create(input=[*given, *first.output, *outputs], **options)


def messages_loop(proxy: CaptureProxy) -> None:
    import anthropic

    with anthropic.Anthropic(base_url=proxy.root_url, api_key=proxy.token, max_retries=0) as client:
        tools: Any = [{"name": "weather", "description": "The weather", "input_schema": SCHEMA}]
        messages: list[Any] = [{"role": "user", "content": "Weather in Paris and Rome?"}]
        options: dict[str, Any] = {"model": "frontier-1", "max_tokens": 99, "system": "Be brief.", "tools": tools}
        first = client.messages.create(messages=messages, **options)
        results = [
            {"type": "tool_result", "tool_use_id": block.id, "content": text}
            for block, text in zip(first.content, ("rain", "sun"), strict=True)
            if block.type == "tool_use"
        ]
        messages += [{"role": "assistant", "content": first.content}, {"role": "user", "content": results}]
        client.messages.create(messages=messages, **options)


LOOPS: dict[str, Callable[[CaptureProxy], None]] = {
    "chat": chat_loop,
    "responses": responses_loop,
    "responses, history kept there": lambda proxy: responses_loop(proxy, stored=True),
    "messages": messages_loop,
}


@pytest.mark.parametrize("loop", LOOPS.values(), ids=list(LOOPS))
@pytest.mark.filterwarnings("ignore::shadownb.ShadowWarning")
def test_a_tool_loop_is_one_trajectory_in_every_dialect(
    loop: Callable[[CaptureProxy], None], proxy: CaptureProxy, smollm2_tokenizer: Any
) -> None:
    loop(proxy)

    (found,) = proxy.trajectories()
    roles = ["system", "user", "assistant", "tool", "tool", "assistant"]
    assert [message["role"] for message in found.messages] == roles
    assert found.sampled_turns == [2, 5]
    assert [call["arguments"] for call in found.tool_calls] == [{"city": "Paris"}, {"city": "Rome"}]
    ids = [call["id"] for call in found.tool_calls]
    assert [message["tool_call_id"] for message in found.messages[3:5]] == ids
    assert [message["content"] for message in found.messages[3:5]] == ["rain", "sun"]
    assert found.final_content() == "Rain and sun."
    assert (found.usage["prompt_tokens"], found.usage["completion_tokens"]) == (20, 10)
    assert [tool["function"]["name"] for tool in found.tools or []] == ["weather"]

    # The data set is the same from the proxy, its store, its id, its folder and its calls.
    sources = (proxy, proxy.store, proxy.id, Path(proxy.folder), proxy.calls, list(proxy.calls))
    sets = [snb.Dataset.from_captures(source) for source in sources]
    assert len({data.fingerprint for data in sets}) == 1
    trained = "".join(token.text for token in sets[0].inspect(smollm2_tokenizer).tokens if token.trained)
    assert "weather" in trained and "Rome" in trained and "Rain and sun." in trained
    assert "Be brief." not in trained and KEY not in json.dumps(sets[0].rows)


def test_fifty_interleaved_conversations_through_one_client(proxy: CaptureProxy) -> None:
    import openai

    turns = 3
    histories: list[list[Any]] = [
        [{"role": "system", "content": "Be brief."}, {"role": "user", "content": f"echo {number % 25}"}]
        for number in range(50)  # every conversation has a twin with the very same words
    ]
    order = [number for number in range(50) for _ in range(turns)]
    Random(7).shuffle(order)
    with openai.OpenAI(base_url=proxy.base_url, api_key=proxy.token, max_retries=0) as client:
        for number in order:
            answered = client.chat.completions.create(model="frontier-1", messages=histories[number])
            histories[number] += [answered.choices[0].message, {"role": "user", "content": "More"}]
    found = proxy.trajectories()
    assert len(found) == 50
    assert [len(trajectory.calls) for trajectory in found] == [turns] * 50
    assert len(trajectories_of(proxy.store, status="error")) == 0


def test_an_empty_capture_has_no_episodes_and_is_no_data_set(proxy: CaptureProxy) -> None:
    assert len(proxy.trajectories()) == 0
    with pytest.raises(DataError):
        snb.Dataset.from_captures(proxy)
    with pytest.raises(DataError):
        snb.Dataset.from_captures("no-such-capture")
    assert isinstance(proxy.store, CaptureStore)
