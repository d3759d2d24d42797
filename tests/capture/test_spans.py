"""Recorded calls as spans of OpenTelemetry: what our own import reads back is what was recorded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from shadownb import traces
from shadownb.engine.capture import CaptureStore, capture
from shadownb.engine.trajectories import Trajectory
from shadownb.engine.trajectories.identity import PathHash
from tests.capture.conftest import WEB
from tests.capture.upstream import Reply, Seen, Upstream, event, stream

TOOL = {"name": "look", "description": "d", "parameters": {"type": "object", "properties": {"id": {"type": "integer"}}}}
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
USAGE = {
    "prompt_tokens": 30,
    "completion_tokens": 5,
    "total_tokens": 35,
    "prompt_tokens_details": {"cached_tokens": 10},
}


def choice(text: str | None, reason: str | None = "stop", **more: Any) -> dict[str, Any]:
    return {"index": 0, "message": {"role": "assistant", "content": text, **more}, "finish_reason": reason}


async def scripted(seen: Seen, reply: Reply) -> None:
    """Answer as the last message asks for it."""
    body = seen.json
    last = json.dumps((body.get("messages") or body.get("input"))[-1])
    head = {"id": "c1", "object": "chat.completion", "created": 1, "model": "m-2026", "usage": USAGE}
    if "messages" in seen.path:
        blocks = [
            {"type": "thinking", "thinking": "Let me see.", "signature": "s"},
            {"type": "server_tool_use", "id": "w", "name": "web_search", "input": {"query": "q"}},
            {"type": "text", "text": "Found."},
        ]
        usage = {"input_tokens": 1, "output_tokens": 1}
        facts = {
            "id": "m1",
            "type": "message",
            "role": "assistant",
            "model": "c",
            "stop_sequence": None,
            "usage": usage,
        }
        await reply.json({**facts, "content": blocks, "stop_reason": "end_turn"})
    elif "fail" in last:
        await reply.json({"error": {"message": "Too many requests", "type": "rate_limit"}}, 429)
    elif "cut" in last:
        chunk = {**head, "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": "Half an"}}]}
        await stream(reply, [event(chunk)])
    elif "limit" in last:
        await reply.json({**head, "choices": [choice("Half", "length")]})
    elif "no end" in last:
        await reply.json({**head, "choices": [choice("Whole?", None)]})
    elif '"tool"' in last:
        await reply.json({**head, "choices": [choice("It is here.")]})
    elif "look" in last:
        call = {"id": "k1", "type": "function", "function": {"name": "look", "arguments": '{"id": 7}'}}
        await reply.json(
            {**head, "choices": [choice(None, "tool_calls", tool_calls=[call], reasoning_content="I look.")]}
        )
    else:
        await reply.json({**head, "choices": [choice("A picture."), {**choice("Of what?"), "index": 1}]})


@pytest.fixture
def store(tmp_path: Path) -> CaptureStore:
    with Upstream(scripted) as upstream, capture(upstream.url) as proxy:

        def ask(path: str, body: dict[str, Any], session: str = "s1") -> None:
            headers = {
                "authorization": f"Bearer {proxy.token}",
                "x-session-id": session,
                "x-shadownb-tags": "feature=triage",
            }
            WEB.post(proxy.root_url + path, json={"model": "m", **body}, headers=headers)

        asked = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "look it up", "name": "ada"}]
        tools = [{"type": "function", "function": TOOL}]
        ask("/v1/chat/completions", {"messages": asked, "tools": tools, "temperature": 0.5})
        call = {"id": "k1", "type": "function", "function": {"name": "look", "arguments": '{"id": 7}'}}
        asked += [
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "k1", "content": "found 7"},
        ]
        ask("/v1/chat/completions", {"messages": asked, "tools": tools})
        picture = [{"role": "user", "content": [{"type": "text", "text": "What is this?"}, PICTURE]}]
        ask("/v1/chat/completions", {"messages": picture, "n": 2}, "s2")
        for number, text in enumerate(("fail", "cut", "limit", "no end")):
            body = {"messages": [{"role": "user", "content": f"{text} please"}], "stream": text == "cut"}
            ask("/v1/chat/completions", body, f"t{number}")
        ask("/v1/messages", {"max_tokens": 9, "messages": [{"role": "user", "content": "Search."}]}, "s3")
    opened = CaptureStore.open(proxy.store.id)
    opened.score(opened.calls(session="s1")[-1].id, 0.25, note="Too short.")
    return opened


def shown(trajectory: Trajectory) -> Any:
    path = PathHash()
    said = [path.push(message).hex() for message in trajectory.messages]
    thoughts = [m.get("reasoning_content") for m in trajectory.messages]
    answers = [(c.message, c.choice, c.complete, c.model, c.usage, c.session) for c in trajectory.calls]
    return said, thoughts, trajectory.tools, answers, round(trajectory.started_at or 0, 3), trajectory.metadata["kind"]


def test_what_was_recorded_is_read_back(store: CaptureStore, tmp_path: Path) -> None:
    path = store.export(tmp_path / "calls.otlp.jsonl")
    recorded = sorted(map(shown, store.trajectories()), key=str)
    found = traces.from_otlp(path, thinking=True, reward_key="score")
    assert sorted(map(shown, found), key=str) == recorded
    assert {call.complete for t in found for call in t.calls} == {True, False}
    assert sorted(t.reward for t in found if t.reward is not None) == [0.25]
    assert "Too many requests" in json.dumps([json.loads(line) for line in path.read_text().splitlines()])


def test_spans_are_written_as_the_convention_says(store: CaptureStore, tmp_path: Path) -> None:
    (line,) = store.export(tmp_path / "x.json", fmt="otlp").read_text().splitlines()
    (scope,) = json.loads(line)["resourceSpans"][0]["scopeSpans"]
    assert len(scope["spans"]) == store.count()
    first = scope["spans"][0]
    held = {each["key"]: each["value"] for each in first["attributes"]}
    assert len(first["traceId"]) == 32 and len(first["spanId"]) == 16 and first["kind"] == 3
    assert int(first["endTimeUnixNano"]) > int(first["startTimeUnixNano"]) > 10**18
    assert held["gen_ai.operation.name"] == {"stringValue": "chat"}
    assert held["gen_ai.request.temperature"] == {"doubleValue": 0.5}
    assert held["gen_ai.usage.input_tokens"] == {"intValue": "30"}
    assert held["gen_ai.response.finish_reasons"] == {"arrayValue": {"values": [{"stringValue": "tool_calls"}]}}
    assert held["gen_ai.conversation.id"] == {"stringValue": "s1"} and held["shadownb.tag.feature"] == {
        "stringValue": "triage"
    }
    (answer,) = json.loads(held["gen_ai.output.messages"]["stringValue"])
    kinds = [(part["type"], part.get("arguments")) for part in answer["parts"]]
    assert kinds == [("reasoning", None), ("tool_call", {"id": 7})]
    statuses = [span["status"] for span in scope["spans"]]
    assert {"code": 2, "message": "Too many requests"} in statuses and statuses.count({"code": 1}) == 6
