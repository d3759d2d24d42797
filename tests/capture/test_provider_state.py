"""What a provider keeps or runs itself: conversations, answers in the background, items by id, hosted tools; and what passes."""

from __future__ import annotations

import gzip
import json
from typing import Any

import brotli
import pytest
import zstandard

from shadownb import Dataset
from shadownb.engine.capture import capture
from shadownb.engine.capture.dialects import dialect
from shadownb.engine.capture.proxy import CaptureProxy
from shadownb.engine.capture.sessions import session_of
from tests.capture.conftest import CANARY, WEB
from tests.capture.test_pass_through import BODIES, PATHS, auth
from tests.capture.upstream import Reply, Seen, Upstream, event, response, stream

RESPONSES = PATHS[2]
Message = dict[str, Any]


class Provider:
    """Keeps conversations and answers as the Responses API does."""

    def __init__(self) -> None:
        self.answers: dict[str, Message] = {}
        self.said: list[str] = []

    async def __call__(self, seen: Seen, reply: Reply) -> None:
        path = seen.path.partition("?")[0].removeprefix("/v1")
        if path == "/responses":
            asked = seen.json
            number = len(self.answers) + 1
            whole = {**response(f"answer {number}", 2), "id": f"resp_{number}"}
            whole["output"][0]["id"] = f"msg_{number}"
            self.answers[whole["id"]] = whole
            shown = {**whole, "status": "queued", "output": [], "usage": None} if asked.get("background") else whole
            await reply.json(shown)
        elif path.startswith("/responses/"):
            whole = self.answers[path.rpartition("/")[2]]
            if "stream=true" in seen.path:
                await stream(reply, [event({"type": "response.completed", "response": whole}, "response.completed")])
            else:
                await reply.json(whole)
        elif path == "/conversations":
            await reply.json({"id": "conv_1", "object": "conversation"})
        else:
            await reply.json({"object": "list", "data": []})


@pytest.fixture
def provider(upstream: Upstream) -> Provider:
    upstream.answer = made = Provider()
    return made


def said(proxy: CaptureProxy) -> list[list[str]]:
    return [[str(m["content"]) for m in t.messages] for t in proxy.trajectories()]


def trained(proxy: CaptureProxy) -> list[list[Any]]:
    rows = Dataset.from_captures(proxy).rows
    return [[m.get("weight", 1) for m in row["messages"] if m["role"] == "assistant"] for row in rows]


def test_what_is_put_into_a_conversation_is_part_of_it(
    proxy: CaptureProxy, provider: Provider, openai_client: Any
) -> None:
    def item(text: str) -> Message:
        return {"type": "message", "role": "user", "content": text}

    kept = openai_client.conversations.create(items=[item("I am A.")])
    openai_client.responses.create(model="m", input="who?", conversation=kept.id)
    openai_client.conversations.items.create(kept.id, items=[item("I moved.")])
    openai_client.responses.create(model="m", input="where?", conversation=kept.id)
    assert said(proxy) == [["I am A.", "who?", "answer 1", "I moved.", "where?", "answer 2"]]
    assert trained(proxy) == [[1, 1]]
    assert proxy.trajectories().unanswered == []
    assert proxy.store.summary()["unpriced"] == 0
    assert proxy.counters["passed_through"] == {"conversations": 2}


@pytest.mark.parametrize("how", ["whole", "as a stream"])
def test_an_answer_in_the_background_is_recorded_when_it_is_fetched(
    proxy: CaptureProxy, provider: Provider, openai_client: Any, how: str
) -> None:
    tags = {"x-shadownb-tags": "feature=slow"}
    asked = openai_client.responses.create(model="gpt-4o", input="take your time", background=True, extra_headers=tags)
    before = proxy.calls[0]
    assert (before.finish_reason, before.text, said(proxy)) == ("queued", "", [])
    if how == "whole":
        openai_client.responses.retrieve(asked.id)
    else:
        list(openai_client.responses.retrieve(asked.id, stream=True))
    (call,) = proxy.calls
    assert (call.id, call.seq, call.finish_reason, call.text) == (before.id, before.seq, "completed", "answer 1")
    assert call.usage is not None
    assert call.tags == {"feature": "slow"}
    assert call.duration_s >= before.duration_s
    openai_client.responses.create(model="m", input="and?", previous_response_id=asked.id)
    assert said(proxy) == [["take your time", "answer 1", "and?", "answer 2"]]
    openai_client.responses.retrieve(asked.id)
    assert len(proxy.calls) == 2


