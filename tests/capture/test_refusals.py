"""What is refused, and how; what never leaves the proxy; and that the upstream is the one it was started with."""

from __future__ import annotations

import http.client
import json
import logging
import socket
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shadownb.engine.capture import capture
from shadownb.engine.capture.proxy import CaptureProxy
from shadownb.errors import ConfigError
from tests.capture.conftest import CANARY, WEB
from tests.capture.test_pass_through import BODIES, PATHS, auth
from tests.capture.upstream import Reply, Seen, Upstream

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
_FIELDS = {
    "/v1/chat/completions": ("model", "messages", "stream", "tools", "n", "stream_options"),
    "/v1/completions": ("model", "prompt", "stream", "n"),
    "/v1/responses": ("model", "input", "stream", "tools", "instructions", "previous_response_id", "conversation"),
    "/v1/messages": ("model", "messages", "max_tokens", "stream", "system", "tools"),
}
_WRONG = {
    "model": [None, "", 7, [], {}, True],
    "messages": [None, [], "hi", 7, [7], [{}], [{"role": 7}], [{"role": "user", "content": 7}]],
    "stream": ["yes", 1, []],
    "tools": ["x", 7, {}],
    "n": ["2", 1.5, [], True],
    "stream_options": [7, "x", []],
    "prompt": [7, True, {}],
    "input": [7, True, {}, [7], [None]],
    "instructions": [7, True, {}],
    "previous_response_id": [7, [], {}],
    "conversation": [7, []],
    "max_tokens": [None, "9", 1.5, True, []],
    "system": [7, {}, True],
}


def shaped(response: httpx.Response, path: str) -> None:
    """Assert that an answer is an error in the shape of a path's dialect."""
    assert 400 <= response.status_code < 500, response.text
    content = response.json()
    if path == "/v1/messages":
        assert set(content) == {"type", "error"}
        assert content["type"] == "error"
        assert set(content["error"]) == {"type", "message"}
    else:
        assert set(content) == {"error"}
        assert set(content["error"]) == {"message", "type", "param", "code"}
    assert content["error"]["message"]
    assert "Traceback" not in response.text


@pytest.mark.parametrize("path", PATHS)
def test_every_wrong_field_is_named(upstream: Upstream, proxy: CaptureProxy, path: str) -> None:
    wrong = [(field, value) for field in _FIELDS[path] for value in _WRONG[field]]
    with httpx.Client(headers=auth(proxy)) as client:
        for field, value in wrong:
            body = {**BODIES[path], field: value}
            got = client.post(proxy.root_url + path, json=body)
            if value is None and field not in ("model", "messages", "max_tokens"):
                continue
            shaped(got, path)
            assert got.status_code == 400
            assert field in got.json()["error"]["message"], (field, value)
    assert upstream.seen == []
    assert len(proxy.calls) == 0
    assert proxy.counters["refused"] == len(wrong)


