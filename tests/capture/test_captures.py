"""Captures as folders: which is the latest, who records, what a start that fails leaves behind; and prices of their own."""

from __future__ import annotations

import inspect
import socket
import sqlite3
import threading
from typing import Any

import pytest

import shadownb as snb
from shadownb.engine.capture import CaptureStore, capture, captures
from shadownb.engine.capture.folder import CaptureFolder
from shadownb.engine.capture.proxy import running_here
from shadownb.errors import BusyError, ConfigError, DataError
from tests.capture.conftest import CANARY
from tests.capture.test_store import say
from tests.capture.upstream import Upstream
from tests.waiting import wait_for


def test_reading_an_old_capture_does_not_make_it_the_latest(upstream: Upstream) -> None:
    for name in ("first", "second"):
        with capture(upstream.url, name=name) as proxy:
            say(proxy, name)
    for _ in range(3):
        store = CaptureStore.open("first")  # opening and closing makes and removes files beside it
        assert [call.title for call in store.calls()] == ["first"]
        store.close()
        assert [row["id"] for row in captures.list()] == ["second", "first"]
        assert captures.latest().id == "second"
    with capture(upstream.url, name="first"):
        assert captures.latest().id == "first"


def test_looking_who_records_keeps_nobody_from_recording(upstream: Upstream) -> None:
    folder = CaptureFolder.create("watched")
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.001):
            _ = folder.is_owned

    watchers = [threading.Thread(target=look, daemon=True) for _ in range(2)]
    for watcher in watchers:
        watcher.start()
    try:
        for _ in range(20):
            capture(upstream.url, name="watched").start().stop(wait_s=0)
    finally:
        over.set()
        for watcher in watchers:
            watcher.join(60)


def test_a_start_that_fails_leaves_nothing_behind(upstream: Upstream) -> None:
    with capture(upstream.url, name="old") as proxy:
        say(proxy, "hi")
    with sqlite3.connect(proxy.store.files.database) as connection:
        connection.execute("PRAGMA user_version=99")
    late = capture(upstream.url, name="old")
    with pytest.raises(DataError, match="newer version"):
        late.start()
    assert (late.is_running, late.files.is_owned, "old" in running_here) == (False, False, False)
    with sqlite3.connect(proxy.store.files.database) as connection:
        connection.execute("PRAGMA user_version=1")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        busy = capture(upstream.url, name="old", port=port)
        with pytest.raises(BusyError, match=f"port={port}"):
            busy.start()
        assert (busy.is_running, busy.files.is_owned) == (False, False)
    with busy:  # now that the port is free
        say(busy, "again")
        assert busy.root_url.endswith(f":{port}")
    assert [call.title for call in busy.calls] == ["again", "hi"]
    assert busy.counters["recorded"] == 1  # what was counted is still there
    busy.stop()  # a second time is no harm


def test_stopping_another_of_the_same_name_stops_nothing(upstream: Upstream) -> None:
    with capture(upstream.url, name="agent") as proxy:
        capture(upstream.url, name="agent").stop()
        assert captures.find("agent") is proxy
        assert proxy.files.is_owned
        say(proxy, "hi")
    assert len(proxy.calls) == 1


def test_the_options_stand_in_one_place() -> None:
    options = inspect.signature(snb.capture).parameters
    assert {"target", "model", "port", "token", "redact", "sample", "keep_bytes", "timeout"} <= set(options)
    assert all(name in (snb.capture.__doc__ or "") for name in options)
    with pytest.raises(ConfigError, match="keep_days"):
        captures.start("http://127.0.0.1:9", keep_day=3)
    assert captures.running() == []


def test_a_name_alone_may_be_allowed(upstream: Upstream) -> None:
    with capture(upstream.url, allow_hosts="host.docker.internal") as proxy:
        say(proxy, "hi", headers={"host": "host.docker.internal"})
        assert len(proxy.calls) == 1


def test_the_token_of_a_capture_is_no_key(upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the environment points at a capture, the next one would send that capture's token to the provider as a key."""
    with capture(upstream.url) as proxy:
        for name, value in proxy.environment().items():
            monkeypatch.setenv(name, value)
        with pytest.raises(ConfigError, match="OPENAI_API_KEY holds the token") as caught:
            capture("https://api.openai.com/v1")
        assert proxy.token not in str(caught.value)
        with capture(proxy.base_url) as chained:  # on this machine it may be one capture behind another
            say(chained, "hi")
        assert upstream.seen[-1].headers["authorization"] == f"Bearer {CANARY}"
    monkeypatch.setenv("MY_KEY", f"  {CANARY}\n")
    target: Any = capture("https://api.openai.com/v1", api_key_env="MY_KEY").target
    assert target.authorisation("/chat/completions") == [("authorization", f"Bearer {CANARY}")]


def test_anthropics_api_gets_its_key_in_its_own_header_everywhere() -> None:
    target: Any = capture("https://api.anthropic.com").target
    for path in ("/messages", "/models", "/models/claude-opus-5", "/messages/count_tokens"):
        assert target.authorisation(path) == [("x-api-key", CANARY)]
    assert target.authorisation("/chat/completions") == [("authorization", f"Bearer {CANARY}")]


def test_a_database_that_a_reader_holds_stops_nothing(upstream: Upstream) -> None:
    with capture(upstream.url, keep_calls=1) as proxy:
        say(proxy, "one")
        reader = sqlite3.connect(proxy.store.files.database, isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM calls").fetchone()
        say(proxy, "two")
        wait_for(lambda: len(proxy.calls) == 1)
    reader.close()
    assert [call.title for call in proxy.calls] == ["two"]
