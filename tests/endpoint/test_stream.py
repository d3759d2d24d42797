"""The stream of an endpoint against a server on a real socket: pieces, cuts, errors, and what a server may do besides."""

from __future__ import annotations

import gc
import threading
from typing import Any

import pytest

from shadownb.engine.capture.sse import EventReader, events
from shadownb.engine.endpoint import Endpoint
from shadownb.errors import EndpointError
from tests.capture.upstream import event
from tests.endpoint.server import (
    Upstream,
    answers,
    ask,
    completion,
    drops,
    hangs,
    in_turn,
    refuses,
    says,
    sends,
)

DONE = b"data: [DONE]\n\n"
TOOLS: Any = [
    {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {"a": {}}}}}
]


def chunk(finish: str | None = None, **delta: Any) -> bytes:
    return event({"model": "gpt-4o", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})


def streams(*pieces: bytes, end: Any = None) -> Any:
    """Send pieces as they are, and then end well, or in another way."""

    async def way(seen: Any, reply: Any) -> None:
        await reply.head(content_type="text/event-stream; charset=utf-8")
        for piece in pieces:
            await reply.piece(piece)
        await (end(seen, reply) if end is not None else reply.end())

    return way


def parts_of(endpoint: Endpoint, tools: Any = None) -> tuple[list[tuple[str, str]], Any]:
    stream = endpoint.stream("hi", tools)
    return [(part.kind, part.text) for part in stream.parts()], stream.reply


