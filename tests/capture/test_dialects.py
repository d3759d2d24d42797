"""Rebuilding streams and reading conversations, compared with what the vendors' own clients make of the same bytes."""

from __future__ import annotations

import json
import random
from itertools import pairwise
from typing import Any

import pytest

from shadownb.engine.capture.dialects import dialect
from shadownb.engine.capture.dialects.responses import items_to_messages
from shadownb.engine.capture.proxy import CaptureProxy
from shadownb.engine.capture.sse import events
from tests.capture.upstream import Reply, Seen, Upstream, event, sse, stream

TOOL = {"type": "object", "properties": {"id": {"type": "integer"}}}
TEXT = "Let me look that up, señor 📦."
CALLS = [("look", {"id": 7}), ("send", {"to": "bo", "n": [1, 2]})]


def chat_stream(seed: int) -> list[bytes]:
    """A chat stream with two choices, text, reasoning and parallel calls, its deltas cut at random places."""
    chance = random.Random(seed)
    head = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o", "system_fingerprint": "fp"}
    deltas: list[tuple[int, dict[str, Any]]] = []
    for index in (0, 1):
        deltas.append((index, {"role": "assistant", "content": ""}))
        deltas += [(index, {"content": piece}) for piece in _cut(TEXT, chance)]
        for place, (name, arguments) in enumerate(CALLS):
            call = {
                "index": place,
                "id": f"call_{index}{place}",
                "type": "function",
                "function": {"name": name, "arguments": ""},
            }
            deltas.append((index, {"tool_calls": [call]}))
            pieces = _cut(json.dumps(arguments), chance)
            deltas += [
                (index, {"tool_calls": [{"index": place, "function": {"arguments": piece}}]}) for piece in pieces
            ]
    order = (
        sorted(range(len(deltas)), key=lambda n: (n if deltas[n][0] else n + chance.random() * 30, n))
        if seed
        else range(len(deltas))
    )
    ordered = {index: iter([d for i, d in deltas if i == index]) for index in (0, 1)}
    frames = [
        event(
            {**head, "choices": [{"index": deltas[n][0], "delta": next(ordered[deltas[n][0]]), "finish_reason": None}]}
        )
        for n in order
    ]
    frames += [
        event({**head, "choices": [{"index": index, "delta": {}, "finish_reason": "tool_calls"}]}) for index in (0, 1)
    ]
    usage = {
        "prompt_tokens": 9,
        "completion_tokens": 5,
        "total_tokens": 14,
        "prompt_tokens_details": {"cached_tokens": 4},
    }
    return [*frames, event({**head, "choices": [], "usage": usage}), b"data: [DONE]\n\n"]


def _cut(text: str, chance: random.Random) -> list[str]:
    places = sorted({0, len(text), *(chance.randrange(len(text)) for _ in range(5))})
    return [text[a:b] for a, b in pairwise(places)]


@pytest.mark.parametrize("seed", range(5))
def test_chat_is_rebuilt_as_openais_client_does_it(seed: int) -> None:
    from openai.lib.streaming.chat import ChatCompletionStreamState
    from openai.types.chat import ChatCompletionChunk

    body = b"".join(chat_stream(seed))
    state = ChatCompletionStreamState()
    for each in events(body):
        if each.data != b"[DONE]":
            state.handle_chunk(ChatCompletionChunk.model_validate_json(each.data))
    theirs = state.get_final_completion().model_dump()
    ours = dialect("chat")
    choices = ours.choices(ours.response(body, streamed=True))
    assert len(choices) == 2
    for mine, their in zip(choices, theirs["choices"], strict=True):
        assert mine["message"]["content"] == their["message"]["content"] == TEXT
        assert mine["finish_reason"] == their["finish_reason"] == "tool_calls"
        names = [(c["id"], c["function"]["name"], c["function"]["arguments"]) for c in their["message"]["tool_calls"]]
        assert [
            (c["id"], c["function"]["name"], c["function"]["arguments"]) for c in mine["message"]["tool_calls"]
        ] == names
    facts = ours.facts(body, streamed=True)
    assert (facts.model, facts.response_id, facts.finish_reason, facts.whole) == ("gpt-4o", "c1", "tool_calls", True)
    assert facts.usage == {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14, "cached_tokens": 4}


