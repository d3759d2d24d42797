"""What every store of recorded calls owes, run by ours (SQLite) and by one in memory, and what reads from either."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from shadownb.engine.capture import Call, Calls, CaptureStore, captures
from shadownb.engine.capture.exchange import pack
from shadownb.engine.capture.exports import export
from shadownb.engine.capture.filters import FILTERS
from shadownb.engine.capture.folder import CaptureFolder
from shadownb.engine.capture.history import History
from shadownb.engine.capture.schema import connect
from shadownb.engine.ports import capture_store
from shadownb.engine.trajectories import trajectories_of
from shadownb.errors import ConfigError, DataError

NUMBER = 12
Row = dict[str, Any]


def rows() -> list[tuple[Row, bytes, bytes]]:
    """Return (columns, request, answer) of calls: two a session, every fourth without a price, the last an error."""
    found = []
    for number in range(NUMBER):
        usage = {"prompt_tokens": 10, "completion_tokens": 2}
        answer = {"role": "assistant", "content": f"answer {number}"}
        row = {
            "id": f"call_{number:03}", "response_id": f"response_{number // 2}", "session": f"s{number // 2}",
            "dialect": "chat", "model": f"m{number % 2}", "response_model": f"m{number % 2}", "route": "upstream", "stream": 0,
            "started_at": 1000.0 + number, "duration_s": 0.5, **usage, "usage": json.dumps(usage),
            "cost": None if number % 4 == 3 else 0.5, "status": "error" if number == NUMBER - 1 else "ok",
            "http_status": 200, "finish_reason": "stop", "title": f"question {number}", "stored_bytes": 100,
        }  # fmt: skip
        request = {"model": "m", "messages": [{"role": "user", "content": f"question {number}"}]}
        response = {"choices": [{"index": 0, "message": answer, "finish_reason": "stop"}]}
        found.append((row, json.dumps(request).encode(), json.dumps(response).encode()))
    return found


class MemoryStore:
    """Calls in a list, filtered in Python."""

    def __init__(self, path: Path) -> None:
        self.id, self.path, self.history = path.name, path, History(self)
        self._calls: list[Call] = []
        self._bodies: dict[str, tuple[bytes, bytes, list[list[float]]]] = {}
        for seq, (row, request, response) in enumerate(rows(), start=1):
            self._calls.append(Call.from_row({"headers": None, "redacted": 0, **row, "seq": seq}, self))  # type: ignore[arg-type]
            self._bodies[row["id"]] = (request, response, [[1.0, len(response)]])

    def calls(self, *, limit: int | None = None, offset: int = 0, newest_first: bool = False, **filters: Any) -> Any:
        found = [call for call in self._calls if self._fits(call, filters)]
        found = found[::-1] if newest_first else found
        return found[offset:][: len(found) if limit is None else limit]

    def _fits(self, call: Call, filters: dict[str, Any]) -> bool:
        compared: dict[str, Callable[[Any], bool]] = {
            "after": lambda value: value is None or call.seq > value,
            "before": lambda value: value is None or call.seq < value,
            "since": lambda value: call.started_at >= value,
            "until": lambda value: call.started_at < value,
            "min_cost": lambda value: call.cost is not None and call.cost >= value,
            "search": lambda value: value in call.title or value in str(call.session),
        }
        for name, value in filters.items():
            if name not in FILTERS:
                raise ConfigError(f"Calls cannot be filtered by {name}={value!r}.")
            if name in compared:
                fits = compared[name](value)
            else:
                values = [value] if isinstance(value, str) or not isinstance(value, Iterable) else list(value)
                fits = getattr(call, name) in values
            if not fits:
                return False
        return True

    def iterate(self, *, after: int = 0, **filters: Any) -> Iterator[Call]:
        yield from self.calls(after=after, **filters)

    def find(self, call_id: str) -> Call | None:
        return next((call for call in self._calls if call.id == call_id), None)

    def find_response(self, response_id: str) -> Call | None:
        return next((call for call in reversed(self._calls) if call.response_id == response_id), None)

    def count(self, **filters: Any) -> int:
        return len(self.calls(**filters))

    def sessions(self, *, limit: int = 100) -> list[dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        for call in self._calls:
            one = found.setdefault(str(call.session), {"session": call.session, "calls": 0, "first_seq": call.seq})
            one |= {"calls": one["calls"] + 1, "last_seq": call.seq}
        return sorted(found.values(), key=lambda one: one["last_seq"], reverse=True)[:limit]

    def summary(self, **filters: Any) -> dict[str, Any]:
        found = self.calls(**filters)
        costs = [call.cost for call in found if call.cost is not None]
        statuses: dict[str, int] = {}
        for call in found:
            statuses[call.status] = statuses.get(call.status, 0) + 1
        return {
            "calls": len(found),
            "statuses": statuses,
            "prompt_tokens": 10 * len(found),
            "completion_tokens": 2 * len(found),
            "cost": sum(costs) if costs else None,
            "unpriced": len(found) - len(costs),
            "stored_bytes": 100 * len(found),
            "models": {str(call.model): {} for call in found},
        }

    def body(self, call_id: str) -> tuple[bytes, bytes, list[list[float]]]:
        return self._bodies.get(call_id, (b"", b"", []))

    def delete(self, *ids: str, **filters: Any) -> int:
        if not ids and not filters:
            return 0
        gone = {call.id for call in self.calls(**filters, **({"id": ids} if ids else {}))}
        self._calls = [call for call in self._calls if call.id not in gone]
        self._bodies = {name: body for name, body in self._bodies.items() if name not in gone}
        self.history.forget()
        return len(gone)

    def clear(self) -> int:
        return self.delete(before=10**9)

    def retain(
        self, *, max_age_s: float | None = None, max_calls: int | None = None, max_bytes: int | None = None
    ) -> int:
        kept = len(self._calls)
        kept = kept if max_calls is None else min(kept, max_calls)
        kept = kept if max_bytes is None else min(kept, max_bytes // 100)
        return self.delete(*[call.id for call in self._calls[: len(self._calls) - kept]])

    def close(self) -> None:
        """There is nothing to let go of."""


def sqlite_store(path: Path) -> CaptureStore:
    """Return the store of a file that holds the calls."""
    path.mkdir(parents=True)
    connection = connect(path / "calls.sqlite", write=True)
    for row, request, response in rows():
        names = ", ".join(row)
        connection.execute(f"INSERT INTO calls ({names}) VALUES ({', '.join('?' * len(row))})", list(row.values()))
        frames = json.dumps([[1.0, len(response)]]).encode()
        bodies = (row["id"], pack(request), pack(response), pack(frames))
        connection.execute("INSERT INTO bodies VALUES (?, ?, ?, ?)", bodies)
    connection.commit()
    connection.close()
    return CaptureStore(CaptureFolder(path))


STORES: dict[str, Callable[[Path], capture_store.CaptureStore[Call]]] = {"sqlite": sqlite_store, "memory": MemoryStore}


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> capture_store.CaptureStore[Call]:
    """A store of each kind with the same calls."""
    return STORES[request.param](tmp_path / "captures" / "recorded")


def ids(calls: Iterable[Call]) -> list[int]:
    return [int(call.id[-3:]) for call in calls]


def test_it_pages_and_filters(store: capture_store.CaptureStore[Call]) -> None:
    everything = list(range(NUMBER))
    assert (store.id, store.path.name, store.count()) == ("recorded", "recorded", NUMBER)
    assert ids(store.calls()) == ids(store.iterate()) == everything
    assert ids(store.calls(newest_first=True, limit=3, offset=1)) == everything[::-1][1:4]
    third = store.calls(limit=3)[-1]
    assert ids(store.calls(after=third.seq, limit=2)) == [3, 4]
    assert ids(store.calls(before=third.seq, newest_first=True)) == [1, 0]
    assert ids(store.iterate(after=third.seq, model="m0")) == [4, 6, 8, 10]
    assert ids(store.calls(session=["s1", "s3"])) == [2, 3, 6, 7]
    assert ids(store.calls(status="error")) == ids(store.calls(search="question 11")) == [11]
    assert ids(store.calls(since=1003.0, until=1005.0)) == [3, 4]
    assert store.count(min_cost=0.1) == 9
    for ask in (store.calls, store.count, store.summary, store.delete):
        with pytest.raises(ConfigError, match="colour='red'"):
            ask(colour="red")


def test_calls_are_found_with_their_bytes(store: capture_store.CaptureStore[Call]) -> None:
    call = store.find("call_003")
    assert call is not None and (call.id, call.session, call.cost) == ("call_003", "s1", None)
    assert call.messages == [{"role": "user", "content": "question 3"}]
    assert call.response_message is not None and call.response_message["content"] == "answer 3"
    request, response, frames = store.body("call_003")
    assert (request, response) == (call.request_body, call.response_body) and frames == [[1.0, len(response)]]
    newest = store.find_response("response_1")
    assert newest is not None and newest.id == "call_003"
    assert store.find("nothing") is None and store.find_response("nothing") is None
    assert store.body("nothing") == (b"", b"", [])
    assert [turn["content"] for turn in store.history.up_to("call_003")] == ["question 3", "answer 3"]
    assert store.history.up_to("nothing") == store.history.up_to(None) == []


def test_sums_and_sessions(store: capture_store.CaptureStore[Call]) -> None:
    found = store.summary()
    assert {name: found[name] for name in ("calls", "cost", "unpriced", "prompt_tokens", "stored_bytes")} == {
        "calls": NUMBER, "cost": 4.5, "unpriced": 3, "prompt_tokens": 120, "stored_bytes": 1200,
    }  # fmt: skip
    assert found["statuses"] == {"ok": NUMBER - 1, "error": 1} and set(found["models"]) == {"m0", "m1"}
    assert store.summary(id="call_003")["cost"] is None, "unknown is not nothing"
    assert store.sessions(limit=1) == [{"session": "s5", "calls": 2, "first_seq": 11, "last_seq": 12}]
    assert len(store.sessions()) == 6


def test_deleting_keeps_positions_and_forgets_conversations(store: capture_store.CaptureStore[Call]) -> None:
    assert store.delete() == 0 and store.count() == NUMBER, "nothing was said to delete"
    assert store.history.up_to("call_002") != []
    assert store.delete("call_002", "nothing") == 1 and store.delete(session="s0") == 2
    assert store.find("call_002") is None and store.history.up_to("call_002") == []
    assert store.body("call_002") == (b"", b"", [])
    assert [call.seq for call in store.calls(limit=2)] == [4, 5]
    assert store.retain(max_calls=5) == 4 and ids(store.calls()) == [7, 8, 9, 10, 11]
    assert store.retain(max_bytes=250) == 3 and store.retain(max_calls=5, max_bytes=10**6) == 0
    store.close()
    assert ids(store.calls()) == [10, 11]
    assert store.clear() == 2 and store.count() == 0 and store.summary()["cost"] is None


def test_what_reads_calls_takes_any_store(store: capture_store.CaptureStore[Call], tmp_path: Path) -> None:
    window = Calls(store).filter(status="ok")
    assert len(window) == NUMBER - 1 and window[0].id == "call_010" and ids(window)[:2] == [10, 9]
    assert len(trajectories_of(store, status="ok")) == NUMBER - 1
    lines = export(store, tmp_path / "calls.jsonl", session="s1").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["call_002", "call_003"]


def test_two_homes_of_captures_stand_side_by_side(home: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    sqlite_store(home / "captures" / "here")
    sqlite_store(other / "captures" / "there")
    assert [row["id"] for row in captures.list()] == ["here"]
    assert [row["id"] for row in captures.list(home=other)] == ["there"]
    assert captures.latest(home=other).id == "there" and captures.open("there", home=other).count() == NUMBER
    with pytest.raises(DataError, match="not a capture"):
        captures.open("there")
    captures.delete("there", home=other)
    assert captures.list(home=other) == [] and len(captures.list()) == 1


def test_a_recording_goes_to_the_home_it_is_given(home: Path, tmp_path: Path) -> None:
    from shadownb.engine.capture import capture

    with capture("http://127.0.0.1:9/v1", name="mine", home=tmp_path / "other") as proxy:
        assert proxy.files.path == tmp_path / "other" / "captures" / "mine"
        assert captures.list(home=tmp_path / "other")[0]["recording"]
    process = captures.start("http://127.0.0.1:9/v1", name="beside", home=tmp_path / "other")
    try:
        assert [found.id for found in captures.running(home=tmp_path / "other")] == ["beside"]
        assert captures.attach("beside", home=tmp_path / "other").root_url == process.root_url
    finally:
        process.stop()
    assert not (home / "captures").exists()