def test_pieces_come_as_they_are_written(made: Any, server: Upstream) -> None:
    go_on = threading.Event()

    async def way(seen: Any, reply: Any) -> None:
        await reply.head(content_type="text/event-stream")
        await reply.piece(
            b": a comment, as OpenRouter sends\n\n" + chunk(role="assistant", content="") + chunk(content="One,")
        )
        while not go_on.is_set():
            await reply.piece(b": still here\n\n")
        await reply.piece(
            chunk(content=" two.")
            + chunk("stop")
            + event({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 4}})
            + DONE
        )
        await reply.end()

    endpoint = made(way)
    stream = endpoint.stream([*ask("count")], temperature=0.0)
    assert next(stream) == "One,"
    assert stream.reply is None
    go_on.set()
    assert "".join(stream) == " two." and stream.reply.content == "One, two."
    assert stream.reply.usage == {"prompt_tokens": 3, "completion_tokens": 4} and stream.reply.finish_reason == "stop"
    assert endpoint.totals.answered == 1 and endpoint.totals.tokens["completion_tokens"] == 4
    sent = server.seen[-1].json
    assert sent["stream"] is True and sent["stream_options"] == {"include_usage": True} and sent["temperature"] == 0.0
    list(made(way, extra_body={"stream_options": None}).stream("count"))
    assert "stream_options" not in server.seen[-1].json


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_reasoning_calls_and_text_are_apart(made: Any, name: str) -> None:
    call = {"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}}
    pieces = (
        chunk(**{name: "Hm"}),
        chunk(**{name: "."}),
        chunk(content="So"),
        chunk(tool_calls=[call]),
        chunk(tool_calls=[{"index": 0, "function": {"arguments": '{"a"'}}]),
        chunk(tool_calls=[{"index": 0, "function": {"arguments": ": 1}"}}]),
        chunk(tool_calls=[{"index": 1, "id": "c2", "function": {"name": "f", "arguments": "{bad"}}]),
        chunk("tool_calls"),
        DONE,
    )
    found, reply = parts_of(made(streams(*pieces)), TOOLS)
    assert [kind for kind, _ in found] == ["reasoning", "reasoning", "content", "call", "malformed"]
    assert (reply.reasoning, reply.content, reply.outcome) == ("Hm.", "So", "malformed")
    function = {"name": "f", "arguments": '{"a": 1}'}
    assert reply.tool_calls == [{"id": "c1", "type": "function", "function": function}]
    assert "{bad" in reply.malformed_calls[0]["text"]


def test_markup_that_a_server_leaves_in_the_text_is_read(made: Any) -> None:
    texts = ("<thi", "nk>Hm.</th", "ink>Yes. <tool", '_call>{"name": "f", "arguments"', ': {"a": 1}}</tool_call>')
    pieces = [chunk(content=text) for text in texts]
    found, reply = parts_of(made(streams(*pieces, chunk("stop"), DONE)), TOOLS)
    assert "".join(text for kind, text in found if kind == "reasoning") == reply.reasoning == "Hm."
    assert "".join(text for kind, text in found if kind == "content") == reply.content
    assert [kind for kind, _ in found].count("call") == 1 and reply.tool_calls[0]["function"]["arguments"] == '{"a": 1}'


def test_a_stream_that_breaks_off_is_no_whole_answer(made: Any, server: Upstream) -> None:
    for way in (streams(chunk(content="Half")), streams(chunk(content="Half"), end=drops)):
        server.seen.clear()
        stream = made(way).stream("hi")
        got = []
        with pytest.raises(EndpointError, match="broke its answer off"):
            got += stream
        assert stream.reply is None and len(server.seen) == 1, "what was given cannot be taken back"
    whole = made(streams(chunk(content="Whole."), chunk("stop"))).stream("hi")
    assert "".join(whole) == "Whole.", "a finish_reason is an end, too"


def test_before_its_first_piece_a_stream_is_asked_again(made: Any, server: Upstream) -> None:
    good = streams(chunk(content="Yes."), chunk("stop"), DONE)
    bad = [refuses(429, retry_after="0"), drops, streams(), streams(event({"error": {"message": "busy", "code": 503}}))]
    endpoint = made(in_turn(*bad, good))
    assert "".join(endpoint.stream("hi")) == "Yes."
    assert endpoint.totals.retries == {"429": 1, "broke off": 2, "503": 1}


@pytest.mark.parametrize(
    ("way", "says_"),
    [
        (refuses(401, "Bad key"), "answered 401(.|\n)*Bad key"),
        (sends(b"<html><title>Hello", "text/html"), "HTML, 'Hello'"),
        (streams(chunk(content="Ha"), event({"error": {"message": "Out of memory"}})), "Out of memory"),
        (streams(chunk(content="Ha"), b"data: {bad\n\n", chunk("stop"), DONE), "no JSON"),
        (streams(chunk(content="Ha"), chunk("content_filter"), DONE), "withheld"),
        (streams(chunk("stop"), DONE), "content is null"),
        (streams(DONE), "no choices"),
    ],
)  # fmt: skip
def test_what_is_no_answer_is_an_error(made: Any, way: Any, says_: str) -> None:
    endpoint = made(way, max_retries=0)
    with pytest.raises(EndpointError, match=says_):
        list(endpoint.stream("hi").parts())
    assert (endpoint.totals.answered, endpoint.totals.failed) == (0, 1)


def test_a_server_that_does_not_stream_is_read_all_the_same(made: Any) -> None:
    found, reply = parts_of(made(says("Whole.", reasoning="Hm.")))
    assert found == [("reasoning", "Hm."), ("content", "Whole.")] and reply.content == "Whole."
    refusal, _ = parts_of(made(answers(completion({"content": None, "refusal": "No."}))))
    assert refusal == [("content", "No.")]
    streamed = made(streams(chunk(content="Yes."), chunk("stop"), DONE)).chat(ask())
    assert streamed.content == "Yes.", "one that always streams"


def test_closed_or_dropped_it_hangs_up(made: Any, server: Upstream) -> None:
    gone = threading.Event()

    async def way(seen: Any, reply: Any) -> None:
        await reply.head(content_type="text/event-stream")
        await reply.piece(chunk(content="One"))
        try:
            while True:
                await reply.piece(b": tick\n\n")
        except ConnectionError:
            gone.set()

    for end in ("close", "drop", "stop"):
        gone.clear()
        stopped = threading.Event()
        endpoint = made(way)
        stream = endpoint.stream("hi", should_stop=stopped.is_set)
        assert next(stream) == "One"
        if end == "close":
            stream.close()
            assert list(stream) == []
        elif end == "stop":
            stopped.set()
            assert list(stream) == []
        if end != "drop":
            assert (stream.reply.content, stream.reply.finish_reason) == ("One", "cancelled")
            assert endpoint.totals.stopped == 1
        del stream
        gc.collect()
        assert gone.wait(60), end


def test_stopped_while_nothing_comes_it_ends(made: Any) -> None:
    stop = threading.Event()

    async def way(seen: Any, reply: Any) -> None:
        stop.set()
        await hangs(seen, reply)

    stream = made(way).stream("hi", should_stop=stop.is_set)
    assert list(stream) == [] and stream.reply.finish_reason == "cancelled" and stream.reply.content == ""


def test_events_are_the_same_however_they_are_cut() -> None:
    body = b"\xef\xbb\xbfevent: a\r\ndata: 1\r\ndata: 2\r\n\r\ndata: \xc3\xa9\n\n: x\rdata:3\r\rdata: last"
    whole = list(events(body))
    assert [(e.name, e.data, e.whole) for e in whole] == [
        ("a", b"1\n2", True), ("", b"\xc3\xa9", True), ("", b"3", True), ("", b"last", False)
    ]  # fmt: skip
    for size in range(1, len(body) + 1):
        reader = EventReader()
        found = [e for at in range(0, len(body), size) for e in reader.feed(body[at : at + size])]
        assert [*found, *reader.finish()] == whole, size
