"""What a client gets through the proxy is what it would get directly, when it would get it."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

import pytest

from shadownb.engine.capture.proxy import CaptureProxy
from tests.capture.conftest import CANARY, WEB
from tests.capture.upstream import Reply, Seen, Upstream, event, sse, stream, whole

USER = [{"role": "user", "content": "where is my parcel, señor 📦?"}]
PATHS = ("/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages")
BODIES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"model": "gpt-4o", "messages": USER, "x_unknown": {"a": [1, None]}},
    "/v1/completions": {"model": "gpt-3.5-turbo-instruct", "prompt": "where is it?"},
    "/v1/responses": {"model": "gpt-4o", "input": USER},
    "/v1/messages": {"model": "claude-opus-5", "max_tokens": 50, "messages": USER},
}


def auth(proxy: CaptureProxy) -> dict[str, str]:
    return {"authorization": f"Bearer {proxy.token}"}


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("path", PATHS)
def test_body_and_bytes_are_untouched_in_every_dialect(
    upstream: Upstream, proxy: CaptureProxy, path: str, streamed: bool
) -> None:
    body = json.dumps({**BODIES[path], "stream": streamed}, indent=2).encode()  # spacing of the client's own
    direct = WEB.post(upstream.url + path, content=body, headers={"x-api-key": CANARY})
    through = WEB.post(proxy.root_url + path + "?beta=true", content=body, headers=auth(proxy))
    assert through.status_code == direct.status_code == 200
    assert through.content == direct.content
    assert through.headers["content-type"] == direct.headers["content-type"]
    first, second = upstream.seen
    assert second.body == first.body == body
    assert second.path == path + "?beta=true"
    call = proxy.calls[0]
    assert call.response_body == direct.content
    assert b"".join(piece for _, piece in call.frames) == direct.content
    assert call.request_body == body
    assert (call.status, call.dialect, call.stream) == (
        "ok",
        {"/v1/chat/completions": "chat"}.get(path, path[4:]),
        streamed,
    )
    assert call.text.startswith("echo: where is")
    assert call.usage is not None
    assert call.usage["prompt_tokens"] == 7


def test_key_is_swapped_and_nothing_else_added(upstream: Upstream, proxy: CaptureProxy) -> None:
    headers = {**auth(proxy), "x-mine": "kept", "cookie": "a=b", "openai-organization": "org-1", "x-api-key": "other"}
    WEB.post(proxy.base_url + "/chat/completions", json=BODIES[PATHS[0]], headers=headers)
    WEB.post(proxy.base_url + "/messages", json=BODIES[PATHS[3]], headers={"x-api-key": proxy.token})
    chat, messages = (seen.headers for seen in upstream.seen)
    assert chat["authorization"] == f"Bearer {CANARY}"
    assert "x-api-key" not in chat
    assert (chat["x-mine"], chat["openai-organization"]) == ("kept", "org-1")
    assert messages["x-api-key"] == CANARY
    assert proxy.token not in str(chat) + str(messages)
    assert "cookie" not in chat
    assert chat["host"] == f"127.0.0.1:{upstream.port}"


@pytest.mark.parametrize("path", PATHS)
def test_first_chunk_is_out_before_the_last_came_in(upstream: Upstream, proxy: CaptureProxy, path: str) -> None:
    seen_by_client = threading.Event()

    async def answer(seen: Seen, reply: Reply) -> None:
        first, *rest = sse(path, "echo: one two three")
        await reply.head(content_type="text/event-stream")
        await reply.piece(first)
        assert await asyncio.to_thread(seen_by_client.wait, 20)  # the rest is not even written before
        await stream_rest(reply, rest)

    async def stream_rest(reply: Reply, rest: list[bytes]) -> None:
        for piece in rest:
            await reply.piece(piece)
        await reply.end()

    upstream.answer = answer
    body = {**BODIES[path], "stream": True}
    with WEB.stream("POST", proxy.root_url + path, json=body, headers=auth(proxy), timeout=120) as response:
        pieces = response.iter_raw()
        got = next(pieces)
        seen_by_client.set()
        got += b"".join(pieces)
    assert got == b"".join(sse(path, "echo: one two three"))


def test_what_nobody_has_heard_of_goes_through_and_is_rebuilt(upstream: Upstream, proxy: CaptureProxy) -> None:
    def choice(index: int, finish: str | None = None, logprob: str = "", **delta: Any) -> dict[str, Any]:
        more = {"logprobs": {"content": [{"token": logprob, "logprob": -0.1, "top_logprobs": []}]}} if logprob else {}
        return {"index": index, "delta": delta, "finish_reason": finish, **more}

    def part(place: int, arguments: str, **more: Any) -> dict[str, Any]:
        name = {"name": more.pop("name")} if more else {}
        return {"index": place, **more, "function": {**name, "arguments": arguments}}

    deltas: list[dict[str, Any]] = [
        {"choices": [choice(1, role="assistant", content="second")]},
        {"choices": [choice(0, logprob="a", role="assistant", reasoning_content="think ")]},
        {"choices": [choice(0, logprob="b", reasoning_content="hard", x_new="ab")]},
        {"choices": [choice(0, tool_calls=[part(0, "", id="call_a", type="function", name="look")])]},
        {"choices": [choice(0, tool_calls=[part(1, '{"to":', id="call_b", type="function", name="send")])]},
        {"choices": [choice(0, tool_calls=[part(0, '{"id": 7}')], x_new="cd")]},
        {"choices": [choice(0, tool_calls=[part(1, '"bo"}')])]},
        {"choices": [choice(0, "tool_calls"), choice(1, "length")]},
        {
            "choices": [],
            "usage": {"prompt_tokens": 3, "completion_tokens": 9, "total_tokens": 12, "x_cost": 1},
            "x_top": "kept",
        },
    ]
    head = {"id": "c9", "object": "chat.completion.chunk", "created": 1, "model": "m", "system_fingerprint": "fp"}
    pieces = [event({**head, **delta}) for delta in deltas] + [b"data: [DONE]\n\n"]
    upstream.answer = lambda seen, reply: stream(reply, pieces)
    got = WEB.post(
        proxy.base_url + "/chat/completions", json={**BODIES[PATHS[0]], "stream": True, "n": 2}, headers=auth(proxy)
    )
    assert got.content == b"".join(pieces)
    call = proxy.calls[0]
    first, second = call.choices
    assert second["message"]["content"] == "second"
    assert (first["finish_reason"], second["finish_reason"], call.finish_reason) == (
        "tool_calls",
        "length",
        "tool_calls",
    )
    assert first["message"]["reasoning_content"] == "think hard"
    assert first["message"]["x_new"] == "abcd"
    calls = [(c["id"], c["function"]["name"], c["function"]["arguments"]) for c in first["message"]["tool_calls"]]
    assert calls == [("call_a", "look", '{"id": 7}'), ("call_b", "send", '{"to":"bo"}')]
    assert [t["token"] for t in call.response["choices"][0]["logprobs"]["content"]] == ["a", "b"]
    assert call.response["x_top"] == "kept"
    assert call.response["usage"]["x_cost"] == 1


def test_models_embeddings_and_counts_pass_through_unrecorded(
    openai_client: Any, anthropic_client: Any, proxy: CaptureProxy
) -> None:
    assert [model.id for model in openai_client.models.list()] == ["gpt-4o"]
    assert openai_client.embeddings.create(model="e", input="x", encoding_format="float").data[0].embedding == [0.5]
    counted = anthropic_client.messages.count_tokens(model="claude-opus-5", messages=USER)
    assert counted.input_tokens == 3
    assert len(proxy.calls) == 0


def test_both_clients_work_with_either_form_of_the_address(proxy: CaptureProxy) -> None:
    import anthropic
    import openai

    for url in (proxy.base_url, proxy.root_url):
        client = anthropic.Anthropic(base_url=url, api_key=proxy.token, max_retries=0)
        message = client.messages.create(model="claude-opus-5", max_tokens=9, messages=USER)
        assert message.content[0].text == f"echo: {USER[0]['content']}"
    answer = openai.OpenAI(base_url=proxy.root_url, api_key=proxy.token).responses.create(model="gpt-4o", input="hi")
    assert answer.output_text == "echo: hi"
    assert [call.dialect for call in proxy.calls] == ["responses", "messages", "messages"]
    assert len({call.text for call in proxy.calls}) == 2


def test_errors_of_the_upstream_pass_as_they_are_and_are_recorded(
    upstream: Upstream, proxy: CaptureProxy, openai_client: Any
) -> None:
    import openai

    error = {
        "error": {"message": "Slow down", "type": "requests", "param": None, "code": "rate_limit_exceeded", "x": 1}
    }

    async def answer(seen: Seen, reply: Reply) -> None:
        await reply.json(error, status=429, retry_after="7")

    upstream.answer = answer
    with pytest.raises(openai.RateLimitError) as caught:
        openai_client.chat.completions.create(model="gpt-4o", messages=USER)
    assert caught.value.response.headers["retry-after"] == "7"
    assert caught.value.response.json() == error
    call = proxy.calls[0]
    assert (call.status, call.http_status, call.cost) == ("error", 429, None)
    assert call.error is not None
    assert call.error["message"] == "Slow down"
    assert call.choices == []


def test_an_upstream_that_cannot_be_reached_is_a_502_in_the_dialects_shape(
    upstream: Upstream, proxy: CaptureProxy
) -> None:
    upstream.stop_listening()
    chat = WEB.post(proxy.base_url + "/chat/completions", json=BODIES[PATHS[0]], headers=auth(proxy))
    messages = WEB.post(proxy.base_url + "/messages", json=BODIES[PATHS[3]], headers=auth(proxy))
    assert chat.status_code == messages.status_code == 502
    assert "cannot be reached" in chat.json()["error"]["message"]
    assert messages.json()["type"] == "error"
    assert [(call.status, call.http_status) for call in proxy.calls] == [("error", 502)] * 2


def test_whole_answers_are_the_same_from_stream_and_body(proxy: CaptureProxy) -> None:
    for path in PATHS:
        for streamed in (False, True):
            WEB.post(proxy.root_url + path, json={**BODIES[path], "stream": streamed}, headers=auth(proxy))
        from_stream, from_body = proxy.calls[0], proxy.calls[1]
        assert from_stream.response_message["content"] == from_body.response_message["content"]  # type: ignore[index]
        assert from_stream.finish_reason == from_body.finish_reason
        assert from_stream.usage == from_body.usage
        assert whole(path, from_body.text) == from_body.response
