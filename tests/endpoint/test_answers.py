"""What an endpoint reads: whole answers, reasoning, calls, endings, and what is no answer."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shadownb.engine.endpoint.reading import NoAnswer, reply_of
from shadownb.engine.endpoint.trouble import words_of
from shadownb.errors import EndpointError
from tests.endpoint.server import (
    Upstream,
    answers,
    ask,
    completion,
    cut,
    drops,
    says,
    sends,
)

TOOLS: Any = [
    {
        "type": "function",
        "function": {"name": "f", "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}}},
    }
]


def test_a_whole_answer_is_read_with_usage_and_price(made: Any) -> None:
    endpoint = made(says("Yes."))
    reply = endpoint.chat(ask())
    assert (reply.content, reply.finish_reason, reply.notes) == ("Yes.", "stop", [])
    assert reply.usage == {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}
    assert endpoint.totals.cost == pytest.approx((1000 * 2.5 + 100 * 10) / 1e6)
    assert "1,000 + 100 tokens, $0.0035" in repr(endpoint)
    assert endpoint.chat("Is it?").content == "Yes."
    unknown = made(says("Yes."), prices={"gpt-4o": {"input": 0, "output": 0}, "other": {"input": 1, "output": 1}})
    unknown.chat(ask())
    assert unknown.totals.cost == 0 and unknown.totals.unpriced == 0
    nobody = made(answers(completion({"content": "x"}, model="nobody's")))
    nobody.model = "nobody's"
    nobody.chat(ask())
    assert nobody.totals.unpriced == 1 and "1 of unknown price" in repr(nobody)


@pytest.mark.parametrize(
    ("message", "content", "reasoning"),
    [
        ({"content": "A.", "reasoning_content": "Hm."}, "A.", "Hm."),
        ({"content": "A.", "reasoning": "Hm."}, "A.", "Hm."),
        ({"content": "A.", "reasoning_details": [{"type": "reasoning.text", "text": "Hm."}]}, "A.", "Hm."),
        ({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}, "A."]}, "A.", "Hm."),
        ({"content": "<think>Hm.</think>\n\nA."}, "A.", "Hm."),
        ({"content": "Hm.\n</think>\n\nA."}, "A.", "Hm."),
        ({"content": "  Write <think> in front.\n"}, "  Write <think> in front.\n", ""),
        ({"content": "About </think> tags: A.", "reasoning": "Hm."}, "About </think> tags: A.", "Hm."),
        ({"content": None, "refusal": "I won't."}, "I won't.", ""),
    ],
)  # fmt: skip
def test_reasoning_is_taken_apart_however_it_is_sent(made: Any, message: Any, content: str, reasoning: str) -> None:
    reply = made(answers(completion(message))).chat(ask())
    assert (reply.content, reply.reasoning) == (content, reasoning)


def test_calls_are_read_and_those_that_cannot_be_are_counted(made: Any) -> None:
    def call(arguments: Any, name: Any = "f") -> dict[str, Any]:
        return {"id": "call_1", "type": "function", "function": {"name": name, "arguments": arguments}}

    def outcome(*calls: Any, content: Any = None, **more: Any) -> Any:
        message = {"content": content, "tool_calls": list(calls), **more}
        return made(answers(completion(message, "tool_calls"))).chat(ask(), TOOLS)

    good = outcome(call('{"a": 1}'), call(""), call({"a": 2}))
    assert good.tool_calls[0]["id"] == "call_1" and good.tool_calls[0]["function"]["name"] == "f"
    assert [json.loads(each["function"]["arguments"]) for each in good.tool_calls] == [{"a": 1}, {}, {"a": 2}]
    assert (good.outcome, good.finish_reason, good.content) == ("called", "stop", "")
    for broken, why in (
        ("{bad", "not valid JSON"),
        ("[1]", "a list, not an object"),
        ('{"a": 1, "a": 2}', "twice"),
        ("3", "not an object"),
    ):
        reply = outcome(call('{"a": 1}'), call(broken))
        assert reply.outcome == "malformed" and len(reply.tool_calls) == 1, broken
        assert (
            why in reply.malformed_calls[0]["reason"]
            and broken.strip('{["').split('"')[0] in reply.malformed_calls[0]["text"]
        )
    assert outcome(call("{}", name=None)).outcome == outcome("nonsense").outcome == "malformed"
    assert outcome(function_call={"name": "f", "arguments": '{"a": 1}'}).outcome == "called"
    # A server without the parser for its model sends the markup as text.
    (read,) = outcome(content='<tool_call>{"name": "f", "arguments": {"a": 1}}</tool_call>').tool_calls
    assert read["function"] == {"name": "f", "arguments": '{"a": 1}'}
    assert outcome(content="<tool_call>{bad").outcome == "malformed"
    assert outcome(content="No.").outcome == "abstained"


@pytest.mark.parametrize(
    ("finish", "message", "reason", "note"),
    [
        ("length", {"content": "half"}, "length", "Cut off"),
        ("max_tokens", {"content": "half"}, "length", "Cut off"),
        ("length", {"content": None, "reasoning": "Hm"}, "length", "no answer"),
        ("stop", {"content": ""}, "stop", "empty"),
        (None, {"content": "x"}, "stop", "no finish_reason"),
        ("tired", {"content": "x"}, "stop", "'tired'"),
        ("stop", {"content": None, "refusal": "No."}, "stop", "refusal"),
        ("eos", {"content": "x"}, "stop", None),
        ("end_turn", {"content": "x"}, "stop", None),
    ],
)
def test_how_it_ended_is_told(made: Any, finish: Any, message: Any, reason: str, note: str | None) -> None:
    reply = made(answers(completion(message, finish))).chat(ask())
    assert reply.finish_reason == reason
    assert reply.notes == [] if note is None else any(note in each for each in reply.notes)


@pytest.mark.parametrize(
    ("way", "says_", "requests"),
    [
        (answers({"error": {"message": "Provider is out of luck", "code": 502}}), "error in it(.|\n)*out of luck", 3),
        (answers({"error": {"message": "Bad field", "code": 400}}), "error in it(.|\n)*Bad field", 1),
        (answers({"error": "overloaded"}), "overloaded", 3),
        (answers({"object": "error", "message": "Nope", "code": 40303}), "Nope", 3),
        (answers({"choices": []}), "no choices", 3),
        (answers({}), "no choices", 3),
        (answers([1]), "no choices", 3),
        (says(None), "content is null", 3),
        (answers({"choices": [{"index": 0, "finish_reason": "stop"}]}), "content is null", 3),
        (answers(completion({"content": "half"}, "error")), "ended with an error", 3),
        (answers({"choices": [{"message": {"content": ""}, "error": {"message": "Ouch"}}]}), "Ouch", 3),
        (says("half", "content_filter"), "withheld", 1),
        (sends(b"<html><title>Welcome</title><p>Login"), "no JSON(.|\n)*HTML, 'Welcome'", 1),
        (sends(b"", "application/json"), "it is empty", 1),
        (sends(b'{"choices": [{"mess', "application/json"), "no JSON", 1),
        (cut, "broke its answer off", 3),
        (drops, "broke its answer off", 3),
    ],
)  # fmt: skip
def test_what_is_no_answer_is_an_error_and_never_an_empty_reply(
    made: Any, server: Upstream, way: Any, says_: str, requests: int
) -> None:
    endpoint = made(way, max_retries=2)
    with pytest.raises(EndpointError, match=says_):
        endpoint.chat(ask())
    assert len(server.seen) == requests
    assert (endpoint.totals.failed, endpoint.totals.answered, endpoint.totals.retries.total()) == (1, 0, requests - 1)


_LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.floats()
    | st.sampled_from(["", "x", "stop", "length", "{}", "{", "<think>"])
)
_NAMES = st.sampled_from(
    ["content", "text", "type", "name", "arguments", "function", "id", "index", "message", "error", "code"]
)
_ODD = st.recursive(
    _LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=3), max_leaves=8
)
_FUNCTION = st.fixed_dictionaries({}, optional={"name": _ODD, "arguments": _ODD})
_CALL = st.fixed_dictionaries({}, optional={"function": _FUNCTION | _ODD, "id": _ODD, "index": _ODD}) | _ODD
_TEXTS = dict.fromkeys(("content", "reasoning", "reasoning_content", "refusal"), _ODD)
_CALLS = {"tool_calls": st.lists(_CALL, max_size=2) | _ODD, "function_call": _CALL, "malformed_tool_calls": _ODD}
_MESSAGE = st.fixed_dictionaries({}, optional={**_TEXTS, **_CALLS})
_CHOICE = st.fixed_dictionaries(
    {"message": _MESSAGE | _ODD}, optional=dict.fromkeys(("finish_reason", "index", "error"), _ODD)
)
_ANSWERS = st.fixed_dictionaries(
    {"choices": st.lists(_CHOICE, min_size=1, max_size=2) | _ODD}, optional={"usage": _ODD, "model": _ODD, "id": _ODD}
)


@settings(max_examples=150, deadline=None)
@given(_ANSWERS, st.sampled_from([None, TOOLS]), st.booleans())
def test_whatever_json_a_server_sends_is_a_reply_or_said_to_be_none(answer: Any, tools: Any, stopped: bool) -> None:
    try:
        reply = reply_of(answer, tools, stopped=stopped)
    except NoAnswer as nothing:
        assert str(nothing)
        return
    assert isinstance(reply.content, str) and isinstance(reply.reasoning, str)
    functions = [call["function"] for call in reply.tool_calls]
    assert all(isinstance(each["name"], str) and isinstance(json.loads(each["arguments"]), dict) for each in functions)
    assert stopped or reply.content or reply.reasoning or reply.outcome != "abstained" or reply.notes, "silence"
    reply.to_message()
    reply._repr_html_()
    words_of(json.dumps(answer).encode())
