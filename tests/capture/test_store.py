"""The store: paging, sums, exports, retention, sampling, prices, other processes, and stores of other versions."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from shadownb.engine.capture import CaptureStore, PriceTable, capture, captures
from shadownb.engine.capture.folder import CaptureFolder
from shadownb.engine.capture.proxy import CaptureProxy
from shadownb.errors import BusyError, ConfigError, DataError, ExportError
from tests.capture.conftest import WEB
from tests.capture.test_pass_through import BODIES, PATHS, auth
from tests.capture.upstream import Upstream
from tests.waiting import wait_for

CHAT = PATHS[0]


def say(
    proxy: CaptureProxy, text: str, *, path: str = CHAT, headers: dict[str, str] | None = None, **fields: Any
) -> None:
    body = {**BODIES[path], "messages": [{"role": "user", "content": text}], **fields}
    assert WEB.post(proxy.root_url + path, json=body, headers={**auth(proxy), **(headers or {})}).status_code == 200


def many(number: int) -> CaptureStore:
    """Return a store with so many calls, put there by SQL."""
    from shadownb.engine.capture.exchange import pack
    from shadownb.engine.capture.schema import connect

    folder = CaptureFolder.create("many")
    connection = connect(folder.database, write=True)
    request = pack(json.dumps({"model": "m0", "messages": [{"role": "user", "content": "x"}]}).encode())
    connection.execute("BEGIN")
    connection.executemany(
        "INSERT INTO calls (id, session, dialect, model, route, stream, started_at, duration_s, prompt_tokens, completion_tokens, "
        "cost, status, title, stored_bytes) VALUES (?, ?, 'chat', ?, 'upstream', 0, ?, 0.5, 10, 2, ?, ?, ?, 100)",
        (
            (
                f"call_{n:07}",
                f"s{n // 5}",
                f"m{n % 3}",
                float(n),
                None if n % 3 == 2 else 0.5,
                "error" if n % 10 == 9 else "ok",
                f"title {n}",
            )
            for n in range(number)
        ),
    )
    connection.executemany(
        "INSERT INTO bodies VALUES (?, ?, ?, ?)",
        ((f"call_{n:07}", request, pack(b"{}"), pack(b"[]")) for n in range(number)),
    )
    connection.execute("COMMIT")
    connection.close()
    return CaptureStore(folder)


def test_100000_calls_stay_fluid() -> None:
    """Every view that a panel needs takes less than 0.3 s (measured here: 1 to 60 ms)."""
    from shadownb.engine.capture import Calls

    store = many(100_000)
    calls = Calls(store)
    views: dict[str, Any] = {
        "count": lambda: len(calls),
        "newest page": lambda: calls.page(0, 50),
        "page in the middle": lambda: calls.page(50_000, 50),
        "next page by key": lambda: store.calls(after=70_000, limit=50),
        "failed ones": lambda: calls.filter(status="error").page(0, 50),
        "one session": lambda: list(calls.filter(session="s7")),
        "search": lambda: calls.filter(search="title 4242").page(0, 50),
        "sums": store.summary,
        "sessions": store.sessions,
        "display": calls._repr_html_,
    }
    found, slow = {}, {}
    for name, view in views.items():
        best = 9.0
        for _ in range(3):
            begin = time.process_time()  # what others do on this machine does not count
            found[name] = view()
            best = min(best, time.process_time() - begin)
        if best > 0.3:
            slow[name] = best
    assert not slow
    assert found["count"] == 100_000
    assert [call.id for call in found["newest page"]] == [f"call_{n:07}" for n in range(99_999, 99_949, -1)]
    assert found["page in the middle"][0].id == "call_0049999"
    assert [call.seq for call in found["next page by key"]] == list(range(70_001, 70_051))
    assert [call.title for call in found["one session"]] == [f"title {n}" for n in range(39, 34, -1)]
    sums = found["sums"]
    assert (sums["calls"], sums["prompt_tokens"], sums["cost"], sums["unpriced"]) == (
        100_000,
        1_000_000,
        33_333.5,
        33_333,
    )
    assert sums["statuses"] == {"ok": 90_000, "error": 10_000}
    assert (sums["models"]["m2"]["cost"], sums["models"]["m0"]["calls"]) == (None, 33_334)


def test_calls_are_a_window() -> None:
    from shadownb.engine.capture import Calls

    calls = Calls(many(450))
    assert [call.seq for call in calls] == list(range(450, 0, -1))
    assert (calls[0].seq, calls[-1].seq, calls[449].seq) == (450, 1, 1)
    assert [call.seq for call in calls[10:14:2]] == [440, 438]
    with pytest.raises(IndexError):
        calls[450]
    with pytest.raises(ConfigError, match="status"):
        calls.filter(statuss="ok")
    assert len(calls.filter(model=["m0", "m1"], since=100.0, until=200.0)) == 67
    assert len(calls.to_frame()) == 450


def test_what_a_call_knows(proxy: CaptureProxy) -> None:
    tools = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]
    say(proxy, "look  it\nup", tools=tools, headers={"x-session-id": "s-1"})
    call = proxy.calls[0]
    assert (call.session, call.title, call.tools, call.model) == ("s-1", "look it up", tools, "gpt-4o")
    assert call.response_model == "gpt-4o-2024-08-06"
    assert call.usage == {"prompt_tokens": 7, "completion_tokens": 4, "total_tokens": 11}
    assert call.cost == pytest.approx((7 * 2.5 + 4 * 10) / 1e6)
    assert abs(call.started_at - time.time()) < 60
    assert call.first_byte_s is not None
    assert call.duration_s is not None
    assert 0 < call.first_byte_s <= call.duration_s < 30
    assert CaptureStore.open(proxy.id).find(call.id).messages == call.messages  # type: ignore[union-attr]
    assert CaptureStore.open(proxy.folder).calls()[0].to_dict() == call.to_dict()


def test_another_process_reads_while_it_records(proxy: CaptureProxy) -> None:
    code = """
