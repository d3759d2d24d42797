"""Canaries: keys said everywhere a call can hold them, and nothing of them in anything that is stored, shown or exported.

What goes over the wire is looked at, too: there they must stand as they were sent.
"""

from __future__ import annotations

import base64
import contextlib
import json
import logging
import re
import sqlite3
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import httpx
import pytest

from shadownb.engine.capture import capture
from shadownb.engine.capture.proxy import CaptureProxy
from shadownb.engine.capture.redaction import Redactor
from shadownb.engine.capture.spellings import Spellings
from shadownb.engine.privacy.keys import without_keys
from shadownb.errors import ConfigError
from tests.capture.conftest import CANARY, WEB
from tests.capture.test_pass_through import BODIES, PATHS, auth
from tests.capture.upstream import Reply, Seen, Upstream, event, sse, stream, whole

CHAT, COMPLETIONS, RESPONSES, MESSAGES = PATHS
FOREIGN = "ghp_" + "Zq7" * 12  # a key of a common shape that nobody told us of


def wrapped(text: str, width: int) -> list[str]:
    return [text[at : at + width] for at in range(0, len(text), width)]


SPELLINGS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "escaped": lambda s: "".join(f"\\u{ord(c):04x}" for c in s),
    "escaped twice": lambda s: "".join(f"\\\\u{ord(c):04X}" for c in s),
    "percent": lambda s: "".join(f"%{ord(c):02X}" for c in s),
    "percent twice": lambda s: quote("".join(f"%{ord(c):02x}" for c in s)),
    "html": lambda s: "".join(f"&#{ord(c)};" for c in s),
    "hex": lambda s: s.encode().hex(),
    **{f"base64 {n}": lambda s, n=n: base64.b64encode(b"user:"[:n] + s.encode() + b"!").decode() for n in range(3)},  # type: ignore[misc]
    "base64 for URLs": lambda s: base64.urlsafe_b64encode(s.encode()).decode(),
    "base64 in lines": lambda s: "\\n".join(
        wrapped(base64.b64encode(f"user: {s} and more of it".encode()).decode(), 20)
    ),
    "base64 in lines of JSON in JSON": lambda s: "\\\\r\\\\n".join(wrapped(base64.b64encode(s.encode()).decode(), 8)),
    "base64 of UTF-16": lambda s: base64.b64encode(f"$key = {s}".encode("utf-16-le")).decode(),
    "base64 twice": lambda s: base64.b64encode(b"auth=" + base64.b64encode(b"u:" + s.encode())).decode(),
    "list of bytes": lambda s: ", ".join(map(str, s.encode())),
    "bytes of C": lambda s: ", ".join(map(hex, s.encode())),
    "hex with colons": lambda s: s.encode().hex(":").upper(),
    "broken by a terminal": lambda s: "\\n".join(wrapped(s, 15)),
    "octal": lambda s: "".join(f"\\\\{c:03o}" for c in s.encode()),
    "braces": lambda s: "".join(f"\\\\u{{{ord(c):x}}}" for c in s),
}
SHAPES = [
    "sk-proj-abcdefghijklmnopqrstuvwx1", "sk-ant-api03-abc123def456ghi789jkl0_-x", "sk_live_51HabcdefghijKLMNop", FOREIGN,
    "gsk_abcdefghijklmnopqrst12345", "AKIAIOSFODNN7EXAMPLE", "AIza" + "aB3_-" * 7, "hf_" + "aB3d" * 9,
    "xoxb-123456789012-abcdefghijklmnop",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N", "snb-" + "aB3_" * 8,
    "sk-lf-0a1b2c3d-1111-2222-3333-444455556666", "pypi-AgEIcHlwaS5vcmc" + "Cj0a" * 12, "dckr_pat_aB3d-aB3d_aB3daB3daB3d",
    "glsa_" + "aB3d" * 8 + "_0a1b2c3d", "dop_v1_" + "0a1b" * 16, "shpat_" + "0a1b" * 8, "sbp_" + "0a1b" * 10,
    "lin_api_" + "aB3d" * 10, "ntn_" + "aB3d" * 11, "whsec_" + "aB3d" * 8, "tvly-dev-" + "aB3d" * 6, "GOCSPX-" + "aB3-" * 7,
]  # fmt: skip
NO_KEYS = [
    "pk_customer_internationalization", "hf_tokenizer_from_pretrained_file", "sk-learn", "call_660dc8a4884c162d66f8f82",
    "task-1234567890abcdef1234", "Bearer authentication-scheme", "toolu_01A09q90qw90lq917835lq9", "snb-short",
    "risk_0123456789abcdef0123", "pypi-packages-and-their-names", "ntn_" + "x" * 12, "tvly-search-results-for-a-question",
]  # fmt: skip


