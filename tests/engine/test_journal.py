"""The journal and the command file: one writer, any number of readers, and nothing that a kill or a full disk can spoil."""

from __future__ import annotations

import itertools
import json
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shadownb.engine.runs import commands
from shadownb.engine.runs.commands import CommandReader
from shadownb.engine.runs.journal import Journal, JournalReader, last_seq


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.jsonl"


def written(path: Path, *events: tuple[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Write events with a journal of their own, and return everything a reader finds."""
    journal = Journal(path)
    for kind, fields in events:
        journal.append(kind, **fields)
    journal.close()
    return list(JournalReader(path))


def test_events_come_back_in_order_with_rising_numbers(path: Path) -> None:
    found = written(path, *[("step", {"step": n, "note": "größe\n\u2028"}) for n in range(50)])
    assert [event["seq"] for event in found] == list(range(1, 51))
    assert [event["step"] for event in found] == list(range(50))
    assert {event["note"] for event in found} == {"größe\n\u2028"}
    assert all(a["time"] <= b["time"] for a, b in itertools.pairwise(found))
    assert path.read_bytes().count(b"\n") == 50


def test_a_second_journal_goes_on_counting(path: Path) -> None:
    written(path, ("step", {}), ("step", {}))
    assert [event["seq"] for event in written(path, ("step", {}))] == [1, 2, 3]
    assert last_seq(path) == 3


def test_what_json_does_not_have_becomes_null_or_text(path: Path) -> None:
    nan, inf = float("nan"), float("inf")
    values = {
        "loss": nan,
        "deep": {"list": [1.5, -inf, {"x": inf}]},
        "half": np.float32("nan"),
        "count": np.int64(7),
        "where": Path("/x"),
        "torn text": "\udcff",
        7: (1, 2),
    }
    (event,) = written(path, ("step", {"values": values}))
    assert event["values"] == {
        "loss": None,
        "deep": {"list": [1.5, None, {"x": None}]},
        "half": None,
        "count": 7,
        "where": "/x",
        "torn text": "?",
        "7": [1, 2],
    }
    json.loads(path.read_text(encoding="utf-8"), parse_constant=lambda name: pytest.fail(f"{name} in the file"))


def test_a_torn_last_line_is_skipped_and_closed(path: Path) -> None:
    written(path, ("step", {"step": 1}), ("step", {"step": 2}))
    whole = path.read_bytes()
    for cut in range(whole.index(b"\n") + 2, len(whole)):
        path.write_bytes(whole[:cut])
        reader = JournalReader(path)
        assert [event["seq"] for event in reader.read()] == [1], "a line without its end is not read yet"
        # The second line is whole but for its end: then it counts, and nothing of it is lost.
        is_whole = cut == len(whole) - 1
        expected = [(1, "step"), (2, "step"), (3, "attempt")] if is_whole else [(1, "step"), (2, "attempt")]
        assert [(e["seq"], e["type"]) for e in written(path, ("attempt", {}))] == expected
        assert [(e["seq"], e["type"]) for e in reader.read()] == expected[1:], "the reader that was following"


def test_torn_first_line_only(path: Path) -> None:
    path.write_bytes(b'{"seq":1,"ty')
    assert [event["seq"] for event in written(path, ("step", {}))] == [1]


def test_a_very_long_torn_end_does_not_hide_the_number(path: Path) -> None:
    written(path, ("step", {}), ("step", {}))
    with open(path, "ab") as file:
        file.write(b'{"seq": 3, "type": "sample", "text": "' + b"x" * 200_000)
    assert last_seq(path) == 2
    assert [event["seq"] for event in written(path, ("step", {}))] == [1, 2, 3]


def test_eight_threads_append_at_once(path: Path) -> None:
    journal = Journal(path)
    start = threading.Barrier(8)
    mine: list[list[int]] = [[] for _ in range(8)]

    def add(worker: int) -> None:
        start.wait()
        for number in range(500):
            mine[worker].append(journal.append("step", worker=worker, number=number))

    threads = [threading.Thread(target=add, args=(worker,)) for worker in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    journal.close()
    found = list(JournalReader(path))
    assert [event["seq"] for event in found] == list(range(1, 4001))
    for worker in range(8):
        own = [event for event in found if event["worker"] == worker]
        assert [event["number"] for event in own] == list(range(500))
        assert [event["seq"] for event in own] == mine[worker]


def test_a_reader_follows_while_it_is_written(path: Path) -> None:
    journal = Journal(path)
    done = threading.Event()

    def write() -> None:
        for number in range(5000):
            journal.append("step", step=number, text="x" * (number % 300))
        journal.close()
        done.set()

    thread = threading.Thread(target=write)
    thread.start()
    reader, found = JournalReader(path), []
    while not done.is_set():
        found += reader.read(limit=4096)
    thread.join()
    found += list(reader)
    assert [event["step"] for event in found] == list(range(5000))


def test_a_reader_of_no_file_finds_nothing_and_then_everything(path: Path) -> None:
    reader = JournalReader(path)
    assert reader.read() == []
    written(path, ("created", {}))
    assert [event["type"] for event in reader.read()] == ["created"]


def test_a_line_longer_than_a_block_is_read(path: Path) -> None:
    """A reader that takes blocks must not stop for ever at a line that is longer than one."""
    written(path, ("step", {"text": "y" * 100_000}), ("step", {}))
    reader = JournalReader(path)
    found: list[dict[str, Any]] = []
    while events := reader.read(limit=1000):
        found += events
    assert [event["seq"] for event in found] == [1, 2]


def test_flush_tells_whether_everything_is_out(path: Path) -> None:
    journal = Journal(path)
    journal.append("step", step=1)
    assert journal.flush()
    assert [event["step"] for event in JournalReader(path)] == [1]
    journal.close()
    journal.close()
    assert journal.flush()


def test_appending_is_cheap(path: Path) -> None:
    """Prints the figure; a busy machine must not fail a test that is about correctness."""
    journal = Journal(path)
    took = []
    for step in range(5000):
        started = time.perf_counter()
        journal.append("step", step=step, loss=1.0, learning_rate=1e-4, grad_norm=0.5, tokens=step)
        took.append(time.perf_counter() - started)
    journal.close()
    took.sort()
    print(f"append: median {took[2500] * 1e6:.1f} us, p99 {took[4950] * 1e6:.1f} us")
    assert len(list(JournalReader(path))) == 5000


# -- commands -----------------------------------------------------------------------------------------------------------


def test_commands_come_in_order_each_once(tmp_path: Path) -> None:
    path = tmp_path / "commands.jsonl"
    reader = CommandReader(path)
    assert reader.poll() == []
    ids = [commands.send(path, "pause"), commands.send(path, "resume"), commands.send(path, "stop", save=True)]
    found = reader.poll()
    assert [command["id"] for command in found] == ids
    assert [command["kind"] for command in found] == ["pause", "resume", "stop"]
    assert found[2]["save"] is True
    assert reader.poll() == []


def test_a_command_that_is_sent_twice_is_obeyed_once(tmp_path: Path) -> None:
    path = tmp_path / "commands.jsonl"
    commands.send(path, "pause")
    path.write_bytes(path.read_bytes() * 3)
    reader = CommandReader(path)
    assert len(reader.poll()) == 1
    path.write_bytes(path.read_bytes() * 2)
    assert reader.poll() == []


def test_a_torn_command_waits_and_does_not_swallow_the_next(tmp_path: Path) -> None:
    path = tmp_path / "commands.jsonl"
    commands.send(path, "pause")
    whole = path.read_bytes()
    for cut in range(2, len(whole) - 1):
        path.write_bytes(whole[:cut])
        reader = CommandReader(path)
        assert reader.poll() == []
        commands.send(path, "stop")
        assert [command["kind"] for command in reader.poll()] == ["stop"], f"cut at {cut}"


@pytest.mark.parametrize(
    "line", ["", "[]", "7", "null", "{}", '{"id": ["a"], "kind": "stop"}', '{"id": "a"}', "\udcff", '{"id": 3']
)
def test_lines_that_are_no_commands_are_passed_over(tmp_path: Path, line: str) -> None:
    path = tmp_path / "commands.jsonl"
    path.write_bytes(line.encode(errors="surrogateescape") + b"\n")
    sent = commands.send(path, "stop")
    assert [command["id"] for command in CommandReader(path).poll()] == [sent]


def test_a_new_attempt_is_deaf_to_older_commands(tmp_path: Path) -> None:
    path = tmp_path / "commands.jsonl"
    assert commands.end_offset(path) == 0
    commands.send(path, "stop")
    reader = CommandReader(path, commands.end_offset(path))
    assert reader.poll() == []
    sent = commands.send(path, "pause")
    assert [command["id"] for command in reader.poll()] == [sent]
