"""Scrubbing: what an earlier version stored is taken out, wherever it stands; whoever is interrupted runs it again."""

from __future__ import annotations

import json
import sqlite3
import zlib
from typing import Any

import pytest

from shadownb.engine.capture import CaptureStore, scrubbing
from shadownb.engine.capture.folder import CaptureFolder
from shadownb.engine.capture.schema import FILE, connect
from shadownb.errors import BusyError, ConfigError
from tests.capture.conftest import CANARY
from tests.capture.test_pass_through import PATHS
from tests.capture.test_secrets import FOREIGN, assert_clean
from tests.capture.upstream import sse

TOKEN = "snb-earlier-token-0123456789abcdef0"
KEYS = [CANARY, FOREIGN, TOKEN]
CALLS = 130  # more than two transactions


def earlier(name: str = "earlier") -> CaptureStore:
    """Return a store as the version before wrote it: keys in columns, headers, bodies and small files."""
    folder = CaptureFolder.create(name)
    db = connect(folder.database, write=True)
    for number in range(CALLS):
        key = KEYS[number % 3] if number % 2 else "nothing"
        request = json.dumps({"model": "m", "messages": [{"role": "user", "content": f"why does {key} fail"}]}).encode()
        pieces = [
            piece
            for piece in sse(
                PATHS[0], f"It is {key}", cut=lambda text: [text[at : at + 5] for at in range(0, len(text), 5)]
            )
        ]
        values: dict[str, Any] = {
            "id": f"call_{number:03}", "session": f"of {key}", "dialect": "chat", "model": f"m {key}", "route": "upstream",
            "stream": 1, "started_at": 1.0 + number, "status": "ok", "finish_reason": "stop",
            "title": f"why does {key} fail", "response_id": key,
            "headers": json.dumps({"user-agent": f"agent {key}"}), "error": json.dumps({"message": key}), "extra": '{"sse": true}',
            "usage": '{"prompt_tokens": 3}',
        }  # fmt: skip
        db.execute(
            f"INSERT INTO calls ({', '.join(values)}) VALUES ({', '.join('?' * len(values))})", list(values.values())
        )
        times = json.dumps([[at, len(piece)] for at, piece in enumerate(pieces)]).encode()
        bodies = (request, b"".join(pieces), times)
        db.execute(
            "INSERT INTO bodies VALUES (?, ?, ?, ?)", (values["id"], *(zlib.compress(body, 1) for body in bodies))
        )
    db.close()
    folder.write_facts({"target": f"https://example.org/{CANARY}/v1", "redact": [], "key_from": "OPENAI_API_KEY"})
    folder.log.write_text(f"Traceback: {CANARY}\n")
    folder.token.write_text(TOKEN)  # its process was killed
    return CaptureStore(folder)


def everything(store: CaptureStore) -> dict[str, str]:
    found = {file.name: file.read_bytes().decode("latin-1") for file in store.path.iterdir()}
    for call in store.calls():
        said = [call.request_body, call.response_body, json.dumps(call.to_dict()).encode(), repr(call.session).encode()]
        found["calls"] = found.get("calls", "") + b"".join(said).decode("latin-1")
    return found


def test_nothing_of_a_key_is_left_and_the_rest_is_as_it_was() -> None:
    store = earlier()
    odd = CALLS // 2
    found = store.scrub()
    assert_clean(everything(store), KEYS)
    assert (found.calls, found.changed, store.count()) == (CALLS, odd, CALLS)
    assert found.places["title"] == found.places["request"] == found.places["response"] == odd
    assert found.places["capture.json"] == found.places["process.log"] == found.places["token"] == 1
    assert f"{odd} of {CALLS} calls of earlier were changed" in repr(found)
    first, second = store.find("call_000"), store.find("call_001")
    assert first is not None
    assert second is not None
    assert (first.text, first.redacted, len(first.frames) > 3) == ("It is nothing", False, True)
    assert (second.text, second.title, second.redacted) == ("It is [key]", "why does [key] fail", True)
    assert second.usage == {"prompt_tokens": 3}
    assert len(store.sessions()) == 4  # three keys were three sessions
    again = store.scrub()
    assert (again.changed, dict(again.places)) == (0, {})


def test_rules_and_other_keys_are_taken_out_where_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    store = earlier()
    store.scrub(["email", lambda text: text.replace("nothing", "[word]")], secrets=["of no shape at all 123"])
    call = store.find("call_000")
    assert call is not None
    assert (call.title, call.text) == ("why does [word] fail", "It is [word]")
    with pytest.raises(ConfigError, match="api_key_env="):
        store.scrub(api_key_env="NO_SUCH_VARIABLE")
    with pytest.raises(ConfigError, match="is not a rule"):
        store.scrub("emial")
    assert not store.files.is_owned


@pytest.mark.parametrize("at", ["_calls", "_files", "_rebuild", "batch"])
def test_interrupted_in_the_middle_it_is_run_again(monkeypatch: pytest.MonkeyPatch, at: str) -> None:
    store = earlier()
    with monkeypatch.context() as broken:
        if at == "batch":
            real, seen = scrubbing._bodies, []

            def stop(row: sqlite3.Row, *rest: Any) -> Any:
                seen.append(row["id"])
                if len(seen) == 70:
                    raise KeyboardInterrupt
                return real(row, *rest)

            broken.setattr(scrubbing, "_bodies", stop)
        else:
            broken.setattr(scrubbing, at, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            store.scrub()
    assert not store.files.is_owned
    assert store.count() == CALLS
    store.scrub(secrets=[TOKEN])
    assert_clean(everything(store), KEYS)
    assert store.count() == CALLS
    assert {call.text for call in store.calls()} == {"It is nothing", "It is [key]"}
    assert len(store.sessions()) == 4


def test_who_records_or_reads_is_not_disturbed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scrubbing, "_WAITED_MS", 20)
    store = earlier()
    store.files.own()
    with pytest.raises(BusyError, match="recorded already"):
        CaptureStore(CaptureFolder(store.path)).scrub()
    store.files.disown()
    reader = sqlite3.connect(store.path / FILE, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM calls").fetchone()
    with pytest.raises(BusyError, match="another process reads"):  # its pages are in the log until it lets them go
        store.scrub()
    reader.execute("COMMIT")
    reader.close()
    store.scrub(secrets=[TOKEN])
    assert_clean(everything(store), KEYS)


def test_a_damaged_call_is_named_and_left() -> None:
    store = earlier()
    with sqlite3.connect(store.path / FILE) as db:
        db.execute("UPDATE bodies SET response = x'00' WHERE id = 'call_001'")
    db.close()
    found = store.scrub()
    assert found.unreadable == ["call_001"]
    assert "1 are damaged" in repr(found)


def test_as_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    from shadownb.cli import main

    earlier()
    assert main(["capture", "scrub", "earlier"]) == 0
    assert f"of {CALLS} calls of earlier were changed" in capsys.readouterr().out
    assert main(["capture", "scrub"]) != 0
    assert "name the capture to scrub" in capsys.readouterr().err