def seen_in(proxy: CaptureProxy, folder: Path) -> dict[str, str]:
    """Return everything in which a key could be left, by the name of the place."""
    from shadownb.panels import CapturePanel, TrajectoriesPanel

    found: dict[str, str] = {
        "counters": str(proxy.counters),
        "facts": str(proxy.files.facts),
        "reprs": repr(proxy) + repr(proxy.target),
    }
    for file in proxy.folder.iterdir():
        found[f"file {file.name}"] = file.name + file.read_bytes().decode("latin-1")
    with sqlite3.connect(proxy.store.files.database) as db:
        for table in ("calls", "bodies"):
            rows = db.execute(f"SELECT * FROM {table}")
            for row in rows:
                for (column, *_), value in zip(rows.description, row, strict=True):
                    text = zlib.decompress(value).decode("latin-1") if isinstance(value, bytes) else str(value)
                    found[f"column {column}"] = found.get(f"column {column}", "") + text + "\n"
    db.close()
    for call in proxy.calls:
        found[f"call {call.id}"] = repr(call) + call._repr_html_() + json.dumps(call.to_dict())
    found["calls"] = repr(proxy.calls) + proxy.calls._repr_html_() + proxy.calls.to_frame().to_string()
    trajectories = proxy.trajectories()
    found["trajectories"] = "".join(repr(t) + t._repr_html_() + t.to_json() for t in trajectories)
    found["export"] = proxy.store.export(folder / "calls.jsonl").read_text() + str(proxy.store.to_dataset().to_list())
    for panel in (CapturePanel(proxy), TrajectoriesPanel(proxy)):
        panel.settle()
        found[type(panel).__name__] = str({k: v for k, v in panel.get_state().items() if k not in ("_esm", "_css")})
        panel.close()
    return found


