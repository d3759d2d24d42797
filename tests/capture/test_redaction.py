"""Redaction: in the recorded copy nothing is left, in what passes through nothing is changed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from shadownb.engine.capture import capture
from shadownb.engine.capture.proxy import CaptureProxy
from shadownb.engine.privacy.rules import RULES
from tests.capture.conftest import CANARY, WEB
from tests.capture.test_pass_through import BODIES, PATHS, auth
from tests.capture.upstream import Reply, Seen, Upstream, event, sse, stream

KEYS = ["sk-proj-abcdefghijklmnopqrstuvwx", "ghp_abcdefghijklmnopqrstuvwxyz0123456789", "AKIAIOSFODNN7EXAMPLE",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N"]  # fmt: skip
NO_KEYS = ["sk-learn", "the skip-list", "ghp_short"]


def test_the_rule_key() -> None:
    """The other ready rules are in ``tests/engine/test_privacy.py``."""
    for secret in KEYS:
        assert RULES["key"](f"It is {secret}, thanks") == "It is [key], thanks"
    for text in NO_KEYS:
        assert RULES["key"](f"It is {text}, thanks") == f"It is {text}, thanks"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("postgres://ann:S3cretPassw0rd@db.example.org/x", "postgres://ann:[key]@db.example.org/x"),
        ("AZURE_OPENAI_API_KEY=0a1b2c3d0a1b2c3d0a1b2c3d", "AZURE_OPENAI_API_KEY=[key]"),
        ('{"password": "S3cretPassw0rd", "user": "ann"}', '{"password": "[key]", "user": "ann"}'),
        ("x-api-key: 0a1b2c3d0a1b2c3d", "x-api-key: [key]"),
        ("https://h/?api_key=abc123def456&q=1", "https://h/?api_key=[key]&q=1"),
        ("aws_secret_access_key = wJalrXUtnFEMI/K7MDENG", "aws_secret_access_key = [key]"),
        ("The secret: nobody knows.", "The secret: nobody knows."),
        ("password = input('Password: ')", "password = input('Password: ')"),
        ("https://h:8080/a@b", "https://h:8080/a@b"),
    ],
)
def test_the_rule_key_takes_what_is_called_one(text: str, left: str) -> None:
    assert RULES["key"](text) == left


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("path", PATHS)
def test_recorded_copy_only_and_through_the_pieces_of_a_stream(upstream: Upstream, path: str, streamed: bool) -> None:
    text = "write to ann.lee@mail.example or call +49 30 1234567 about 4111 1111 1111 1111 soon"
    pieces = sse(path, f"echo: {text}")
    if streamed:
        upstream.answer = lambda seen, reply: stream(reply, pieces)
    with capture(upstream.url, redact=["email", "phone", "card"]) as proxy:
        body = {**BODIES[path], "stream": streamed}
        for field in ("messages", "input"):
            if field in body:
                body[field] = [{"role": "user", "content": text}]
        if "prompt" in body:
            body["prompt"] = text
        got = WEB.post(proxy.root_url + path, json=body, headers=auth(proxy))
        assert "ann.lee@mail.example" in got.text
        if streamed:
            assert got.content == b"".join(pieces)
        assert "4111" in upstream.seen[0].body.decode()
        call = proxy.calls[0]
        clean = re.escape("write to [email] or call [phone] about [card] soon").replace(r"\]", r" [0-9a-f]{4}\]")
        assert (call.redacted, call.status) == (True, "ok")
        said = call.messages[-1]["content"]
        assert re.fullmatch(clean, said)
        assert call.text == f"echo: {said}"
        assert call.title == said
        assert call.usage is not None
        for secret in ("ann.lee", "30 1234567", "4111 1111"):  # with their spaces: no time or id has them by chance
            assert secret not in json.dumps(call.to_dict()) + call.response_body.decode()


def test_what_a_stream_splits_inside_a_word_is_found(upstream: Upstream) -> None:
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    texts = ["mail ", "an", "n@ex", "ample", ".org", " now"]
    arguments = ['{"to": "ann', "@exam", 'ple.org", "card": 41111111', "11111111}"]
    deltas: list[dict[str, Any]] = [{"content": t} for t in texts]
    deltas += [{"tool_calls": [{"index": 0, "id": "call_1", "function": {"name": "send", "arguments": ""}}]}]
    deltas += [{"tool_calls": [{"index": 0, "function": {"arguments": a}}]} for a in arguments]
    pieces = [f"data: {json.dumps({**head, 'choices': [{'index': 0, 'delta': d}]})}\n\n".encode() for d in deltas]
    pieces += [b"data: [DONE]\n\n"]
    upstream.answer = lambda seen, reply: stream(reply, pieces)
    with capture(upstream.url, redact=["email", "card"]) as proxy:
        got = WEB.post(proxy.root_url + PATHS[0], json={**BODIES[PATHS[0]], "stream": True}, headers=auth(proxy))
        assert got.content == b"".join(pieces)
        message = proxy.calls[0].response_message
        assert message is not None
        assert re.fullmatch(r"mail \[email [0-9a-f]{4}\] now", message["content"])
        mark = message["content"][5:-4]
        arguments = json.loads(message["tool_calls"][0]["function"]["arguments"])
        assert arguments == {"to": mark, "card": arguments["card"]}
        assert re.fullmatch(r"\[card [0-9a-f]{4}\]", arguments["card"])


def test_a_function_of_ones_own_and_one_that_fails(upstream: Upstream) -> None:
    def hide(text: str) -> str:
        return text.replace("Zebra", "[animal]")

    def fail(text: str) -> str:
        raise RuntimeError("no")

    with capture(upstream.url, redact=hide) as proxy:
        body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "a Zebra"}]}
        assert "Zebra" in WEB.post(proxy.root_url + PATHS[0], json=body, headers=auth(proxy)).text
        assert (proxy.calls[0].text, proxy.calls[0].title) == ("echo: a [animal]", "a [animal]")
    with capture(upstream.url, redact=["email", fail]) as proxy:
        assert "Zebra" in WEB.post(proxy.root_url + PATHS[0], json=body, headers=auth(proxy)).text
        call = proxy.calls[0]
        assert (call.request_body, call.response_body, call.title) == (b"", b"", "")  # not looked at, so not kept
        assert call.error is not None
        assert "RuntimeError" in call.error["message"]
        # A session is text, too: it is not kept, and the record is.
        WEB.post(proxy.root_url + PATHS[0], json=body, headers={**auth(proxy), "x-session-id": "Zebra"})
        assert [(call.session, call.response_body) for call in proxy.calls] == [(None, b"")] * 2
        assert proxy.counters["failed"] == 0
    with capture(upstream.url, redact=lambda text: None) as proxy:  # type: ignore[arg-type, return-value]
        WEB.post(proxy.root_url + PATHS[0], json=body, headers=auth(proxy))
        call = proxy.calls[0]
        assert (call.request_body, call.response_body) == (b"", b"")
        assert call.error is not None
        assert "TypeError" in call.error["message"]


def test_nothing_to_take_out_leaves_the_bytes_alone(upstream: Upstream) -> None:
    with capture(upstream.url, redact=list(RULES)) as proxy:
        body = json.dumps({**BODIES[PATHS[0]], "stream": True}, indent=3).encode()
        got = WEB.post(proxy.root_url + PATHS[0], content=body, headers=auth(proxy))
        call = proxy.calls[0]
        assert (call.request_body, call.response_body, call.redacted) == (body, got.content, False)


@pytest.mark.parametrize("path", PATHS)
def test_a_key_that_a_model_spells_is_not_kept(upstream: Upstream, proxy: CaptureProxy, path: str) -> None:
    """An agent's tool prints the environment and the model repeats it, a few characters a piece: no byte of it is whole."""
    secrets = (proxy.token, CANARY)
    text = "".join(f"It is {secret[:5]} {secret} {secret[5:]}, " for secret in secrets)
    pieces = sse(path, text, cut=lambda whole: [whole[n : n + 3] for n in range(0, len(whole), 3)])
    upstream.answer = lambda seen, reply: stream(reply, pieces)
    got = WEB.post(proxy.root_url + path, json={**BODIES[path], "stream": True}, headers=auth(proxy))
    assert got.content == b"".join(pieces)
    call = proxy.calls[0]
    assert (call.status, call.redacted) == ("ok", True)
    assert call.text == "".join(f"It is {secret[:5]} [key] {secret[5:]}, " for secret in secrets)
    said = "".join(
        _strings([json.loads(line[6:]) for line in call.response_body.splitlines() if line[:7] == b"data: {"])
    )
    assert "[key]" in said
    assert not any(secret in said for secret in secrets)