import sys, time
from shadownb.engine.capture import CaptureStore
store = CaptureStore.open(sys.argv[1])
after = 0
while after < 2:
    for call in store.calls(after=after):
        print(call.text, flush=True)
        after = call.seq
    time.sleep(0.01)
"""
    reader = subprocess.Popen([sys.executable, "-c", code, proxy.id], stdout=subprocess.PIPE, text=True)
    assert reader.stdout is not None
    say(proxy, "one")
    assert reader.stdout.readline() == "echo: one\n"  # read while the proxy has the file open
    say(proxy, "two")
    assert reader.stdout.readline() == "echo: two\n"
    assert reader.wait(60) == 0


def test_sessions_parents_and_traces(upstream: Upstream, proxy: CaptureProxy) -> None:
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    say(proxy, "a", headers={"traceparent": trace})
    say(proxy, "b", headers={"traceparent": trace, "x-session-id": "mine"})
    say(proxy, "c", headers={"traceparent": "nonsense"})
    say(proxy, "d", path=PATHS[3], metadata={"user_id": "user_x_account__session_0123abcd-0123-0123-0123-0123456789ab"})
    WEB.post(
        proxy.root_url + PATHS[2],
        json={"model": "m", "input": "e", "conversation": {"id": "conv_1"}},
        headers=auth(proxy),
    )
    WEB.post(
        proxy.root_url + PATHS[2],
        json={"model": "m", "input": "f", "previous_response_id": "resp_1"},
        headers=auth(proxy),
    )
    calls = proxy.store.calls()
    assert [call.session for call in calls] == [
        "4bf92f3577b34da6a3ce929d0e0e4736", "mine", None, "0123abcd-0123-0123-0123-0123456789ab", "conv_1", "conv_1",
    ]  # fmt: skip
    assert calls[5].parent == calls[4].id
    contents = [message["content"] for message in calls[5].messages]
    assert contents == ["e", "echo: e", "f"]  # what the answer's id stands for


def test_exports(proxy: CaptureProxy, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    for n in range(3):
        say(proxy, f"say {n} 📦", headers={"x-session-id": f"s{n}"})
    rows = [
        json.loads(line) for line in proxy.store.export(tmp_path / "a.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    table = pq.read_table(proxy.store.export(tmp_path / "a.parquet")).to_pylist()
    dataset = proxy.store.to_dataset()
    assert [row["choices"][0]["message"]["content"] for row in rows] == [f"echo: say {n} 📦" for n in range(3)]
    for row, flat, item in zip(rows, table, dataset, strict=True):
        assert (row["id"], row["session"], row["cost"]) == (flat["id"], flat["session"], flat["cost"])
        assert json.loads(flat["messages"]) == row["messages"] == json.loads(item["messages"])
    assert len(proxy.store.export(tmp_path / "b.jsonl", session="s1").read_text().splitlines()) == 1
    with pytest.raises(ExportError, match="jsonl"):
        proxy.store.export(tmp_path / "c.jsonk")
    assert sorted(file.name for file in tmp_path.iterdir() if file.is_file()) == ["a.jsonl", "a.parquet", "b.jsonl"]


def test_delete_takes_the_text_out_of_the_files(proxy: CaptureProxy) -> None:
    say(proxy, "keep me")
    say(proxy, "zanzibar secret")
    gone = proxy.calls[0]
    assert proxy.store.delete() == 0
    assert proxy.store.delete(gone.id) == 1
    assert [call.text for call in proxy.calls] == ["echo: keep me"]
    assert gone.id not in [call.id for call in proxy.store.calls()]
    contents = b"".join(file.read_bytes() for file in proxy.folder.iterdir() if file.is_file())
    assert b"zanzibar" not in contents  # the title is not compressed
    assert b"keep me" in contents
    assert proxy.store.clear() == 1


def test_retention() -> None:
    store = many(100)
    now = time.time()
    assert store.retain(max_calls=60) == 40
    assert store.retain(max_bytes=2_500) == 35
    assert [call.seq for call in store.calls()] == list(range(76, 101))
    with sqlite3.connect(store.files.database) as connection:
        connection.execute("UPDATE calls SET started_at = ? WHERE seq > 90", [now])
    assert store.retain(max_age_s=3600) == 15
    assert store.count() == 10


def test_a_running_capture_keeps_to_its_limits(upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    from shadownb.engine.capture import proxy as module

    monkeypatch.setattr(module, "_HOUSEKEEPING_SECONDS", 0.02)
    with capture(upstream.url, keep_calls=2) as proxy:
        for n in range(5):
            say(proxy, str(n))
        wait_for(lambda: len(proxy.calls) == 2)
        assert [call.text for call in proxy.calls] == ["echo: 4", "echo: 3"]


def test_sampling_keeps_conversations_whole(upstream: Upstream) -> None:
    with capture(upstream.url, sample=0.3) as proxy:
        for n in range(60):
            for turn in range(2):
                say(proxy, f"turn {turn}", headers={"x-session-id": f"s{n}"})
        by_session = {row["session"]: row["calls"] for row in proxy.store.sessions()}
        assert set(by_session.values()) == {2}
        assert 5 <= len(by_session) <= 35
        assert proxy.counters["left_out"] == 120 - 2 * len(by_session)
        assert len(upstream.seen) == 120
    with capture(upstream.url, sample=0) as proxy:
        say(proxy, "x")
        assert len(proxy.calls) == 0


def test_prices(tmp_path: Path) -> None:
    table = PriceTable.load()
    usage = {"prompt_tokens": 1_000_000, "completion_tokens": 100_000, "cached_tokens": 400_000}
    assert table.cost("gpt-4o-2024-08-06", usage) == pytest.approx(0.6 * 2.5 + 0.4 * 1.25 + 0.1 * 10)
    assert table.cost("claude-sonnet-4-5-20250929", {**usage, "cache_write_tokens": 100_000}) == pytest.approx(
        0.5 * 3 + 0.4 * 0.3 + 0.1 * 3.75 + 0.1 * 15
    )
    assert table.cost("openai/gpt-4o", usage) == table.cost("gpt-4o", usage)
    for model, tokens in (
        ("nobody-knows", usage),
        ("gpt-4o", None),
        ("gpt-4o", {}),
        (None, usage),
        ("gpt-4o-audio", usage),
    ):
        assert table.cost(model, tokens) is None  # unknown is never 0
    assert all(entry["as_of"] for entry in table.models.values())
    own = Path(os.environ["SHADOWNB_HOME"]) / "prices.yaml"
    own.parent.mkdir(parents=True, exist_ok=True)
    own.write_text("models: {mine: {input: 1, output: 2}, gpt-4o: {input: 0, output: 0}}")
    changed = PriceTable.load({"theirs": {"input": 3, "output": 3}})
    assert changed.cost("mine", usage) == pytest.approx(1.2)
    assert changed.cost("theirs", usage) == pytest.approx(3.3)
    assert changed.cost("gpt-4o", usage) == 0.0  # a price of nothing is a price


def test_cost_can_be_computed_again(proxy: CaptureProxy) -> None:
    say(proxy, "one", model="my-model")
    WEB.post(proxy.root_url + PATHS[1], json={"model": "my-model", "prompt": "x"}, headers=auth(proxy))
    assert proxy.store.reprice({"gpt-4o": {"input": 1e6, "output": 0}}) == 2
    assert [call.cost for call in proxy.calls] == [7.0, 7.0]
    assert proxy.calls.summary()["cost"] == 14.0


def test_stores_of_other_versions(proxy: CaptureProxy) -> None:
    say(proxy, "hello")
    proxy.stop()
    with sqlite3.connect(proxy.store.files.database) as connection:
        connection.execute("ALTER TABLE calls ADD COLUMN mood TEXT DEFAULT 'sunny'")
    call = CaptureStore.open(proxy.id).calls()[0]
    assert (call.extra["mood"], call.text) == ("sunny", "echo: hello")  # a newer column is no obstacle
    with sqlite3.connect(proxy.store.files.database) as connection:
        connection.execute("PRAGMA user_version=99")
    with pytest.raises(DataError, match="newer version"):
        CaptureStore.open(proxy.id)
    with pytest.raises(DataError, match=proxy.id):
        CaptureStore.open(proxy.id[:-1])


def test_one_recorder_a_folder_and_going_on_with_one(upstream: Upstream) -> None:
    with capture(upstream.url, name="agent") as first:
        say(first, "one")
        with pytest.raises(BusyError, match="agent"):
            capture(upstream.url, name="agent").start()
        with pytest.raises(BusyError):
            captures.delete("agent")
    with capture(upstream.url, name="agent") as second:
        say(second, "two")
        assert [call.text for call in second.calls] == ["echo: two", "echo: one"]
        assert [row["id"] for row in captures.list() if row["recording"]] == ["agent"]
    assert stat.S_IMODE(second.folder.stat().st_mode) == 0o700
    assert captures.latest().id == "agent"
    captures.delete("agent")
    assert captures.list() == []


def test_a_full_disk_costs_the_record_and_not_the_answer(upstream: Upstream, proxy: CaptureProxy) -> None:
    say(proxy, "before")
    with sqlite3.connect(proxy.store.files.database) as connection:
        connection.execute("CREATE TRIGGER full BEFORE INSERT ON calls BEGIN SELECT RAISE(ABORT, 'disk full'); END")
    say(proxy, "meanwhile")
    with sqlite3.connect(proxy.store.files.database) as connection:
        connection.execute("DROP TRIGGER full")
    say(proxy, "after")
    assert [call.text for call in proxy.calls] == ["echo: after", "echo: before"]
    assert proxy.counters["failed"] == 1
    assert "disk full" in proxy.counters["last_error"]
    assert "1 calls: IntegrityError: disk full" in proxy._repr_html_()  # and whoever looks at the proxy sees it