def views(text: str) -> Iterator[str]:
    """Yield a text, and what it says when escapes, percent encoding, hexadecimal and base64 are read."""
    plain = re.sub(r"\\+u([0-9a-fA-F]{4})", lambda m: chr(int(m[1], 16)), text)
    plain = re.sub(r"&#(\d+);", lambda m: chr(int(m[1])), plain)
    plain = re.sub(r"\\+u\{(\w+)\}", lambda m: chr(int(m[1], 16)), plain)
    plain = re.sub(r"\\+([01][0-7]{2})", lambda m: chr(int(m[1], 8)), plain)
    tight = re.sub(r"\\+[rn]|[\s:,]", "", plain)
    yield from (text, plain, tight, unquote(plain), unquote(unquote(plain)))
    yield "".join(chr(int(n)) for n in re.findall(r"\b\d{1,3}\b", plain))
    for run in re.findall(r"[A-Za-z0-9+/_-]{24,}", f"{plain} {tight}".replace("0x", " ") + tight.replace("0x", "")):
        for begin in range(4):
            part = run[begin : begin + (len(run) - begin) // 4 * 4].replace("-", "+").replace("_", "/")
            inner = base64.b64decode(part)
            yield from (
                inner.decode("latin-1"),
                inner.decode("utf-16-le", "replace"),
                inner[1:].decode("utf-16-le", "replace"),
            )
            for begun in range(4):
                again = re.sub(rb"[^A-Za-z0-9+/]", b"", inner)[begun:]
                yield base64.b64decode(again[: len(again) // 4 * 4]).decode("latin-1")
        if re.fullmatch(r"(?:[0-9a-fA-F]{2})+", run):
            yield bytes.fromhex(run).decode("latin-1")


def assert_clean(found: dict[str, str], secrets: list[str]) -> None:
    for place, text in found.items():
        for view in views(text):
            for secret in secrets:
                assert secret not in view, f"{secret[:8]}... is in {place}"


def say(proxy: CaptureProxy, path: str, text: str, **fields: Any) -> tuple[bytes, Any]:
    body = {**BODIES[path], **fields}
    for field in ("messages", "input"):
        if field in body:
            body[field] = [{"role": "user", "content": text}]
    if "prompt" in body:
        body["prompt"] = text
    sent = json.dumps(body).encode()
    return sent, WEB.post(
        proxy.root_url + path, content=sent, headers={**auth(proxy), "content-type": "application/json"}
    )


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_key_in_any_place_of_a_call_is_in_nothing_that_is_kept(
    upstream: Upstream, proxy: CaptureProxy, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    secrets = [CANARY, proxy.token, FOREIGN]
    head = {**auth(proxy), "content-type": "application/json"}
    for secret in secrets:
        upstream.answer = _says(CHAT, "hi")
        tool = {
            "type": "function",
            "function": {"name": "f", "description": secret, "parameters": {"type": "object", "title": secret}},
        }
        call = {
            "id": secret,
            "type": "function",
            "function": {"name": "f", "arguments": json.dumps({"k": {"deep": [secret]}})},
        }
        body = {
            "model": f"m-{secret}", "user": secret, "metadata": {secret: secret}, "tools": [tool], "safety_identifier": secret,
            "messages": [
                {"role": "system", "content": f"The key is\n{secret}"}, {"role": "user", "name": secret, "content": "use it"},
                {"role": "assistant", "content": None, "tool_calls": [call]},
                {"role": "tool", "tool_call_id": secret, "content": f'{{"env": "A={secret}\\n"}}'},
                {"role": "user", "content": [{"type": "text", "text": f"why does {secret} fail"}]},
            ],
        }  # fmt: skip
        headers = {
            **head,
            "user-agent": f"agent {secret}",
            "x-session-id": secret,
            "x-request-id": f"{'r' * 279} {secret}",
        }
        sent = json.dumps(body).encode()
        WEB.post(f"{proxy.root_url}{CHAT}?key={secret}&x=1", content=sent, headers=headers)
        assert upstream.seen[-1].body == sent
        WEB.get(f"{proxy.root_url}/v1/models/{secret}", headers=head)
        WEB.post(f"{proxy.root_url}/v1/none/{secret}", content=b"{}", headers=head)
        for path in PATHS:  # said back by the model, whole and in pieces that are cut anywhere
            for streamed in (False, True):
                pieces = sse(
                    path, f"It is {secret}, yes", cut=lambda text: [text[at : at + 3] for at in range(0, len(text), 3)]
                )
                upstream.answer = (
                    (lambda seen, reply, pieces=pieces: stream(reply, pieces))
                    if streamed
                    else _says(path, f"It is {secret}")
                )
                sent, got = say(proxy, path, f"again {secret}", stream=streamed)
                assert upstream.seen[-1].body == sent
                assert got.content == b"".join(pieces) if streamed else secret in got.text

        async def refuse(seen: Seen, reply: Reply, secret: str = secret) -> None:
            text = f"Incorrect API key provided: {secret}"
            await reply.json({"error": {"message": text, "type": text, "code": secret}}, 401, x_request_id=secret)

        async def odd(seen: Seen, reply: Reply, secret: str = secret) -> None:
            answer = whole(CHAT, "hi")
            answer |= {"id": secret, "model": secret, "system_fingerprint": secret}
            answer["choices"][0]["finish_reason"] = secret
            await reply.json(answer, 200, openai_version=secret)

        for upstream.answer in (refuse, odd, _breaks_off(secret)):
            for path, fields in ((CHAT, {"stream": True}), (RESPONSES, {"conversation": secret})):
                with contextlib.suppress(httpx.RemoteProtocolError):  # as it breaks off upstream, it does here
                    say(proxy, path, "hello", **fields)
    found, begins = seen_in(proxy, tmp_path), [secret[:14] for secret in secrets]  # nor may half of one be left
    assert len(proxy.calls) == len(secrets) * (1 + 8 + 6)
    assert "[key]" in found["column request"] + found["column response"]
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("shadownb")]
    assert_clean({**found, "log": "\n".join(ours)}, begins)
    proxy.stop()
    assert_clean({file.name: file.read_bytes().decode("latin-1") for file in proxy.folder.iterdir()}, begins)


def _says(path: str, text: str) -> Any:
    async def answer(seen: Seen, reply: Reply) -> None:
        await reply.json(whole(path, text))

    return answer


def _breaks_off(secret: str) -> Any:
    async def answer(seen: Seen, reply: Reply) -> None:
        await reply.head(content_type="text/event-stream", server=secret, retry_after=secret)
        await reply.piece(event({"error": {"message": f"{secret} is overloaded"}, "type": secret}, secret))
        reply.drop()

    return answer


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_however_a_known_key_is_written(spelling: str) -> None:
    spell = SPELLINGS[spelling]
    for secret in (CANARY, "my+gateway/key=0123456789"):
        redactor = Redactor(secrets=[secret])
        written = spell(secret)
        body = f'{{"model": "m", "messages": [{{"role": "user", "content": "a {written} b"}}]}}'.encode()
        request, frames, changed, failure = redactor.exchange(body, [(0.0, body)], sse=False)
        assert (changed, failure) == (True, None)
        assert frames[-1][1] == request
        assert_clean({spelling: request.decode()}, [secret])
        assert json.loads(request)["messages"][0]["content"].endswith(" b")  # still JSON, and the rest is there
        title = redactor.columns({"title": f"a {written}", "headers": {"user-agent": written}})
        assert_clean({spelling: str(title)}, [secret])


def test_shapes_of_keys_and_what_only_looks_like_one() -> None:
    for key in SHAPES:
        for before in (" ", "\\n", "\\u00e9", "=", '"'):
            assert without_keys(f"{before}{key} end".encode()).decode() == f"{before}[key] end", key
    for text in NO_KEYS:
        assert without_keys(text.encode()).decode() == text
    pem = "-----BEGIN RSA PRIVATE KEY-----\\nMIIEow\\n-----END RSA PRIVATE KEY-----"
    assert without_keys(f'"{pem}"'.encode()) == b'"[key]"'
    assert without_keys(b'"-----BEGIN PRIVATE KEY-----\\nMIIEow"') == b'"[key]"'  # cut off


def test_keys_in_long_runs_are_found_and_files_in_base64_are_left() -> None:
    for size in (5_000, (1 << 17) - 40, (1 << 17) - 4, (1 << 17) + 8):  # around what is looked at in one go
        before = "ab_c" * (size // 4)
        for keys in ([FOREIGN], [FOREIGN, CANARY], [SHAPES[0]] * 3):
            given = "".join(f"{before}={key}/" for key in keys)
            assert without_keys(given.encode()).decode() == f"{before}=[key]/" * len(keys)
    picture = base64.b64encode(bytes(range(256)) * 100 + b"AKIAIOSFODNN7EXAMPLE")
    assert without_keys(picture) == picture


def test_what_is_the_same_to_json_is_kept_as_it_came() -> None:
    """Escapes that programs write of themselves are no reason to rewrite a body."""
    body = b'{"a": "x \\u003c y \\u0026 z", "b": "%20%2F", "c": "&amp; \\u00e9", "d": "sk-short"}'
    assert Spellings([CANARY]).clean(body) == body


def test_no_half_of_a_key_is_left_where_a_text_is_cut() -> None:
    redactor = Redactor(secrets=[CANARY])
    for longest, name in ((160, "title"), (200, "model"), (200, "response_id")):
        for at in range(longest - len(CANARY), longest):
            assert CANARY[:8] not in redactor.columns({name: "x" * (at - 1) + " " + CANARY})[name]


def test_sessions_that_were_keys_or_names_stay_apart() -> None:
    redactor = Redactor("email")
    one, other, again = (
        redactor.columns({"session": f"{name}@example.org"})["session"] for name in ("ann", "bob", "ann")
    )
    assert one == again != other
    assert one.startswith("[email ")


@pytest.mark.parametrize("streamed", [False, True])
def test_log_probabilities_and_ids_of_tokens_spell_no_key(streamed: bool) -> None:
    tokens = [CANARY[at : at + 4] for at in range(0, len(CANARY), 4)]
    spelt = [{"token": t, "logprob": -0.1, "bytes": list(t.encode()), "top_logprobs": [{"token": t}]} for t in tokens]
    head = {"id": "c", "object": "chat.completion", "model": "m", "prompt_token_ids": [1, 2]}
    choices = [
        {
            "index": 0,
            "message": {"role": "assistant", "content": CANARY},
            "logprobs": {"content": spelt},
            "token_ids": [3],
        }
    ]
    body = json.dumps({**head, "choices": choices}).encode()
    if streamed:
        deltas = [
            {**head, "choices": [{"index": 0, "delta": {"content": t}, "logprobs": {"content": [s]}, "token_ids": [3]}]}
            for t, s in zip(tokens, spelt, strict=True)
        ]
        body = b"".join(map(event, deltas)) + b"data: [DONE]\n\n"
    _, frames, _, failure = Redactor(secrets=[CANARY]).exchange(b"{}", [(0.0, body)], sse=streamed)
    kept = frames[-1][1]
    assert failure is None
    assert b"[key]" in kept
    assert not re.search(rb'"(?:token|bytes)"|\[3\]|\[1, 2\]', kept)


@pytest.mark.parametrize(
    "body",
    [
        '{"a": "%s", "a": "x"}',
        '{"a": %s, "b": "%%s"}' % ("[" * 900 + "]" * 900),
        '{"a": NaN, "b": "%s", "c": 1' + "0" * 5000 + "}",
        '{"a": "%s"',
        "<html>%s</html>",
        '["[note](http://x) mail %s now"]',
    ],
    ids=["a field twice", "too deep", "odd numbers", "cut off", "no JSON", "brackets in a text"],
)
def test_rules_look_at_what_no_reader_takes_apart(body: str) -> None:
    for sse_ in (False, True):
        for escaped in (False, True):
            said = "ann@ex\\u0061mple.org" if escaped and "html" not in body else "ann@example.org"
            given = (f"data: {body % said}\n\n" if sse_ else body % said).encode()
            _, frames, changed, failure = Redactor("email").exchange(b"{}", [(0.0, given)], sse=sse_)
            assert (changed, failure) == (True, None)
            assert b"[email " in frames[-1][1]
            assert b"ann@" not in frames[-1][1]


def test_bodies_in_other_encodings_hide_nothing(upstream: Upstream, proxy: CaptureProxy, tmp_path: Path) -> None:
    raw = zlib.compressobj(wbits=-15)
    packed = {
        "deflate": raw.compress(json.dumps(whole(CHAT, CANARY)).encode()) + raw.flush(),
        "br": CANARY.encode() + b"\x00",
    }
    for encoding, sent in packed.items():

        async def answer(seen: Seen, reply: Reply, sent: bytes = sent, encoding: str = encoding) -> None:
            await reply.head(content_type="application/json", content_encoding=encoding, content_length=str(len(sent)))
            await reply.piece(sent)

        upstream.answer = answer
        body = json.dumps({"model": "m", "messages": [{"role": "user", "content": CANARY}]}).encode("utf-16")
        with WEB.stream("POST", proxy.root_url + CHAT, content=body, headers=auth(proxy)) as got:
            assert b"".join(got.iter_raw()) == sent
        assert upstream.seen[-1].body == body
    unread, read = proxy.calls
    assert (read.status, read.text, read.messages[0]["content"]) == ("ok", "[key]", "[key]")
    assert (unread.status, unread.response_body) == ("unread", b"")
    assert_clean({file.name: file.read_bytes().decode("latin-1") for file in proxy.folder.iterdir()}, [CANARY])


# -- beside the calls --------------------------------------------------------------------------------------------------


def test_an_option_that_holds_a_key_is_refused_without_repeating_it(
    upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    from shadownb.engine.capture import captures

    tries: list[Callable[[], Any]] = [
        lambda: capture(upstream.url, api_key_env=CANARY),
        lambda: capture(upstream.url, name=CANARY),
        lambda: capture(upstream.url, name=FOREIGN),
        lambda: capture(f"https://user:{CANARY}@example.org/v1"),
        lambda: capture(f"https://example.org/v1?key={CANARY}"),
        lambda: captures.start(upstream.url, api_key=CANARY),
        lambda: captures.start(upstream.url, name=FOREIGN),
    ]
    for attempt in tries:
        with pytest.raises(ConfigError) as refused:
            attempt()
        assert_clean({"error": str(refused.value) + repr(refused.value.to_dict())}, [CANARY, FOREIGN])


def test_an_address_that_has_the_key_in_its_path_is_shown_without_it(
    upstream: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with capture(f"{upstream.url}/{CANARY}/v1") as proxy:
        say(proxy, CHAT, "hi")
        assert upstream.seen[-1].path.startswith(f"/{CANARY}/v1/")
        assert proxy.files.facts["target"].endswith("/[key]/v1")
        assert "/[key]/v1/chat/completions" in caplog.text  # httpx logs where it asks
        shown = {
            "facts": str(proxy.files.facts),
            "html": proxy._repr_html_(),
            "target": repr(proxy.target),
            "log": caplog.text,
        }
        assert_clean(shown, [CANARY])
    with capture(f"http://127.0.0.1:1/{CANARY}/v1") as proxy:
        _, got = say(proxy, CHAT, "hi")
        assert "cannot be reached" in got.text
        assert_clean({"answer": got.text, "error": str(proxy.calls[0].error)}, [CANARY])


def test_the_form_of_the_panel_holds_no_key() -> None:
    from shadownb.panels import CapturePanel

    panel = CapturePanel(namespace={})
    for field, value in (("url", f"https://u:{CANARY}@example.org/v1"), ("api_key_env", CANARY), ("name", FOREIGN)):
        with pytest.raises(ConfigError) as refused:
            panel._do_set({field: value})
        assert CANARY not in str(refused.value)
    assert_clean({"traits": str(panel.form) + str(panel.code)}, [CANARY, FOREIGN])
    panel.close()


def test_what_went_wrong_in_the_writer_repeats_no_key(upstream: Upstream, proxy: CaptureProxy) -> None:
    with sqlite3.connect(proxy.store.files.database) as db:
        db.execute(f"CREATE TRIGGER odd BEFORE INSERT ON calls BEGIN SELECT RAISE(ABORT, 'no {CANARY}'); END")
    db.close()
    say(proxy, CHAT, "hi")
    assert proxy.counters["failed"] == 1
    assert proxy.counters["last_error"].endswith("no [key]")