def messages_stream(seed: int) -> list[bytes]:
    """A stream of Anthropic's with thinking, text and two tool calls."""
    chance = random.Random(seed)
    start = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-opus-5", "content": [], "stop_reason": None,
             "stop_sequence": None, "usage": {"input_tokens": 10, "cache_read_input_tokens": 4, "output_tokens": 1}}  # fmt: skip
    thoughts: list[dict[str, Any]] = [{"type": "thinking_delta", "thinking": p} for p in _cut("hmm, well", chance)]
    thoughts.append({"type": "signature_delta", "signature": "sig"})
    blocks: list[tuple[dict[str, Any], list[dict[str, Any]]]] = [
        ({"type": "thinking", "thinking": "", "signature": ""}, thoughts),
        ({"type": "text", "text": ""}, [{"type": "text_delta", "text": p} for p in _cut(TEXT, chance)]),
    ]
    for place, (name, arguments) in enumerate(CALLS):
        pieces = ["", *_cut(json.dumps(arguments), chance)]
        block = {"type": "tool_use", "id": f"toolu_{place}", "name": name, "input": {}}
        blocks.append((block, [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]))
    frames = [{"type": "message_start", "message": start}, {"type": "ping"}]
    for index, (block, deltas) in enumerate(blocks):
        frames.append({"type": "content_block_start", "index": index, "content_block": block})
        frames += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        frames.append({"type": "content_block_stop", "index": index})
    delta = {"stop_reason": "tool_use", "stop_sequence": None}
    frames += [{"type": "message_delta", "delta": delta, "usage": {"output_tokens": 20}}, {"type": "message_stop"}]
    return [event(data, str(data["type"])) for data in frames]


def test_messages_are_rebuilt_as_anthropics_client_does_it(
    upstream: Upstream, proxy: CaptureProxy, anthropic_client: Any
) -> None:
    for seed in range(4):
        upstream.answer = lambda seen, reply, seed=seed: stream(reply, messages_stream(seed))
        asked = {"model": "claude-opus-5", "max_tokens": 100, "messages": [{"role": "user", "content": "where?"}]}
        with anthropic_client.messages.stream(**asked) as theirs:
            final = theirs.get_final_message()
        call = proxy.calls[0]
        content = final.model_dump(exclude_none=True)["content"]
        assert [{k: v for k, v in block.items() if k != "caller"} for block in content] == call.response["content"]
        assert (call.finish_reason, final.stop_reason) == ("tool_use", "tool_use")
        assert call.usage == {"prompt_tokens": 14, "completion_tokens": 20, "cached_tokens": 4, "total_tokens": 34}
        message = call.response_message
        assert message is not None
        assert (message["content"], message["reasoning_content"]) == (TEXT, "hmm, well")
        assert [(c["id"], json.loads(c["function"]["arguments"])) for c in message["tool_calls"]] == [
            ("toolu_0", {"id": 7}), ("toolu_1", {"to": "bo", "n": [1, 2]}),
        ]  # fmt: skip


def test_responses_are_rebuilt_as_openais_client_does_it(proxy: CaptureProxy, openai_client: Any) -> None:
    with openai_client.responses.stream(model="gpt-4o", input="where?", instructions="be kind") as theirs:
        for _ in theirs:
            pass
        final = theirs.get_final_response()
    call = proxy.calls[0]
    assert call.text == final.output_text == "echo: where?"
    assert (call.status, call.finish_reason, call.response_id) == ("ok", "completed", final.id)
    assert call.usage == {
        "prompt_tokens": 7,
        "completion_tokens": 2,
        "total_tokens": 9,
        "cached_tokens": 2,
        "reasoning_tokens": 1,
    }
    assert call.messages == [{"role": "system", "content": "be kind"}, {"role": "user", "content": "where?"}]
    cut = sse("/v1/responses", "echo: one two three")[:6]  # its end never came: what had come is there
    speaks = dialect("responses")
    assert speaks.choices(speaks.response(b"".join(cut), streamed=True))[0]["message"]["content"] == "echo: one two "