def test_items_by_their_ids_are_put_in_their_place(proxy: CaptureProxy, provider: Provider) -> None:
    def ask(*given: Message) -> None:
        WEB.post(proxy.root_url + RESPONSES, json={"model": "m", "input": list(given)}, headers=auth(proxy))

    first = {"role": "user", "content": "one"}
    ask(first)
    ask(first, {"type": "item_reference", "id": "msg_1"}, {"role": "user", "content": "two"})
    assert said(proxy) == [["one", "answer 1", "two", "answer 2"]]
    assert trained(proxy) == [[1, 1]]
    ask({"type": "item_reference", "id": "msg_unknown"}, {"role": "user", "content": "three"})
    assert proxy.calls[0].withheld == "names a part of its prompt that was not recorded"
    assert trained(proxy) == [[1, 1]]


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"previous_response_id": "resp_before"}, "goes on from an answer that was not recorded"),
        ({"prompt": {"id": "pmpt_1"}}, "its instructions are a prompt that the provider keeps"),
        ({"input": [{"type": "compaction", "encrypted_content": "x"}, {"role": "user", "content": "on"}]}, "compacted"),
    ],
)
def test_an_answer_to_what_was_not_seen_is_not_trained(
    proxy: CaptureProxy, provider: Provider, more: Message, why: str
) -> None:
    WEB.post(proxy.root_url + RESPONSES, json={"model": "m", "input": "q", **more}, headers=auth(proxy))
    assert why in str(proxy.calls[0].withheld)
    (trajectory,) = proxy.trajectories()
    assert trajectory.trainable_turns == []
    assert why in trajectory.calls[0].why_not_complete


