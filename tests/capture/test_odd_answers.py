"""Upstreams that answer oddly: the client gets every byte, the call is recorded, and the next one, too."""

from __future__ import annotations

import json
import queue
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shadownb.engine.capture import PriceTable
from shadownb.engine.capture.dialects import dialect
from shadownb.engine.capture.exchange import Exchange
from shadownb.engine.capture.proxy import CaptureProxy
from shadownb.engine.capture.redaction import Redactor
from shadownb.engine.capture.schema import FILE
from shadownb.engine.capture.writer import Writer
from tests.capture.conftest import WEB
from tests.capture.test_pass_through import BODIES, PATHS, auth
from tests.capture.upstream import Reply, Seen, Upstream, echo, event, stream
from tests.waiting import wait_for

CHAT, COMPLETIONS, RESPONSES, MESSAGES = PATHS
HUGE = 10**30  # more than a column of integers holds


def chunk(**fields: Any) -> bytes:
    choice = {"index": 0, "delta": {"content": "hi"}, "finish_reason": "stop"}
    return event({"id": "c", "model": "m", "choices": [choice], **fields})


DONE = b"data: [DONE]\n\n"
STREAMS: list[tuple[str, list[bytes]]] = [
    (CHAT, [chunk(usage={"prompt_tokens": HUGE, "completion_tokens": -1, "total_tokens": "3"}), DONE]),
    # Half of a surrogate pair: JSON can say it, UTF-8 cannot.
    (CHAT, [b'data: {"id": "\\ud800", "model": "\\udfff", "choices": [{"finish_reason": "\\ud800"}]}\n\n', DONE]),
    (CHAT, [chunk(choices=[7, {"index": [], "delta": "x"}, {"delta": {"tool_calls": [{"index": {}}, {"index": []}]}}]), DONE]),
    (CHAT, [b"data: " + b"[" * 20_000 + b"\n\n", DONE]),
    (COMPLETIONS, [event({"choices": [{"index": None, "text": 7, "logprobs": [1]}], "usage": [1]}), DONE]),
    (RESPONSES, [event({"type": "response.completed", "response": {"output": [7, {"type": []}], "status": {}}})]),
    (RESPONSES, [event({"type": ["x"], "output_index": {}, "item": {}, "delta": "d"}), event({"type": "error", "error": 7})]),
    (MESSAGES, [event({"type": "message_start", "message": {"usage": "none"}}),
                event({"type": "message_delta", "delta": "x", "usage": [1]})]),
    (MESSAGES, [event({"type": "content_block_start", "index": [], "content_block": {"text": 7}}),
                event({"type": "message_stop"})]),
]  # fmt: skip


@pytest.mark.parametrize(("path", "pieces"), STREAMS, ids=range(len(STREAMS)))
def test_an_odd_stream_is_recorded_as_it_came(
    upstream: Upstream, proxy: CaptureProxy, path: str, pieces: list[bytes]
) -> None:
    upstream.answer = lambda seen, reply: stream(reply, pieces)
    got = WEB.post(proxy.root_url + path, json={**BODIES[path], "stream": True}, headers=auth(proxy))
    assert got.content == b"".join(pieces)
    upstream.answer = echo
    WEB.post(proxy.root_url + CHAT, json=BODIES[CHAT], headers=auth(proxy))
    second, first = proxy.calls
    assert first.response_body == got.content
    assert second.status == "ok"
    assert proxy.counters["failed"] == 0
    assert isinstance(json.dumps(first.to_dict()), str)  # reading it does not break either
    assert len(proxy.trajectories()) >= 1


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "body",
    [
        b'{"model": "\\ud800", "id": "\\udfff", "choices": [{"message": {"content": "\\ud800"}, "finish_reason": "\\ud800"}]}',
        json.dumps({"usage": {"prompt_tokens": HUGE, "input_tokens": HUGE, "output_tokens": HUGE}}).encode(),
        b'{"content": [{"type": [], "text": {}}], "stop_reason": {}, "usage": {"input_tokens": 1.5}, "output": {}}',
        b"<html>Bad gateway</html>",
        b"7",
    ],
    ids=["half characters", "huge counts", "wrong types", "no JSON", "a number"],
)
def test_an_odd_body_is_recorded_as_it_came(upstream: Upstream, proxy: CaptureProxy, path: str, body: bytes) -> None:
    async def answer(seen: Seen, reply: Reply) -> None:
        await reply.head(content_type="application/json", content_length=str(len(body)))
        await reply.piece(body)

    upstream.answer = answer
    got = WEB.post(proxy.root_url + path, json=BODIES[path], headers=auth(proxy))
    assert got.content == body
    (call,) = proxy.calls
    assert call.response_body == body
    assert proxy.counters["failed"] == 0
    json.dumps(call.to_dict())


