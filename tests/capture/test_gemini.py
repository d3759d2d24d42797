"""Gemini's own dialect, by its official client and by what other clients send."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from shadownb import Dataset
from shadownb.engine.capture import capture
from shadownb.engine.capture.dialects import dialect
from shadownb.engine.capture.proxy import CaptureProxy
from tests.capture.conftest import CANARY, WEB
from tests.capture.upstream import Reply, Seen, Upstream, event, stream

Message = dict[str, Any]


def chunk(*parts: Message, finish: str | None = None, usage: bool = False) -> Message:
    candidate: Message = {"index": 0, "content": {"role": "model", "parts": list(parts)}}
    candidate |= {"finishReason": finish} if finish else {}
    found: Message = {"candidates": [candidate], "modelVersion": "gemini-9-flash"}
    counts = {"promptTokenCount": 7, "candidatesTokenCount": 2, "thoughtsTokenCount": 3, "totalTokenCount": 12}
    return {**found, "responseId": "r", **({"usageMetadata": counts} if usage else {})}


CALL = {"functionCall": {"name": "weather", "args": {"city": "Zürich"}}, "thoughtSignature": "c2ln"}
THOUGHT = {"text": "Think.", "thought": True}


async def scripted(seen: Seen, reply: Reply) -> None:
    """Call a function once, then answer with its result."""
    turns = seen.json["contents"]
    answered = any("functionResponse" in part for turn in turns for part in turn["parts"])
    chunks = (
        [chunk({"text": "It is "}), chunk({"text": "warm."}, finish="STOP", usage=True)]
        if answered or "tools" not in seen.json
        else [chunk(THOUGHT), chunk(CALL, finish="STOP", usage=True)]
    )
    if "alt=sse" in seen.path:
        await stream(reply, [event(each) for each in chunks])
    elif "stream" in seen.path:
        await reply.json(chunks)
    else:
        parts = [part for each in chunks for part in each["candidates"][0]["content"]["parts"]]
        await reply.json(chunk(*parts, finish="STOP", usage=True))


@pytest.fixture
def proxy(upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> Iterator[CaptureProxy]:
    upstream.answer = scripted
    monkeypatch.delenv("GOOGLE_API_KEY", raising=False)
    with capture(upstream.url) as running:
        yield running


@pytest.mark.parametrize("streamed", [False, True])
def test_a_tool_loop_of_the_official_client(upstream: Upstream, proxy: CaptureProxy, streamed: bool) -> None:
    from google import genai
    from google.genai import types

    def weather(city: str) -> str:
        """Return the weather of a city."""
        return "7 °C"

    options: Any = {"base_url": proxy.root_url}
    client = genai.Client(api_key=proxy.token, http_options=options)
    config = types.GenerateContentConfig(tools=[weather], system_instruction="Be kind.", temperature=0.0)
    asked: Any = {"model": "gemini-9-flash", "contents": "Weather?", "config": config}
    if streamed:
        said = "".join(part.text or "" for part in client.models.generate_content_stream(**asked))
    else:
        said = client.models.generate_content(**asked).text or ""
    assert said == "It is warm."
    first = upstream.seen[0]
    assert re.match(r"/v1(beta)?/models/gemini-9-flash:(generateC|streamGenerateC)ontent", first.path)
    assert (first.headers["x-goog-api-key"], proxy.token in str(first.headers) + first.path) == (CANARY, False)
    (trajectory,) = proxy.trajectories()
    roles = [message["role"] for message in trajectory.messages]
    assert roles == ["system", "user", "assistant", "tool", "assistant"]
    assert trajectory.messages[2]["reasoning_content"] == "Think."
    assert [(c["name"], c["arguments"]) for c in trajectory.tool_calls] == [("weather", {"city": "Zürich"})]
    assert "7 °C" in trajectory.messages[3]["content"]
    assert trajectory.final_content() == "It is warm."
    row = Dataset.from_captures(proxy)
    assert row.report.ok, row.report
    assert row.rows[0]["tools"][0]["function"]["parameters"]["properties"]["city"]["type"] == "string"
    assert [m.get("weight", 1) for m in row.rows[0]["messages"] if m["role"] == "assistant"] == [1, 1]
    call = proxy.calls[0]
    assert (call.dialect, call.model, call.stream or call.extra["sse"]) == ("gemini", "gemini-9-flash", streamed)
    assert call.usage == {
        "prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12, "reasoning_tokens": 3,
    }  # fmt: skip


def test_a_stream_as_a_list_and_fields_in_protobufs_words(upstream: Upstream, proxy: CaptureProxy) -> None:
    body = {
        "system_instruction": {"parts": {"text": "Be kind."}},
        "contents": [
            {"parts": [{"text": "Look."}, {"inline_data": {"mime_type": "image/png", "data": "aGk="}}]},
            {"role": "model", "parts": [{"text": "Seen."}]},
            {"role": "user", "parts": [{"text": "And?"}]},
        ],
    }
    address = f"{proxy.root_url}/v1beta/models/g:streamGenerateContent?key={proxy.token}"
    got = WEB.post(address, json=body, headers={"x-goog-api-key": proxy.token})
    assert got.status_code == 200
    assert proxy.token not in upstream.seen[0].path
    call = proxy.calls[0]
    assert (call.status, call.finish_reason, call.text, call.model) == ("ok", "STOP", "It is warm.", "g")
    assert [m["role"] for m in call.messages] == ["system", "user", "assistant", "user"]
    assert call.messages[1]["content"][1]["image_url"]["url"] == "data:image/png;base64,aGk="


@pytest.mark.parametrize(
    ("answer", "status", "trained"),
    [
        (chunk({"text": "a"}, finish="STOP"), "ok", True),
        (chunk({"text": "a"}, finish="MAX_TOKENS"), "ok", False),
        (chunk({"text": "a"}, finish="SAFETY"), "ok", False),
        (chunk({"text": "a"}), "ok", False),
        (chunk({"executableCode": {"code": "1"}}, {"text": "a"}, finish="STOP"), "ok", False),
        ({"promptFeedback": {"blockReason": "SAFETY"}}, "ok", False),
        ({"error": {"code": 429, "message": "quota", "status": "RESOURCE_EXHAUSTED"}}, "error", False),
    ],
)
def test_only_what_stopped_by_itself_is_trained(
    upstream: Upstream, proxy: CaptureProxy, answer: Message, status: str, trained: bool
) -> None:
    async def say(seen: Seen, reply: Reply) -> None:
        await reply.json(answer)

    upstream.answer = say
    address = f"{proxy.root_url}/v1beta/models/g:generateContent"
    WEB.post(address, json={"contents": "q"}, headers={"x-goog-api-key": proxy.token})
    assert proxy.calls[0].status == status
    assert [bool(t.trainable_turns) for t in proxy.trajectories()] in ([trained], [] if not trained else [True])


def test_refusals_have_its_shape(proxy: CaptureProxy) -> None:
    address = f"{proxy.root_url}/v1beta/models/g:generateContent"
    wrong = WEB.post(address, json={"contents": "q"}, headers={"x-goog-api-key": "no"})
    assert (wrong.status_code, wrong.json()["error"]["status"]) == (401, "UNAUTHENTICATED")
    empty = WEB.post(address, json={}, headers={"x-goog-api-key": proxy.token})
    assert (empty.status_code, empty.json()["error"]["status"]) == (400, "INVALID_ARGUMENT")


def test_schemas_become_plain_ones() -> None:
    numbers = {"type": "ARRAY", "items": {"type": "INTEGER"}}
    given = {"type": "OBJECT", "properties": {"type": {"type": "STRING", "nullable": True}, "n": numbers}}
    (tool,) = dialect("gemini").tools({"tools": [{"functionDeclarations": [{"name": "f", "parameters": given}]}]})
    assert tool["function"]["parameters"]["properties"] == {
        "type": {"type": ["string", "null"]},
        "n": {"type": "array", "items": {"type": "integer"}},
    }
    assert json.dumps(tool)
