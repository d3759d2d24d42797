"""Endpoint against a server on a real socket: what it sends, what it reads, tries, refusals, stopping, and the key."""

from __future__ import annotations

import asyncio
import copy
import email.utils
import json
import logging
import pickle
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import shadownb as snb
from shadownb.engine.endpoint import Endpoint, connection
from shadownb.engine.endpoint.reading import NoAnswer, reply_of
from shadownb.engine.endpoint.trouble import words_of
from shadownb.errors import ConfigError, DataError, EndpointError, ModelError, ShadowWarning
from tests.engine.endpoint_server import (
    KEY,
    Upstream,
    answers,
    ask,
    by_text,
    completion,
    cut,
    drops,
    echoes,
    hangs,
    in_turn,
    refuses,
    said_to,
    says,
    sends,
)

TOOLS: Any = [
    {
        "type": "function",
        "function": {"name": "f", "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}}},
    }
]


@pytest.fixture(autouse=True)
def _no_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("SHADOWNB_HOME", str(tmp_path))
    monkeypatch.setattr(connection, "_FIRST_WAIT", 0.0)
    yield
    left = [thread.name for thread in threading.enumerate() if thread.name.startswith("shadownb-endpoint")]
    assert not left, "a thread was left"


@pytest.fixture
def server() -> Iterator[Upstream]:
    with Upstream(echoes) as running:
        yield running


@pytest.fixture
def made(server: Upstream) -> Callable[..., Endpoint]:
    """Let the server answer in a way, and return an endpoint of it."""

    def make(way: Any = echoes, **options: Any) -> Endpoint:
        server.answer = way
        return snb.Endpoint(server.url, model="gpt-4o", **{"api_key": KEY, **options})

    return make


# -- what is sent ----------------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize("broken", ["hi", [ask(), "hi"], [[]], [["x"]], [[{"role": "user"}]], [[{"content": "x"}]]])
def test_what_is_no_conversation_is_refused_before_anything_is_sent(made: Any, server: Upstream, broken: Any) -> None:
    with pytest.raises(DataError):
        made().chat(broken)
    with pytest.raises(DataError):
        made().chat(ask(), [{"parameters": {}}])
    assert server.seen == []


# -- what is read ----------------------------------------------------------------------------------------------------


def test_a_whole_answer_is_read_with_usage_and_price(made: Any) -> None:
    endpoint = made(says("Yes."))
    reply = endpoint.chat(ask())
    assert (reply.content, reply.finish_reason, reply.notes) == ("Yes.", "stop", [])
    assert reply.usage == {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}
    assert endpoint.totals.cost == pytest.approx((1000 * 2.5 + 100 * 10) / 1e6)
    assert "1,000 + 100 tokens, $0.0035" in repr(endpoint)
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
    assert good.tool_calls[0] == {"id": "call_1", "name": "f", "arguments": {"a": 1}}
    assert [each["arguments"] for each in good.tool_calls] == [{"a": 1}, {}, {"a": 2}]
    assert (good.outcome, good.finish_reason, good.content) == ("called", "stop", "")
    for broken, why in (
        ("{bad", "no JSON"),
        ("[1]", "no JSON object"),
        ('{"a": 1, "a": 2}', "twice"),
        ("3", "no JSON object"),
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
    assert outcome(content='<tool_call>{"name": "f", "arguments": {"a": 1}}</tool_call>').tool_calls[0][
        "arguments"
    ] == {"a": 1}
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
    assert all(isinstance(call["name"], str) and isinstance(call["arguments"], dict) for call in reply.tool_calls)
    assert stopped or reply.content or reply.reasoning or reply.outcome != "abstained" or reply.notes, "silence"
    reply.to_message()
    reply._repr_html_()
    words_of(json.dumps(answer).encode())


# -- tries -----------------------------------------------------------------------------------------------------------


def test_what_passes_is_asked_again_and_counted(made: Any, server: Upstream) -> None:
    endpoint = made(
        in_turn(
            refuses(429, retry_after="0"), refuses(503), drops, answers({"choices": []}), refuses(529), says("At last.")
        )
    )
    assert endpoint.chat(ask()).content == "At last."
    assert len(server.seen) == 6
    assert endpoint.totals.retries == {"429": 1, "503": 1, "broke off": 1, "no answer in it": 1, "529": 1}
    assert "5 asked again (429: 1" in repr(endpoint)


def test_tries_are_bounded_and_the_error_says_all(made: Any, server: Upstream) -> None:
    endpoint = made(refuses(429, "Rate limit reached"), max_retries=3)
    with pytest.raises(EndpointError) as caught:
        endpoint.chat(ask())
    assert len(server.seen) == 4 and caught.value.status == 429
    said = str(caught.value)
    for part in (server.url, "answered 429", "model='gpt-4o'", "after 4 tries", "Rate limit reached", "concurrency="):
        assert part in said


@pytest.mark.parametrize(
    ("status", "all_alike"), [(400, False), (401, True), (403, False), (404, True), (422, False), (501, False)]
)
def test_other_statuses_are_errors_at_once(made: Any, server: Upstream, status: int, all_alike: bool) -> None:
    with pytest.raises(EndpointError, match=f"answered {status}(.|\n)*What a pity(.|\n)*Next: ") as caught:
        made(refuses(status, "What a pity")).chat(ask())
    assert len(server.seen) == 1 and caught.value.status == status and caught.value.for_all is all_alike


def test_an_empty_account_is_not_asked_again(made: Any, server: Upstream) -> None:
    way = answers({"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}}, 429)
    with pytest.raises(EndpointError, match="credit") as caught:
        made(way).chat(ask())
    assert len(server.seen) == 1 and caught.value.for_all


def test_a_redirect_is_not_followed_with_the_key(made: Any, server: Upstream) -> None:
    with pytest.raises(EndpointError, match="redirects"):
        made(answers({}, 307, location=f"{server.url}/elsewhere")).chat(ask())
    assert len(server.seen) == 1


def test_the_wait_is_the_server_s_or_doubles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_FIRST_WAIT", 0.5)
    link = connection.Connection(Endpoint("http://localhost", "m", api_key=KEY)._settings())
    soon = email.utils.formatdate(time.time() + 50, usegmt=True)

    def wait(tries: int = 1, **headers: str) -> float | None:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return link._wait(connection.Trouble.of_status(429, b"", names), tries)

    assert wait(retry_after="7") == 7 and wait(retry_after_ms="250") == 0.25
    assert 45 < (wait(retry_after=soon) or 0) <= 50
    assert wait(retry_after="Mon, 01 Jan 2001 00:00:00 GMT") == 0
    assert wait(retry_after="3600") is None, "the notebook would stand still for an hour"
    for tries, most in ((1, 0.5), (2, 1.0), (4, 4.0)):
        assert 0.75 * most <= (wait(tries) or 0) <= most
    for odd in ("soon", "", "nan", "inf", "-3"):
        assert (wait(retry_after=odd) or 0) <= 0.5
    assert wait(6) is None, "tries are bounded"


def test_what_timed_out_is_not_charged_twice(made: Any, server: Upstream) -> None:
    with pytest.raises(EndpointError, match=r"within timeout=0\.2 s(.|\n)*timeout="):
        made(hangs, timeout=0.2).chat(ask())
    assert len(server.seen) == 1


def test_a_server_that_is_not_there() -> None:
    with Upstream() as gone:
        pass
    endpoint = Endpoint(gone.url, "m", api_key=KEY, max_retries=1)
    with pytest.raises(EndpointError, match=r"cannot be reached(.|\n)*base_url="):
        endpoint.chat(ask())
    assert endpoint.totals.retries == {"no connection": 1}


# -- several at a time -----------------------------------------------------------------------------------------------


def test_several_are_asked_at_a_time_within_the_bound_and_answered_in_order(made: Any, server: Upstream) -> None:
    most = 0

    async def way(seen: Any, reply: Any) -> None:
        nonlocal most
        most = max(most, server.open)
        await asyncio.sleep(0.01 if int(said_to(seen)) % 2 else 0.03)
        await echoes(seen, reply)

    replies = made(way, concurrency=3).chat([ask(str(n)) for n in range(12)])
    assert [reply.content for reply in replies] == [f"echo: {n}" for n in range(12)]
    assert most == 3
    assert made().chat([]) == []


def test_one_that_fails_takes_nothing_from_the_others(made: Any) -> None:
    endpoint = made(by_text(bad=refuses(400, "Too long.")))
    with pytest.raises(
        EndpointError, match=r"1 of 3 conversations got no answer(.|\n)*Too long(.|\n)*error\.replies"
    ) as caught:
        endpoint.chat([ask("a"), ask("bad one"), ask("c")])
    for error in (caught.value, pickle.loads(pickle.dumps(caught.value))):
        assert [getattr(each, "content", None) for each in error.replies] == ["echo: a", None, "echo: c"]
        assert isinstance(error.replies[1], EndpointError) and error.replies[1].status == 400
    assert (endpoint.totals.answered, endpoint.totals.failed) == (2, 1)


def test_a_wrong_key_is_sent_once_for_each_place_and_not_for_each_row(made: Any, server: Upstream) -> None:
    with pytest.raises(EndpointError, match="answered 401") as caught:
        made(refuses(401), concurrency=2).chat([ask(str(n)) for n in range(40)])
    assert len(server.seen) <= 2 and len(caught.value.replies) == 40 and caught.value.for_all


def test_a_server_that_is_down_is_left_alone_and_one_odd_row_is_not_taken_for_it(made: Any, server: Upstream) -> None:
    with pytest.raises(EndpointError) as caught:
        made(refuses(500), concurrency=1, max_retries=1).chat([ask(str(n)) for n in range(40)])
    assert len(server.seen) == 6 and caught.value.for_all, "three were given up after two tries each"
    server.seen.clear()
    way = by_text(bad=refuses(500))
    with pytest.raises(EndpointError) as caught:
        made(way, concurrency=1, max_retries=0).chat([ask(word) for word in ("bad", "bad", "a", "bad", "bad", "b")])
    assert len(server.seen) == 6 and not caught.value.for_all


def test_stopped_in_the_middle_it_gives_what_there_is_and_hangs_up(made: Any, server: Upstream) -> None:
    stop = threading.Event()

    async def way(seen: Any, reply: Any) -> None:
        if said_to(seen) == "slow":
            stop.set()
            await hangs(seen, reply)
        await echoes(seen, reply)

    endpoint = made(way, concurrency=2)
    replies = endpoint.chat([ask("a"), ask("b"), ask("slow"), ask("slow"), ask("never")], should_stop=stop.is_set)
    assert [reply.content for reply in replies[:2]] == ["echo: a", "echo: b"]
    assert [reply.finish_reason for reply in replies] == ["stop"] * 2 + ["cancelled"] * 3
    assert all(reply.notes for reply in replies[2:])
    assert endpoint.totals.stopped == 3 and "3 stopped" in repr(endpoint)


def test_what_should_stop_raises_ends_it(made: Any) -> None:
    def interrupted() -> bool:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        made(hangs).chat(ask(), should_stop=interrupted)


def test_it_works_where_a_loop_runs(made: Any) -> None:
    async def cell() -> Any:
        return made().chat(ask("in a cell")).content

    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(asyncio.run(cell())))
    thread.start()
    thread.join(30)
    assert results == ["echo: in a cell"]


# -- the key ---------------------------------------------------------------------------------------------------------


def test_the_key_is_nowhere_to_be_seen(made: Any, server: Upstream, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    way = by_text(tell=refuses(401, f"Incorrect API key provided: {KEY} ({KEY[::-1]}).", x_key=KEY))
    endpoint = made(way)
    endpoint.chat(ask("fine"))
    list(endpoint.stream("fine"))
    shown = [repr(endpoint), endpoint._repr_html_(), repr(vars(endpoint)), str(vars(endpoint))]
    for act in (lambda: endpoint.chat(ask("tell me")), lambda: list(endpoint.stream("tell me"))):
        with pytest.raises(EndpointError, match="Incorrect API key provided") as caught:
            act()
        told = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
        shown += ["".join(told.format()), repr(pickle.dumps(caught.value)), repr(caught.value.to_dict())]
    shown += [repr(pickle.dumps(endpoint)), caplog.text]
    for text in shown:
        assert KEY not in text
    assert "HTTP Request" in caplog.text, "httpx said nothing, so nothing was looked at"


def test_a_pickle_takes_the_key_from_the_environment_or_asks_for_it(made: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-another-host-0123456789")
    given = pickle.loads(pickle.dumps(made(extra_body={"top_k": 3}, concurrency=2)))
    assert (given.extra_body, given.concurrency, given.name) == ({"top_k": 3}, 2, "gpt-4o")
    with pytest.raises(ConfigError, match="no pickle"):
        given.chat(ask())
    monkeypatch.setenv("MY_KEY", KEY)
    named = pickle.loads(pickle.dumps(made(api_key=None, api_key_env="MY_KEY")))
    assert named.chat(ask("x")).content == "echo: x"


@pytest.mark.parametrize(
    ("options", "says_"),
    [
        ({"base_url": "api.example.com"}, "base_url='api.example.com' is not a base URL"),
        ({"base_url": "https://api.openai.com/v1"}, "no key for api.openai.com"),
        ({"base_url": "http://u:p@localhost"}, "holds a password"),
        ({"model": ""}, "model=''"),
        ({"api_key": ""}, "api_key= is empty"),
        ({"api_key": f"{KEY}\r\nx: y"}, "api_key= holds characters"),
        ({"api_key": KEY, "api_key_env": "X"}, "both given"),
        ({"api_key_env": "NOT_THERE"}, "api_key_env='NOT_THERE' is not set"),
        ({"concurrency": 0}, "concurrency=0"),
        ({"concurrency": 2.5}, r"concurrency=2\.5"),
        ({"timeout": 0}, "timeout=0"),
        ({"max_retries": -1}, "max_retries=-1"),
    ],
)
def test_options_are_checked_when_it_is_made(options: Any, says_: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(ConfigError, match=says_) as caught:
        Endpoint(**{"base_url": "http://localhost:1/v1", "model": "m", **options})
    assert KEY not in str(caught.value)


def test_an_address_is_taken_as_people_copy_it(server: Upstream) -> None:
    for url in (server.url, f"{server.url}/v1/", f"{server.url}/v1/chat/completions"):
        Endpoint(url, "m", api_key=KEY).chat(ask())
        assert server.seen[-1].path == "/v1/chat/completions"


def test_what_needs_weights_says_so(made: Any) -> None:
    before = set(threading.enumerate())
    with pytest.raises(ConfigError, match=r"'gpt-4o' is an endpoint(.|\n)*capture\('https"):
        snb.capture(made())
    with pytest.raises(ModelError, match=r"Chat panel cannot ask gpt-4o(.|\n)*%shadow chat"):
        snb.ChatPanel(made())
    assert {
        thread.name for thread in set(threading.enumerate()) - before if thread.name.startswith("ChatPanel")
    } == set()
