"""What an endpoint sends: options under the wire's names, rows as messages that a server takes."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from shadownb.engine.endpoint import Endpoint
from shadownb.errors import ConfigError, DataError, ShadowWarning
from tests.endpoint.server import (
    KEY,
    Upstream,
    ask,
    by_text,
    said_to,
    says,
)

TOOLS: Any = [
    {
        "type": "function",
        "function": {"name": "f", "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}}},
    }
]


def test_only_what_is_given_is_sent_under_the_wire_s_names(made: Any, server: Upstream) -> None:
    endpoint = made()
    assert endpoint.chat(ask("hello")).content == "echo: hello"
    assert server.seen[-1].json == {"model": "gpt-4o", "messages": ask("hello")}
    assert (
        server.seen[-1].path == "/v1/chat/completions" and server.seen[-1].headers["authorization"] == f"Bearer {KEY}"
    )
    endpoint.chat(ask(), TOOLS, max_new_tokens=5, temperature=0.0, top_p=0.5, stop="x", seed=3, reasoning_effort="low")
    sent = {name: value for name, value in server.seen[-1].json.items() if name not in ("model", "messages")}
    sampling = {"max_tokens": 5, "temperature": 0.0, "top_p": 0.5, "stop": ["x"], "seed": 3}
    assert sent == {**sampling, "reasoning_effort": "low", "tools": TOOLS}


def test_what_the_server_alone_knows_is_taken_where_the_user_says_so(made: Any, server: Upstream) -> None:
    for option in (
        {"top_k": 5},
        {"repetition_penalty": 1.1},
        {"enable_thinking": False},
        {"use": "base"},
        {"temprature": 1},
    ):
        with pytest.raises(ConfigError, match=next(iter(option))):
            made().chat(ask(), **option)
    assert server.seen == [], "it was sent all the same"
    endpoint = made(extra_body={"top_k": 20, "temperature": None, "max_completion_tokens": 9, "guided": {"x": 1}})
    endpoint.chat(ask(), top_k=5, temperature=0.3, max_new_tokens=7)
    sent = {name: value for name, value in server.seen[-1].json.items() if name not in ("model", "messages")}
    assert sent == {"top_k": 5, "max_completion_tokens": 9, "guided": {"x": 1}}
    for name in ("n", "model", "stream"):
        with pytest.raises(ConfigError, match=f"'{name}'"):
            made(extra_body={name: 2})


def test_the_limit_has_the_name_that_the_host_takes() -> None:
    def limit(url: str) -> set[str]:
        _, (body,) = Endpoint(url, "m", api_key=KEY)._bodies([ask()], None, {"max_new_tokens": 5})
        return body.keys() & {"max_tokens", "max_completion_tokens"}

    assert limit("https://api.openai.com/v1") == {"max_completion_tokens"}
    assert limit("https://openrouter.ai/api/v1") == limit("http://localhost:8000") == {"max_tokens"}


def test_rows_become_messages_that_a_server_takes(made: Any, server: Upstream) -> None:
    call = {"type": "function", "function": {"name": "f", "arguments": {"a": 1}}}
    turns = [
        *ask(),
        {"role": "assistant", "content": "", "tool_calls": [call, call], "reasoning_content": "Hm.", "weight": 1},
        {"role": "tool", "content": "one"},
        {"role": "tool", "content": "two"},
    ]
    given = copy.deepcopy(turns)
    endpoint = made(by_text(hi=says("ok")))
    with pytest.warns(ShadowWarning, match="reasoning of 1 earlier turns is not sent"):
        endpoint.chat(turns)
    assert turns == given
    _, assistant, first, second = server.seen[-1].json["messages"]
    assert assistant.keys() == {"role", "content", "tool_calls"}
    ids = [each["id"] for each in assistant["tool_calls"]]
    assert len(set(ids)) == 2 and [first["tool_call_id"], second["tool_call_id"]] == ids
    assert {each["function"]["arguments"] for each in assistant["tool_calls"]} == {'{"a": 1}'}
    made(by_text(hi=says("ok")), reasoning_field="reasoning").chat(turns)
    assert server.seen[-1].json["messages"][1]["reasoning"] == "Hm."


@pytest.mark.parametrize(
    "broken", [["hi"], ask()[0], [ask(), "hi"], [[]], [["x"]], [[{"role": "user"}]], [[{"content": "x"}]]]
)
def test_what_is_no_conversation_is_refused_before_anything_is_sent(made: Any, server: Upstream, broken: Any) -> None:
    with pytest.raises(DataError):
        made().chat(broken)
    with pytest.raises(DataError):
        made().chat(ask(), [{"parameters": {}}])
    assert server.seen == []


def test_what_json_cannot_say_is_refused_and_not_written_as_something_else(made: Any, server: Upstream) -> None:
    for odd in (float("nan"), b"bytes", object(), {1, 2}):
        call = {"function": {"name": "f", "arguments": {"a": odd}}}
        for turns in ([*ask(), {"role": "assistant", "tool_calls": [call]}], [{"role": "user", "content": [odd]}]):
            with pytest.raises(DataError, match=r"messages\[[01]\] holds what JSON cannot say"):
                made().chat(turns)
        with pytest.raises(ConfigError, match="extra_body= holds what JSON cannot say"):
            made(extra_body={"x": odd})
    assert server.seen == []
    made().chat(ask("half \ud83d, whole \ud83d\ude00"))
    assert said_to(server.seen[-1]) == "half \ufffd, whole \U0001f600", "halves of pairs, which UTF-8 cannot write"


def test_options_that_a_server_would_ignore_are_refused_and_a_schema_is_sent(made: Any, server: Upstream) -> None:
    for option in (
        {"min_p": 0.1},
        {"ignore_eos": True},
        {"logprobs": True},
        {"top_logprobs": 3},
        {"regex": "a"},
        {"grammar": "x"},
    ):
        with pytest.raises(ConfigError, match=next(iter(option))):
            made().chat(ask(), **option)
    with pytest.raises(ConfigError, match="constraint"):
        made().chat(ask(), constraint=object())
    assert server.seen == [], "it was sent all the same"
    schema = {
        "type": "object",
        "properties": {"a": {"type": "integer"}},
        "required": ["a"],
        "additionalProperties": False,
    }
    reply = made().chat(
        ask('{"a": 1}'), schema=schema, presence_penalty=0.5, frequency_penalty=-0.5, logit_bias={5: 2.0}
    )
    sent = {name: value for name, value in server.seen[-1].json.items() if name not in ("model", "messages")}
    form = {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": schema}}
    penalties = {"presence_penalty": 0.5, "frequency_penalty": -0.5}
    assert sent == {**penalties, "logit_bias": {"5": 2.0}, "response_format": form}
    assert reply.parsed is None, "the server echoed with a word before it"
    assert made(extra_body={"min_p": 0.1}).chat(ask(), min_p=0.2) and server.seen[-1].json["min_p"] == 0.2