def loop_in(kind: str) -> tuple[Any, list[dict[str, Any]], dict[str, Any]]:
    """Return (first answer's raw content, the turns after the first user's as echoed, the same answer in chat form)."""
    arguments = [json.dumps(a) for _, a in CALLS]
    wire = [
        {"id": f"call_{n}", "type": "function", "function": {"name": c[0], "arguments": arguments[n]}}
        for n, c in enumerate(CALLS)
    ]
    chat = {"role": "assistant", "content": TEXT, "tool_calls": wire}
    if kind == "chat":
        results = [{"role": "tool", "tool_call_id": f"call_{n}", "content": f"result {n}"} for n in range(2)]
        return {"choices": [{"index": 0, "message": chat, "finish_reason": "tool_calls"}]}, [chat, *results], chat
    if kind == "messages":
        blocks = [{"type": "text", "text": TEXT}]
        blocks += [{"type": "tool_use", "id": f"call_{n}", "name": c[0], "input": c[1]} for n, c in enumerate(CALLS)]  # type: ignore[dict-item]
        results = [
            {"type": "tool_result", "tool_use_id": f"call_{n}", "content": [{"type": "text", "text": f"result {n}"}]}
            for n in range(2)
        ]
        return (
            {"content": blocks},
            [{"role": "assistant", "content": blocks}, {"role": "user", "content": results}],
            chat,
        )
    items: list[dict[str, Any]] = [
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": TEXT}]}
    ]
    items += [
        {"type": "function_call", "call_id": f"call_{n}", "name": c[0], "arguments": arguments[n]}
        for n, c in enumerate(CALLS)
    ]
    outputs = [{"type": "function_call_output", "call_id": f"call_{n}", "output": f"result {n}"} for n in range(2)]
    return {"output": items, "status": "completed"}, [*items, *outputs], chat


@pytest.mark.parametrize("kind", ["chat", "responses", "messages"])
def test_an_answer_reads_the_same_when_it_comes_back_as_history(kind: str) -> None:
    """The answer of one call, and the same turn in the next call's request, have one chat form: so episodes can be joined."""
    speaks = dialect(kind)
    raw, echoed, chat = loop_in(kind)
    answer = speaks.choices(raw)[0]["message"]
    field = "input" if kind == "responses" else "messages"
    turns = speaks.messages({field: [{"role": "user", "content": "where?"}, *echoed]})
    assert turns[1] == answer == chat
    assert [t["role"] for t in turns] == ["user", "assistant", "tool", "tool"]
    assert [(t["tool_call_id"], t["content"]) for t in turns[2:]] == [("call_0", "result 0"), ("call_1", "result 1")]


def test_tools_have_one_form() -> None:
    function = {"name": "look", "description": "d", "parameters": TOOL}
    wanted = [{"type": "function", "function": function}]
    assert dialect("chat").tools({"tools": wanted}) == wanted
    assert dialect("responses").tools({"tools": [{"type": "function", **function}]}) == wanted
    theirs = [{"name": "look", "description": "d", "input_schema": TOOL}]
    assert dialect("messages").tools({"tools": theirs}) == wanted


def test_two_turns_of_items_stay_two_turns() -> None:
    items = [
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "think"}]},
        {"type": "function_call", "call_id": "a", "name": "look", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "a", "output": "x"},
        {"role": "assistant", "content": "done"},
        {
            "role": "user",
            "content": [{"type": "input_text", "text": "thanks"}, {"type": "input_image", "image_url": "http://i"}],
        },
    ]
    turns = items_to_messages(items)
    assert [turn["role"] for turn in turns] == ["assistant", "tool", "assistant", "user"]
    assert turns[0]["reasoning_content"] == "think"
    assert turns[2]["content"] == "done"
    assert turns[3]["content"][1] == {"type": "image_url", "image_url": {"url": "http://i"}}


async def _slow(seen: Seen, reply: Reply) -> None:
    await reply.json({})


def test_an_empty_object_is_an_answer_without_choices(
    upstream: Upstream, proxy: CaptureProxy, openai_client: Any
) -> None:
    upstream.answer = _slow
    openai_client.chat.completions.create(model="m", messages=[{"role": "user", "content": "x"}])
    assert (proxy.calls[0].choices, proxy.calls[0].response_message, proxy.calls[0].text) == ([], None, "")