def _strings(value: Any) -> Iterator[str]:
    """Yield the texts in events, in order."""
    if isinstance(value, dict):
        for key, item in value.items():
            if isinstance(item, str) and key in ("content", "text", "delta"):
                yield item
            yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)


def test_a_long_stream_without_a_key_keeps_its_pieces(upstream: Upstream, proxy: CaptureProxy) -> None:
    text = " ".join(f"{n:x}-word-{n}" for n in range(2000))  # long enough that a key's characters occur in order
    pieces = sse(PATHS[0], text)
    upstream.answer = lambda seen, reply: stream(reply, pieces)
    got = WEB.post(proxy.root_url + PATHS[0], json={**BODIES[PATHS[0]], "stream": True}, headers=auth(proxy))
    call = proxy.calls[0]
    assert call.response_body == got.content == b"".join(pieces)
    assert len(call.frames) > 10


@pytest.mark.parametrize("streamed", [False, True])
def test_log_probabilities_do_not_spell_what_was_taken_out(upstream: Upstream, streamed: bool) -> None:
    tokens = ["mail ", "ann", "@exa", "mple", ".org"]
    spelt = [{"token": token, "logprob": -0.1, "bytes": list(token.encode()), "top_logprobs": []} for token in tokens]
    head = {"id": "c", "object": "chat.completion", "created": 1, "model": "m"}

    async def answer(seen: Seen, reply: Reply) -> None:
        if streamed:
            deltas = [
                {"index": 0, "delta": {"content": token}, "logprobs": {"content": [each]}, "finish_reason": None}
                for token, each in zip(tokens, spelt, strict=True)
            ]
            await stream(reply, [*(event({**head, "choices": [delta]}) for delta in deltas), b"data: [DONE]\n\n"])
            return
        message = {"role": "assistant", "content": "".join(tokens)}
        choice = {"index": 0, "message": message, "logprobs": {"content": spelt}, "finish_reason": "stop"}
        await reply.json({**head, "choices": [choice]})

    upstream.answer = answer
    body = {**BODIES[PATHS[0]], "stream": streamed, "logprobs": True}
    for rules, kept in ((["email"], False), (["card"], True)):
        with capture(upstream.url, redact=rules) as proxy:
            WEB.post(proxy.root_url + PATHS[0], json=body, headers=auth(proxy))
            call = proxy.calls[0]
            assert re.fullmatch("mail ann@example.org" if kept else r"mail \[email [0-9a-f]{4}\]", call.text)
            assert (b"@exa" in call.response_body) is kept
            assert call.request["logprobs"] is True


def test_names_of_fields_are_looked_at_too(upstream: Upstream) -> None:
    book = {"ann@example.org": {"age": 7}, "bob@example.org": {"age": 8}, "name": "x"}
    with capture(upstream.url, redact="email") as proxy:
        body = {"model": "gpt-4o", "messages": [{"role": "user", "content": json.dumps(book)}]}
        WEB.post(proxy.root_url + PATHS[0], json=body, headers=auth(proxy))
        call = proxy.calls[0]
        assert b"example.org" not in call.request_body + call.response_body
        ann, bob, name = json.loads(call.messages[0]["content"]).items()
        assert (ann[1], bob[1], name) == ({"age": 7}, {"age": 8}, ("name", "x"))
        assert all(re.fullmatch(r"\[email [0-9a-f]{4}\]", mark) for mark in (ann[0], bob[0]))


def test_the_word_that_a_local_server_takes_as_key_stays(upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "EMPTY")
    with capture(upstream.url) as proxy:
        body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Is the list EMPTY?"}]}
        WEB.post(proxy.root_url + PATHS[0], json=body, headers=auth(proxy))
        assert proxy.calls[0].text == "echo: Is the list EMPTY?"
        assert upstream.seen[0].headers["authorization"] == "Bearer EMPTY"