def test_ids_that_no_store_can_hold(upstream: Upstream, proxy: CaptureProxy) -> None:
    for field in ("conversation", "previous_response_id"):
        body = b'{"model": "m", "input": "hi", "%s": "\\ud800"}' % field.encode()
        got = WEB.post(proxy.root_url + RESPONSES, content=body, headers=auth(proxy))
        assert got.status_code == 200
        assert upstream.seen[-1].body == body
    assert [call.status for call in proxy.calls] == ["ok", "ok"]


def test_what_the_database_refuses_takes_no_other_call_along(upstream: Upstream, proxy: CaptureProxy) -> None:
    WEB.post(proxy.root_url + CHAT, json=BODIES[CHAT], headers=auth(proxy))
    refuse = "CREATE TRIGGER odd BEFORE INSERT ON calls WHEN NEW.title = 'say 3' BEGIN SELECT RAISE(ABORT, 'odd'); END"

    def say(number: int) -> httpx.Response:
        body = {"model": "m", "messages": [{"role": "user", "content": f"say {number}"}]}
        return httpx.post(proxy.root_url + CHAT, json=body, headers=auth(proxy), trust_env=False, timeout=60)

    with sqlite3.connect(proxy.store.files.database, isolation_level=None) as other, ThreadPoolExecutor(8) as clients:
        other.execute(refuse)
        other.execute("BEGIN IMMEDIATE")  # so that all of them wait for one transaction
        answers = [clients.submit(say, number) for number in range(8)]
        wait_for(lambda: len(upstream.seen) == 9)
        other.execute("COMMIT")
        assert {answer.result().status_code for answer in answers} == {200}
    other.close()
    stored = {call.title for call in proxy.calls if call.title.startswith("say")}
    assert stored == {f"say {number}" for number in range(8) if number != 3}
    assert (proxy.counters["failed"], "odd" in proxy.counters["last_error"]) == (1, True)


def test_the_writer_lives_on_whatever_a_record_holds(tmp_path: Path) -> None:
    """Every client waits for this one thread: a defect of ours may cost a record, and never the thread."""
    outcomes: queue.Queue[tuple[str, Exception | None]] = queue.Queue()
    writer = Writer(tmp_path / FILE, PriceTable({}), Redactor())
    try:
        for name, status in (("odd", HUGE), ("good", 200), ("odder", {}), ("better", 200)):
            request = {"model": "m", "messages": [{"role": "user", "content": name}]}
            exchange = Exchange(dialect("chat"), json.dumps(request).encode(), request, "upstream")
            exchange.http_status = status  # type: ignore[assignment]
            writer.put(exchange, lambda problem, name=name: outcomes.put((name, problem)))
        found = dict(outcomes.get(timeout=60) for _ in range(4))
    finally:
        writer.close()
    assert {name: problem is None for name, problem in found.items()} == {
        "odd": False, "good": True, "odder": False, "better": True,
    }  # fmt: skip
    assert (writer.written, writer.failed) == (2, 2)


_WORDS = st.sampled_from(
    ["message_start", "content_block_start", "content_block_delta", "message_delta", "message_stop", "response.completed",
     "response.output_item.added", "response.output_text.delta", "response.function_call_arguments.delta", "error", "text",
     "text_delta", "input_json_delta", "citations_delta", "signature_delta", "message", "function_call", "reasoning",
     "tool_use", "thinking", "assistant", "user", "{}", "[DONE]", "\ud800", ""]
)  # fmt: skip
_KEYS = st.sampled_from(
    ["type", "index", "output_index", "content_index", "item", "delta", "message", "content", "content_block", "usage", "choices",
     "tool_calls", "function", "arguments", "name", "id", "model", "text", "response", "output", "error", "finish_reason",
     "stop_reason", "status", "role", "summary", "partial_json", "citations", "incomplete_details", "reason", "input"]
)  # fmt: skip
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 2) | st.just(HUGE) | st.floats(allow_nan=False) | _WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(["chat", "completions", "responses", "messages"]),
    st.lists(st.dictionaries(_KEYS, _VALUES, max_size=5) | _VALUES, max_size=5),
)
def test_reading_an_answer_never_breaks(name: str, sent: list[Any]) -> None:
    speaks = dialect(name)
    body = b"".join(b"data: " + json.dumps(data).encode() + b"\n\n" for data in sent)
    facts = speaks.facts(body, streamed=True)
    assert all(isinstance(count, int) and 0 <= count < 2**63 for count in (facts.usage or {}).values())
    answers = [speaks.response(body, streamed=True), *(data for data in sent if isinstance(data, dict))]
    for answer in answers:
        speaks.response_facts(answer)
        for choice in speaks.choices(answer):
            assert isinstance(choice["message"], dict)
        speaks.messages(
            {"messages": answer.get("content"), "input": answer.get("output"), "system": answer.get("item")}
        )
        speaks.tools({"tools": answer.get("tool_calls")})