BROKEN = [
    b"", b"{", b"[]", b"null", b"7", b'"x"', b"\xff\xfe", b'{"a":', b"not json", b"{" * 100_000, b"[" * 100_000, b"\x00" * 10,
    b'{"model": "x", "messages": "\xc3\x28"}', b'{"n": ' + b"9" * 5000 + b"}", b"{'model': 'x'}", b'{"model": "x",}',
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_broken_bodies(upstream: Upstream, proxy: CaptureProxy, path: str) -> None:
    with httpx.Client(headers=auth(proxy)) as client:
        for body in BROKEN:
            shaped(client.post(proxy.root_url + path, content=body), path)
        shaped(client.post(proxy.root_url + path, content=b"\x1f\x8b", headers={"content-encoding": "gzip"}), path)
    assert upstream.seen == []


@pytest.mark.parametrize("path", PATHS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_generated_bodies_never_break_it(
    upstream: Upstream, proxy: CaptureProxy, path: str, data: st.DataObject
) -> None:
    """240 bodies (60 a dialect): each is refused in the dialect's shape or reaches the upstream as it is."""

    async def answer(seen: Seen, reply: Reply) -> None:
        await reply.json({"id": "x", "object": None, "choices": [7], "usage": [], "content": [None], "output": [{}]})

    upstream.answer = answer
    before = len(upstream.seen)
    changes = data.draw(st.dictionaries(st.sampled_from(_FIELDS[path]), _JSON, max_size=3))
    body = json.dumps({**BODIES[path], **changes}).encode()
    body = data.draw(st.sampled_from([body, body, body[:-1], body + b"}", body.replace(b'"', b"'")]))
    got = WEB.post(proxy.root_url + path, content=body, headers=auth(proxy))
    if got.status_code != 200:
        shaped(got, path)
        assert len(upstream.seen) == before
        return
    assert upstream.seen[-1].body == body
    call = proxy.calls[0]
    assert call.request_body == body
    repr(
        (call.messages, call.tools, call.choices, call.to_dict(), call._repr_html_())
    )  # reading it does not break either


def test_who_may_ask(upstream: Upstream, proxy: CaptureProxy) -> None:
    for path in PATHS:
        url, good = proxy.root_url + path, auth(proxy)
        for headers in (
            {}, {"authorization": "Bearer wrong"}, {"x-api-key": CANARY}, {"authorization": f"Basic {proxy.token}"},
            {"authorization": f"Bearer {proxy.token}x"}, {"cookie": proxy.token},
        ):  # fmt: skip
            got = WEB.post(url, json=BODIES[path], headers=headers)
            assert got.status_code == 401
            shaped(got, path)
        for evil in (
            {"host": "evil.example"}, {"host": "evil.example:80"}, {"host": "127.0.0.1.evil.example"}, {"host": "127.0.0.1:1"},
            {"host": ""}, {"origin": "https://evil.example"}, {"origin": "null"}, {"origin": "http://127.0.0.1:1"},
        ):  # fmt: skip
            got = WEB.post(url, json=BODIES[path], headers={**good, **evil})
            assert got.status_code == 403, evil
            shaped(got, path)
        mine = {**good, "host": f"localhost:{proxy.root_url.rpartition(':')[2]}", "origin": proxy.root_url}
        assert WEB.post(url, json=BODIES[path], headers=mine).status_code == 200
    assert len(upstream.seen) == len(PATHS)


def test_allow_hosts_lets_containers_in(upstream: Upstream) -> None:
    with capture(upstream.url, host="0.0.0.0", allow_hosts=["host.docker.internal"]) as proxy:
        body, good = BODIES[PATHS[0]], auth(proxy)
        url = proxy.root_url + PATHS[0]
        port = proxy.root_url.rpartition(":")[2]
        assert proxy.root_url.startswith("http://127.0.0.1:")
        for host in ("host.docker.internal", f"host.docker.internal:{port}", f"127.0.0.1:{port}"):
            assert WEB.post(url, json=body, headers={**good, "host": host}).status_code == 200
        assert WEB.post(url, json=body, headers={**good, "host": "docker.internal"}).status_code == 403
    with pytest.raises(ConfigError, match="allow_hosts"):
        capture(upstream.url, host="0.0.0.0")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("announced", [True, False])
def test_a_body_over_the_cap_is_413_and_the_client_reads_it(upstream: Upstream, path: str, announced: bool) -> None:
    with capture(upstream.url, max_body=10_000) as proxy:
        big = json.dumps({**BODIES[path], "padding": "x" * 5_000_000}).encode()
        content: Any = big if announced else iter([big[:4000], big[4000:]])
        got = WEB.post(proxy.root_url + path, content=content, headers=auth(proxy))
        assert got.status_code == 413
        shaped(got, path)
        assert WEB.post(proxy.root_url + path, json=BODIES[path], headers=auth(proxy)).status_code == 200
        assert len(upstream.seen) == 1


def test_unknown_routes_and_methods(proxy: CaptureProxy, upstream: Upstream) -> None:
    with httpx.Client(headers=auth(proxy), base_url=proxy.root_url) as client:
        for path in (
            "/",
            "/v1",
            "/v1/",
            "/admin",
            "/v1/files/../../secret",
            "/openai/deployments/../../x",
            "/v1beta/models/../x:generateContent",
            "/v1/models/..%2f..%2fsecret",
            "/v1/models/../../x",
            "/v1//evil.example/x",
        ):
            assert client.get(path).status_code == 404, path
        for path in PATHS:
            assert client.get(path).status_code == 405
        assert client.options(PATHS[0], headers={"origin": "http://evil.example"}).status_code == 403
    assert upstream.seen == []


def test_nothing_in_a_request_moves_the_upstream_or_its_key(upstream: Upstream, proxy: CaptureProxy) -> None:
    async def steal(seen: Seen, reply: Reply) -> None:
        await reply.json({"stolen": True})

    with Upstream(steal) as evil:
        tricks = {
            "base_url": evil.url, "api_base": evil.url, "url": evil.url, "upstream": evil.url, "target": evil.url,
            "extra_headers": {"host": f"127.0.0.1:{evil.port}"}, "proxy": evil.url,
        }  # fmt: skip
        headers = {
            **auth(proxy), "x-forwarded-host": f"127.0.0.1:{evil.port}", "x-base-url": evil.url, "x-upstream": evil.url,
            "forwarded": f"host=127.0.0.1:{evil.port}", "x-original-url": evil.url, "connection": "keep-alive, authorization",
            "openai-base-url": evil.url, "x-http-method-override": "GET", "proxy-authorization": "Basic eDp5",
        }  # fmt: skip
        for path in PATHS:
            got = WEB.post(proxy.root_url + path, json={**BODIES[path], **tricks}, headers=headers)
            assert "echo" in got.text
        raw = f"POST http://127.0.0.1:{evil.port}{PATHS[0]} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {proxy.token}\r\n"
        body = json.dumps(BODIES[PATHS[0]])
        with socket.create_connection(("127.0.0.1", int(proxy.root_url.rpartition(":")[2]))) as client:
            client.sendall(f"{raw}content-length: {len(body)}\r\nconnection: close\r\n\r\n{body}".encode())
            assert b"HTTP/1.1" in client.recv(100)

        async def redirect(seen: Seen, reply: Reply) -> None:
            await reply.head(307, location=evil.url + seen.path, content_length="0")

        upstream.answer = redirect
        got = WEB.post(proxy.root_url + PATHS[0], json=BODIES[PATHS[0]], headers=auth(proxy), follow_redirects=True)
        assert got.status_code == 502
        assert evil.seen == []
    assert all(
        seen.headers.get("authorization", "").endswith(CANARY) or seen.headers.get("x-api-key") == CANARY
        for seen in upstream.seen
    )


def test_keys_are_found_nowhere(
    upstream: Upstream, tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: Any
) -> None:
    """The upstream repeats the key (as error messages do), in a body, a stream and a header; the client sends its token about."""

    async def answer(seen: Seen, reply: Reply) -> None:
        key = seen.headers.get("authorization", "").removeprefix("Bearer ") or seen.headers["x-api-key"]
        if seen.json.get("stream"):
            await reply.head(content_type="text/event-stream", x_request_id=key)
            await reply.piece(b'data: {"error": {"message": "bad key ' + key.encode() + b'"}}\n\n')
            await reply.end()
        else:
            await reply.json({"error": {"message": f"Incorrect API key provided: {key}"}}, 401, x_request_id=key)

    upstream.answer = answer
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.INFO, logger="httpcore")  # at DEBUG it shows every header that an upstream sends
    shown: list[str] = []
    with capture(upstream.url, name="canary") as proxy:
        token = proxy.token
        for path in PATHS:
            for streamed in (False, True):
                headers = {**auth(proxy), "user-agent": f"agent {token}", "x-mine": token, "x-session-id": f"s {token}"}
                body = {**BODIES[path], "stream": streamed, "metadata": {"key": token}}
                web = http.client.HTTPConnection(
                    "127.0.0.1", int(proxy.root_url.rpartition(":")[2])
                )  # one that logs nothing
                web.request("POST", f"{path}?api_key={token}&a=1", json.dumps(body), headers)
                web.getresponse().read()
                web.close()
        shown += [
            repr(proxy),
            proxy._repr_html_(),
            repr(proxy.target),
            str(proxy.counters),
            repr(proxy.calls),
            proxy.calls._repr_html_(),
        ]
        shown += [json.dumps(call.to_dict()) + repr(call) + call._repr_html_() for call in proxy.calls]
        assert len(proxy.calls) == 8
        assert proxy.store.count(status="error") == 8
        proxy.store.export(tmp_path / "calls.jsonl")
        files = [file for file in tmp_path.rglob("*") if file.is_file()]
        contents = [file.read_bytes() for file in files]
        for call in proxy.calls:  # in the store they are compressed
            contents += [call.request_body, call.response_body]
    shown += [caplog.text, *capsys.readouterr()]
    assert any(file.name == "calls.sqlite" for file in files)
    for secret in (CANARY, token):
        assert not any(secret in text for text in shown)
        assert not any(secret.encode() in content for content in contents)
    assert any("[key]" in text for text in shown)
    assert all(seen.path.endswith("?a=1") for seen in upstream.seen)


@pytest.mark.parametrize(
    ("target", "options", "says"),
    [
        ("ftp://x", {}, "base URL"),
        ("api.openai.com", {}, "base URL"),
        ("https://u:p@x/v1", {}, "password"),
        ("http://[::1", {}, "base URL"),
        ("http://x:99999/v1", {}, "base URL"),
        ("http://x:port/v1", {}, "base URL"),
        (None, {}, "nothing"),
        ("http://x", {"port": 99999}, "port"),
        ("http://x", {"port": "80"}, "port"),
        ("http://x", {"host": "x"}, "host"),
        ("http://x", {"token": "short"}, "token"),
        ("http://x", {"sample": 2}, "sample"),
        ("http://x", {"redact": "emial"}, "email"),
        ("http://x", {"api_key_env": "NOT_SET_ANYWHERE"}, "NOT_SET_ANYWHERE"),
        ("http://x", {"name": "../x"}, "name"),
        ("http://x", {"keep_days": -1}, "keep_days"),
        ("http://x", {"timeout": 0}, "timeout"),
        ("http://x", {"max_body": 0}, "max_body"),
        ("http://x", {"prices": {"m": {"input": -1, "output": 1}}}, "input"),
        ("http://x", {"prices": {"m": 7}}, "price"),
    ],
)
def test_options_are_checked_before_anything_starts(
    target: str, options: dict[str, Any], says: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        capture(target, **options)
    assert "u:p" not in str(caught.value)
    assert caught.value.fix


def test_a_provider_without_its_key_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    with pytest.raises(ConfigError, match="ANTHROPIC_API_KEY"):
        capture("https://api.anthropic.com")
    monkeypatch.setenv("MY_KEY", "my-key-123")
    target = capture("https://api.anthropic.com", api_key_env="MY_KEY").target
    assert target is not None
    assert target.base == "https://api.anthropic.com/v1"
    assert target.authorisation("/messages") == [("x-api-key", "my-key-123")]