F = {"type": "object", "properties": {}}
TOOLS: dict[str, tuple[str, list[Message], list[str]]] = {
    "functions": ("chat", [{"type": "function", "function": {"name": "f", "parameters": F}}], ["f"]),
    "a custom tool": ("chat", [{"type": "custom", "custom": {"name": "c"}}], ["c"]),
    "of another provider": ("chat", [{"googleSearch": {}}, {"type": "function", "function": {"name": "f"}}], ["f"]),
    "hosted": (
        "responses",
        [{"type": "function", "name": "f", "parameters": F}, {"type": "web_search"}, {"type": "mcp", "server_label": "s"}],
        ["f"],
    ),
    "of Codex": (
        "responses",
        [{"type": "custom", "name": "apply_patch", "format": {"type": "grammar"}}, {"type": "local_shell"}],
        ["apply_patch", "local_shell"],
    ),
    "a namespace": ("responses", [{"type": "namespace", "name": "n", "tools": [{"type": "function", "name": "f"}]}], ["f"]),
    "of Anthropic": (
        "messages",
        [
            {"name": "f", "input_schema": F},
            {"type": "web_search_20250305", "name": "web_search"},
            {"type": "bash_20250124", "name": "bash"},
        ],
        ["f", "bash"],
    ),
    "of Gemini": (
        "gemini",
        [{"functionDeclarations": [{"name": "f", "parameters": {"type": "OBJECT", "properties": {}}}]}, {"googleSearch": {}}],
        ["f"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", list(TOOLS))
def test_what_the_client_runs_is_offered_and_what_the_provider_runs_is_not(name: str) -> None:
    speaks, tools, names = TOOLS[name]
    found = dialect(speaks).tools({"tools": tools})
    assert [tool["function"]["name"] for tool in found] == names
    talk = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    assert Dataset.from_list([{"messages": talk, "tools": found}], format="chat").report.ok


def test_functions_of_before_there_were_tools() -> None:
    assert [t["function"]["name"] for t in dialect("chat").tools({"functions": [{"name": "f", "parameters": F}]})] == [
        "f"
    ]


def test_calls_that_a_client_runs_and_their_results() -> None:
    items = [
        {"type": "custom_tool_call", "id": "a", "call_id": "1", "name": "apply_patch", "input": "*** Begin"},
        {"type": "local_shell_call", "call_id": "2", "action": {"type": "exec", "command": ["ls"]}},
        {"type": "apply_patch_call", "call_id": "3", "operation": {"type": "delete_file", "path": "x"}},
        {"type": "custom_tool_call_output", "call_id": "1", "output": "done"},
        {"type": "local_shell_call_output", "id": "2", "output": '{"stdout": "x"}'},
        {"type": "shell_call_output", "call_id": "3", "output": [{"stdout": "y", "outcome": {"type": "exit"}}]},
        {
            "type": "computer_call_output",
            "call_id": "4",
            "output": {"type": "computer_screenshot", "image_url": "data:,"},
        },
    ]
    answer, *results = dialect("responses").messages({"input": items})
    calls = [(c["id"], c["function"]["name"], json.loads(c["function"]["arguments"])) for c in answer["tool_calls"]]
    assert calls == [
        ("1", "apply_patch", {"input": "*** Begin"}),
        ("2", "local_shell", {"type": "exec", "command": ["ls"]}),
        ("3", "apply_patch", {"type": "delete_file", "path": "x"}),
    ]
    assert [(r["role"], r["tool_call_id"]) for r in results] == [("tool", str(n)) for n in range(1, 5)]
    assert [results[0]["content"], results[1]["content"]] == ["done", '{"stdout": "x"}']
    assert json.loads(results[2]["content"])[0]["stdout"] == "y"
    assert results[3]["content"] == [{"type": "image_url", "image_url": {"url": "data:,"}}]


@pytest.mark.parametrize("kind", ["web_search_call", "mcp_call", "code_interpreter_call"])
def test_an_answer_that_rests_on_a_tool_of_the_provider_is_context(
    upstream: Upstream, proxy: CaptureProxy, kind: str
) -> None:
    async def answer(seen: Seen, reply: Reply) -> None:
        whole = response("found", 1)
        if len(seen.json["input"]) == 1:
            whole["output"].insert(0, {"id": "h", "type": kind, "status": "completed"})
        await reply.json(whole)

    upstream.answer = answer
    asked: list[Message] = [{"role": "user", "content": "q"}]
    for text in ("more", "end"):
        got = WEB.post(proxy.root_url + RESPONSES, json={"model": "m", "input": asked}, headers=auth(proxy)).json()
        asked += [*got["output"], {"role": "user", "content": text}]
    data = Dataset.from_captures(proxy)
    assert (data.report.ok, trained(proxy)) == (True, [[0, 1]])
    (trajectory,) = proxy.trajectories()
    assert trajectory.calls[0].why_not_complete == f"rests on {kind} of the provider"


def test_the_session_of_claude_code() -> None:
    session = "0f0e0d0c-1111-2222-3333-444455556666"
    for headers, user in (
        ({}, f"user_abc_account__session_{session}"),
        ({}, json.dumps({"device_id": "d", "account_uuid": "", "session_id": session})),
        ({"x-claude-code-session-id": session}, "other"),
    ):
        assert session_of(headers, {"metadata": {"user_id": user}}) == session
    for odd in ("{", "{}", '{"session_id": 7}', "[]", "plain"):
        assert session_of({}, {"metadata": {"user_id": odd}}) is None


ENCODE = {"gzip": gzip.compress, "zstd": zstandard.ZstdCompressor().compress, "br": brotli.compress}


@pytest.mark.parametrize("encoding", list(ENCODE))
def test_a_compressed_request_goes_on_as_it_came_and_is_read(
    upstream: Upstream, proxy: CaptureProxy, encoding: str
) -> None:
    body = ENCODE[encoding](json.dumps(BODIES[RESPONSES]).encode())
    headers = {**auth(proxy), "content-encoding": encoding, "content-type": "application/json"}

    async def answer(seen: Seen, reply: Reply) -> None:
        await reply.json(response("hi", 1))

    upstream.answer = answer
    assert WEB.post(proxy.root_url + RESPONSES, content=body, headers=headers).status_code == 200
    assert upstream.seen[0].body == body
    assert upstream.seen[0].headers["content-encoding"] == encoding
    assert proxy.calls[0].request == BODIES[RESPONSES]
    wrong = WEB.post(proxy.root_url + RESPONSES, content=b"not so", headers=headers)
    assert (wrong.status_code, len(upstream.seen)) == (400, 1)


def test_a_request_that_claims_gigabytes_is_413(upstream: Upstream) -> None:
    with capture(upstream.url, max_body=1 << 20) as proxy:
        for encoding, encode in ENCODE.items():
            headers = {**auth(proxy), "content-encoding": encoding}
            got = WEB.post(proxy.root_url + RESPONSES, content=encode(bytes(1 << 24)), headers=headers)
            assert got.status_code == 413
    assert upstream.seen == []


PASSED = [
    ("GET", "/v1/files"), ("POST", "/v1/files"), ("DELETE", "/v1/files/file-1"), ("GET", "/v1/files/file-1/content"),
    ("POST", "/v1/batches"), ("GET", "/v1/messages/batches/b_1/results"), ("POST", "/v1/messages/batches"),
    ("POST", "/v1/audio/transcriptions"), ("POST", "/v1/images/edits"), ("POST", "/v1/moderations"),
    ("POST", "/v1/responses/compact"), ("POST", "/v1/responses/resp_1/cancel"), ("GET", "/v1/models/org/name"),
    ("POST", "/v1/vector_stores/vs_1/search"), ("POST", "/v1/uploads/u_1/parts"), ("POST", "/openai/deployments/d/embeddings"),
    ("GET", "/v1beta/models"), ("POST", "/v1beta/models/gemini-x:countTokens"),
]  # fmt: skip


def test_what_is_no_call_passes_and_is_counted(upstream: Upstream, proxy: CaptureProxy) -> None:
    async def answer(seen: Seen, reply: Reply) -> None:
        await reply.json({"method": seen.method, "path": seen.path})

    upstream.answer = answer
    for method, path in PASSED:
        got = WEB.request(method, proxy.root_url + path, headers=auth(proxy), content=b"" if method == "GET" else b"{}")
        assert (got.status_code, got.json()) == (200, {"method": method, "path": path})
    assert len(proxy.calls) == 0
    assert proxy.counters["passed_through"]["files"] == 4
    assert sum(proxy.counters["passed_through"].values()) == len(PASSED)


def test_azures_client(upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    import openai

    with capture(upstream.url) as proxy:
        with openai.AzureOpenAI(
            azure_endpoint=proxy.root_url, api_key=proxy.token, api_version="2025-04-01", max_retries=0
        ) as client:
            said = client.chat.completions.create(model="my-deployment", messages=[{"role": "user", "content": "hi"}])
        seen = upstream.seen[0]
        assert said.choices[0].message.content == "echo: hi"
        assert seen.path == "/openai/deployments/my-deployment/chat/completions?api-version=2025-04-01"
        assert (seen.headers["api-key"], proxy.token in str(seen.headers)) == (CANARY, False)
        assert (proxy.calls[0].dialect, proxy.calls[0].model, proxy.calls[0].text) == (
            "chat",
            "my-deployment",
            "echo: hi",
        )
