"""What a stream really said: tool calls of disorderly servers, contents in parts, endings that are none, tokens that cost more."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shadownb.engine.capture import PriceTable
from shadownb.engine.capture.dialects import dialect
from shadownb.engine.capture.exchange import Exchange, Record
from shadownb.engine.capture.redaction import Redactor
from shadownb.engine.trajectories.endings import GOOD
from shadownb.engine.trajectories.trajectory import CallFacts


def frames(*data: Any) -> bytes:
    return b"".join(
        b"data: " + (each if isinstance(each, bytes) else json.dumps(each).encode()) + b"\n\n" for each in data
    )


def rebuilt(*deltas: dict[str, Any]) -> dict[str, Any]:
    chunks = [{"id": "c", "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    chat = dialect("chat")
    end = {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}
    message: dict[str, Any] = chat.choices(chat.response(frames(*chunks, end, b"[DONE]"), streamed=True))[0]["message"]
    return message


def calls(*deltas: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    found = rebuilt(*({"tool_calls": delta} for delta in deltas)).get("tool_calls", [])
    return [(call.get("id"), call["function"].get("name"), call["function"].get("arguments")) for call in found]


def tc(arguments: str | None = None, name: str | None = None, id: str | None = None, **fields: Any) -> dict[str, Any]:
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    return {**fields, **({"id": id} if id is not None else {}), "function": function}


X, Y = '{"p":"x"}', '{"p":"y"}'


@pytest.mark.parametrize(
    ("deltas", "expected"),
    [
        ([[tc("", "look", "a", index=0)], [tc('{"p":', index=0)], [tc('"x"}', index=0)], [tc(Y, "look", "b", index=1)]],
         [("a", "look", X), ("b", "look", Y)]),
        ([[tc(X, "look", "a", index=0)], [tc(Y, "look", "b", index=0)]], [("a", "look", X), ("b", "look", Y)]),
        ([[tc("", "look", "a", index=0)], [tc(X, index=0)], [tc("", "look", "b", index=0)], [tc(Y, index=0)]],
         [("a", "look", X), ("b", "look", Y)]),
        ([[tc(X, "look", "", index=0)], [tc(Y, "look", "", index=0)]], [("", "look", X), ("", "look", Y)]),
        ([[tc(X, "look")], [tc(Y, "seek")]], [(None, "look", X), (None, "seek", Y)]),
        ([[tc('{"p":', "look", "a")], [tc('"x"}')]], [("a", "look", X)]),
        ([[tc('{"p":', "look", "a"), tc('{"p":', "seek", "b")], [tc('"x"}'), tc('"y"}')]], [("a", "look", X), ("b", "seek", Y)]),
        ([[tc("", "lo", "a", index=0)], [tc(X, "ok", index=0)]], [("a", "look", X)]),
        ([[tc("", "look", "a", index=0)], [tc('{"p":', "look", "a", index=0)], [tc('"x"}', "look", "a", index=0)]],
         [("a", "look", X)]),
        ([[tc('{"p":', "look", "r1", index=0)], [tc('"x"}', None, "r2", index=0)]], [("r1", "look", X)]),  # vLLM in 2024
        ([[tc('{"p":', "look", "r1", index=0)], [tc('"x"}', "look", "r2", index=0)]], [("r1", "look", X)]),
        ([[tc(X, "look", "a", index=0)], [tc(X, "look", "a", index=0)]], [("a", "look", X)]),  # once more, as its end
        ([[tc(X, "look", "a", index="0")], [tc(Y, "look", "b", index="1")]], [("a", "look", X), ("b", "look", Y)]),
        ([[tc('{"p":', "look", "a", index=1)], [tc(Y, "seek", "b", index=0)], [tc('"x"}', index=1)]],
         [("a", "look", X), ("b", "seek", Y)]),
        ([[7, None, tc(X, "look", "a", index=0)], [{"index": 0}, {"index": 0, "function": 3}]], None),
    ],
    ids=["in order", "index 0 for both", "index 0, in pieces", "no ids", "no ids, no index", "no index, in pieces", "two at once",
         "a name in pieces", "a name every time", "an id every time", "id and name every time", "repeated at the end",
         "index as text", "between each other", "no calls at all"],
)  # fmt: skip
def test_tool_calls_of_a_stream(deltas: list[list[dict[str, Any]]], expected: list[tuple[Any, ...]] | None) -> None:
    if expected is None:  # nothing is asserted of it but that it is read
        assert rebuilt(*({"tool_calls": delta} for delta in deltas))["tool_calls"]
    else:
        assert calls(*deltas) == expected


def test_the_function_of_the_first_api_comes_in_pieces_too() -> None:
    deltas = (
        {"name": "lo", "arguments": ""},
        {"name": "ok"},
        {"arguments": '{"p":'},
        {"name": "look", "arguments": '"x"}'},
    )
    assert rebuilt(*({"function_call": delta} for delta in deltas))["function_call"] == {"name": "look", "arguments": X}


def test_contents_that_are_lists() -> None:
    reference = {"type": "reference", "reference_ids": [1]}
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm, "}, {"type": "text", "text": "so."}]}
    text = {"type": "text", "text": "ans"}
    split = rebuilt({"content": "Hel"}, {"content": [reference]}, {"content": "lo"})
    assert (split["content"], split["other_parts"]) == ("Hello", [reference])
    for message in (
        rebuilt({"content": [thought]}, {"content": "an"}, {"content": [{**text, "text": "s"}]}),
        _whole([thought, text]),
    ):
        assert (message["content"], message["reasoning_content"]) == ("ans", "Hm, so.")
    picture = {"type": "image_url", "image_url": {"url": "data:,"}}
    assert _whole([text, picture])["content"] == [text, picture]


def _whole(content: Any) -> dict[str, Any]:
    message: dict[str, Any] = dialect("chat").choices(
        {"choices": [{"message": {"role": "assistant", "content": content}}]}
    )[0]["message"]
    return message


def test_responses_that_break_off_or_do_not_repeat_themselves() -> None:
    speaks, call = dialect("responses"), {"type": "function_call", "arguments": ""}
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": {"id": "r", "status": "in_progress", "output": []}},
        {"type": "response.output_item.added", "item": {"id": "rs", "type": "reasoning", "summary": []}},
        {"type": "response.reasoning_summary_text.delta", "item_id": "rs", "summary_index": 0, "delta": "Hm"},
        {"type": "response.output_item.added", "item": {**call, "id": "f1", "call_id": "a", "name": "look"}},
        {"type": "response.output_item.added", "item": {**call, "id": "f2", "call_id": "b", "name": "seek"}},
        {"type": "response.function_call_arguments.delta", "item_id": "f1", "delta": X},
        {"type": "response.function_call_arguments.delta", "item_id": "f2", "delta": Y},
    ]  # fmt: skip
    for end in ([], [{"type": "response.completed", "response": {"id": "r", "status": "completed", "output": []}}]):
        answer = speaks.response(frames(*events, *end), streamed=True)
        (choice,) = speaks.choices(answer)
        found = [
            (call["id"], call["function"]["name"], call["function"]["arguments"])
            for call in choice["message"]["tool_calls"]
        ]
        assert found == [("a", "look", X), ("b", "seek", Y)]
        assert choice["message"]["reasoning_content"] == "Hm"
        assert choice["finish_reason"] == ("completed" if end else None)


def test_one_answer_of_several_items_is_one_message() -> None:
    items = [{"type": "function_call", "call_id": "a", "name": "look", "arguments": X},
             {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "looking"}]}]  # fmt: skip
    (choice,) = dialect("responses").choices({"output": items, "status": "completed"})
    assert (choice["message"]["content"], len(choice["message"]["tool_calls"])) == ("looking", 1)
    half = [*items, {"type": "message", "role": "assistant", "status": "incomplete", "content": []}]
    assert dialect("responses").choices({"output": half, "status": "completed"})[0]["finish_reason"] == "incomplete"


def messages_stream(*events: dict[str, Any]) -> dict[str, Any]:
    speaks = dialect("messages")
    message: dict[str, Any] = speaks.choices(speaks.response(frames(*events), streamed=True))[0]["message"]
    return message


def test_tools_of_anthropic_that_begin_with_their_input() -> None:
    def begin(index: int, **fields: Any) -> dict[str, Any]:
        block = {"type": "tool_use", "id": f"t{index}", "name": "look", **fields}
        return {"type": "content_block_start", "index": index, "content_block": block}

    def partial(text: str, index: int = 0) -> dict[str, Any]:
        return {
            "type": "content_block_delta",
            "index": index,
            "delta": {"type": "input_json_delta", "partial_json": text},
        }

    for stream in ([begin(0, input={"p": "x"}), partial("")], [begin(0, input={}), partial('{"p":'), partial('"x"}')],
                   [begin(0, input={"p": "old"}), partial(X)]):  # fmt: skip
        (call,) = messages_stream(*stream)["tool_calls"]
        assert json.loads(call["function"]["arguments"]) == {"p": "x"}
    # Blocks without an index of their own, and pieces that add up to no JSON: text, which no row takes for arguments.
    first, second = messages_stream(begin(0, input={}), partial(X), begin(0, input={}, id="t9"), partial('{"p": "y'))[
        "tool_calls"
    ]
    assert (json.loads(first["function"]["arguments"]), second["function"]["arguments"]) == ({"p": "x"}, '{"p": "y')
    lost = messages_stream({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hi"}})
    assert lost["content"] == "hi"


# -- complete or not -----------------------------------------------------------------------------------------------------

NOT_COMPLETE = {
    "chat": [
        "length",
        "content_filter",
        "error",
        "abort",
        "model_length",
        "insufficient_system_resource",
        "new_in_2030",
        "",
        None,
    ],
    "completions": ["length", "abort", None],
    "messages": ["max_tokens", "pause_turn", "refusal", "model_context_window_exceeded", "stop", None],
    "responses": ["incomplete", "max_output_tokens", "failed", "cancelled", "queued", "in_progress", "stop", None],
    "gemini": ["MAX_TOKENS", "SAFETY", "MALFORMED_FUNCTION_CALL", "FINISH_REASON_UNSPECIFIED", None],
}


@pytest.mark.parametrize("name", GOOD)
def test_an_answer_is_complete_by_known_good_endings_only(name: str) -> None:
    for reason in GOOD[name]:
        assert CallFacts("c", 1, dialect=name, finish_reason=reason).complete
    for odd in NOT_COMPLETE[name]:
        facts = CallFacts("c", 1, dialect=name, finish_reason=odd)
        assert not facts.complete
        assert facts.why_not_complete
    for status in ("error", "cut", "client_gone", "unread"):
        assert not CallFacts("c", 1, dialect=name, status=status, finish_reason=next(iter(GOOD[name]))).complete


def test_of_spans_no_reason_is_no_sign() -> None:
    for reason in (
        None,
        "stop",
        "STOP",
        "FinishReason.STOP",
        "FINISH_REASON_STOP",
        "COMPLETE",
        "tool_call",
        "end_turn",
    ):
        assert CallFacts("s", 1, finish_reason=reason).complete
    for reason in ("length", "MAX_TOKENS", "FinishReason.MAX_TOKENS", "error", "content_filter"):
        assert not CallFacts("s", 1, finish_reason=reason).complete


def record(name: str, body: bytes, *, sse: bool = True) -> dict[str, Any]:
    request = {"model": "claude-sonnet-4-5", "messages": [{"role": "user", "content": "q"}]}
    exchange = Exchange(dialect(name), json.dumps(request).encode(), request, "upstream", http_status=200, sse=sse)
    exchange.add(body)
    return Record.of(exchange, PriceTable.load(), Redactor()).columns


ERRORS: list[Any] = [
    {"error": "overloaded", "error_type": "overloaded"}, {"error": {"message": "overloaded"}}, {"error": ["overloaded"]},
    {"object": "error", "message": "overloaded", "code": 500},
    {"type": "error", "error": {"type": "overloaded_error", "message": "overloaded"}},
]  # fmt: skip


@pytest.mark.parametrize("error", ERRORS, ids=["text", "object", "list", "of vLLM", "of Anthropic"])
@pytest.mark.parametrize("name", ["chat", "completions", "messages", "responses"])
def test_an_error_in_the_middle_of_a_stream_is_one(name: str, error: dict[str, Any]) -> None:
    begins = {
        "chat": {"choices": [{"index": 0, "delta": {"content": "half"}}]},
        "completions": {"choices": [{"index": 0, "text": "half"}]},
        "messages": {"type": "message_start", "message": {"role": "assistant", "content": []}},
        "responses": {"type": "response.created", "response": {"id": "r", "status": "in_progress"}},
    }[name]
    columns = record(name, frames(begins, error, b"[DONE]"))
    assert columns["status"] == "error"
    assert "overloaded" in columns["error"]
    whole = record(name, json.dumps(error).encode(), sse=False)
    assert (whole["status"], "overloaded" in whole["error"]) == ("error", True)


def test_no_error_is_none() -> None:
    for fields in ({"error": None}, {"error": {}}, {"error": ""}, {}):
        chunk = {"choices": [{"index": 0, "delta": {"content": 'say "error": "x"'}, "finish_reason": "stop"}], **fields}
        assert record("chat", frames(chunk, b"[DONE]"))["status"] == "ok"


def test_another_choice_does_not_inherit_the_ending_of_the_first() -> None:
    from shadownb.engine.trajectories.graph import facts_of
    from tests.trajectories.calls import Recorded, user

    message = {"role": "assistant", "content": "half"}
    for choices, reason in (([{"message": message, "finish_reason": None}], None), ([{"message": message}], "stop")):
        call = Recorded([user("q")], choices, finish_reason="stop")
        assert facts_of(call, choices[0], 1).finish_reason == reason


@pytest.mark.parametrize(
    ("written", "prices", "cost"),
    [
        ({"cache_creation": {"ephemeral_1h_input_tokens": 1000}}, None, 0.006084),
        ({"cache_creation": {"ephemeral_5m_input_tokens": 1000, "ephemeral_1h_input_tokens": 0}}, None, 0.003834),
        ({"cache_creation": {"ephemeral_5m_input_tokens": 600, "ephemeral_1h_input_tokens": 400}}, None, 0.004734),
        ({}, None, 0.003834),
        (
            {"cache_creation": {"ephemeral_1h_input_tokens": 1000}},
            {"input": 3.0, "output": 15.0, "cache_write": 3.75},
            0.006084,
        ),
        ({"cache_creation": {"ephemeral_1h_input_tokens": 1000}}, {"input": 3.0, "output": 15.0}, 0.003084),
    ],
    ids=["an hour", "five minutes", "both", "not said", "by the table's ratio", "no price for writing"],
)
def test_an_hour_of_the_cache_costs_more(written: dict[str, Any], prices: dict[str, float] | None, cost: float) -> None:
    usage = {"input_tokens": 3, "cache_creation_input_tokens": 1000, "output_tokens": 5, **written}
    found = dialect("messages").response_facts({"content": [], "usage": usage}).usage
    table = PriceTable({"m": prices}) if prices else PriceTable.load()
    assert table.cost("m" if prices else "claude-sonnet-4-5", found) == pytest.approx(cost, abs=1e-9)
