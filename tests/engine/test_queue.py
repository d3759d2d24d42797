"""The queue of a device: one trains at a time, in an order that can be changed, whichever process trains, whoever is killed."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

import shadownb as snb
from shadownb.engine.runs.device_queue import DeviceQueue
from shadownb.errors import RunError
from tests.engine.conftest import until
from tests.engine.methods_data import chats
from tests.waiting import wait_for

LONG: dict[str, Any] = {
    "max_steps": 100_000,
    "save_steps": 100_000,
    "sample_max_new_tokens": 0,
    "lora_r": 2,
    "background": True,
    "queue": True,
}
SHORT = {**LONG, "max_steps": 2, "save_steps": 2}


def loaded(folder: Path) -> Any:
    return snb.load(str(folder), max_length=256, dtype="float32")


def overlaps(*runs: Any) -> bool:
    """Whether two of the runs had the device at one time, by their own journals."""
    spans = []
    for run in runs:
        events = list(run.events())
        began = next(event["time"] for event in events if event["type"] == "turn")
        spans.append((began, next(event["time"] for event in events if event["type"] == "end")))
    spans.sort()
    return any(after[0] < before[1] for before, after in itertools.pairwise(spans))


def test_thread_and_worker_wait_for_each_other_in_the_order_of_the_queue(home: Path, byte_model_dir: Path) -> None:
    model, other = loaded(byte_model_dir), loaded(byte_model_dir)
    first = model.train(chats(), executor="thread", **LONG)
    until(first, lambda state: state.step >= 1)
    worker = other.train(chats(), executor="process", **SHORT)
    last = model.train(chats(), executor="thread", start="base", **SHORT)
    queue = snb.runs.queue()
    assert [run.id for run in queue.training] == [first.id]
    assert [run.id for run in queue.waiting] == [worker.id, last.id]
    until(worker, lambda state: state.phase.get("message") == f"1 ahead, behind {first.id}")
    assert (worker.status, last.status) == ("queued", "queued")
    queue.move(last, 0)
    until(last, lambda state: state.phase.get("message", "").startswith("1 ahead"))
    until(worker, lambda state: state.phase.get("message", "").startswith("2 ahead"))
    first.stop().wait(timeout=60)
    for run in (last, worker):
        assert run.wait(timeout=120, raise_on_failure=True).status == "succeeded"
    assert not overlaps(first, last, worker)
    began = {run.id: next(event["time"] for event in run.events() if event["type"] == "turn") for run in (last, worker)}
    assert began[last.id] < began[worker.id], "the order is the queue's, not that of the launches"
    assert repr(snb.runs.queue()) == "no run trains or waits"
    with pytest.raises(RunError, match="does not wait"):
        queue.move(worker, 0)


def test_a_run_that_waits_is_held_let_go_and_cancelled(home: Path, byte_model_dir: Path) -> None:
    model = loaded(byte_model_dir)
    first = model.train(chats(), executor="thread", **LONG)
    until(first, lambda state: state.step >= 1)
    held = model.train(chats(), executor="thread", start="base", **SHORT)
    passing = model.train(chats(), executor="thread", start="base", **SHORT)
    cancelled = model.train(chats(), executor="thread", start="base", **SHORT)
    held.pause()
    until(held, lambda state: state.status == "paused")
    assert [row["status"] for row in snb.runs.queue().to_dicts()] == ["running", "held", "queued", "queued"]
    assert cancelled.stop().wait(timeout=120).status == "stopped" and cancelled.step == 0
    first.discard().wait(timeout=60)
    assert passing.wait(timeout=60).status == "succeeded"
    assert held.status == "paused" and held.step == 0, "the others pass it"
    held.resume()
    assert held.wait(timeout=60).status == "succeeded"


def test_a_paused_queue_begins_nothing(home: Path, byte_model_dir: Path) -> None:
    model = loaded(byte_model_dir)
    assert model.train(chats(), executor="thread", **SHORT).wait(timeout=60).status == "succeeded"
    assert snb.runs.queue().pause().paused == ["cpu"]
    run = model.train(chats(), executor="thread", start="base", **SHORT)
    until(run, lambda state: "paused" in state.phase.get("message", ""))
    beside = loaded(byte_model_dir)
    assert (
        beside.train(chats(), executor="process", **{**SHORT, "queue": False}).wait(timeout=120).status == "succeeded"
    )
    assert run.status == "queued"
    with pytest.raises(RunError, match="no run has waited for it"):
        snb.runs.queue().resume("cuda:7")
    snb.runs.queue().resume()
    assert run.wait(timeout=60).status == "succeeded"


def test_waiting_workers_outlive_their_kernel_and_pass_one_that_was_killed(home: Path, byte_model_dir: Path) -> None:
    script = (
        "import shadownb as snb; from tests.engine.methods_data import chats\n"
        f"load = lambda: snb.load({str(byte_model_dir)!r}, max_length=256, dtype='float32')\n"
        f"long, short = {LONG!r}, {SHORT!r}\n"
        "for options in (long, short, short): print(load().train(chats(), executor='process', **options).id, flush=True)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script],
        cwd=Path(__file__).parents[2],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        timeout=120,
    )
    first, killed, last = (snb.runs.load(line) for line in ended.stdout.split())
    try:
        for run in (killed, last):
            until(run, lambda state: f"behind {first.id}" in (state.phase.get("message") or ""))
        worker = killed.journalled.launched["worker"]["pid"]  # type: ignore[index]
        os.kill(worker, signal.SIGKILL)
        wait_for(lambda: killed.status == "interrupted")
        assert [run.id for run in snb.runs.queue().waiting] == [last.id]
    finally:
        first.discard()
    assert last.wait(timeout=120, raise_on_failure=True).status == "succeeded"
    again = killed.resume().wait(timeout=120, raise_on_failure=True)
    assert again.status == "succeeded" and not overlaps(first, last)


def test_many_that_ask_at_once_get_the_device_one_at_a_time(home: Path, tmp_path: Path) -> None:
    queue, inside, most = DeviceQueue("cpu"), [0], [0]
    counted = threading.Lock()

    def work(name: str) -> None:
        own = DeviceQueue("cpu")
        own.enter(name, tmp_path / name, here=True)
        lock = wait_for(lambda: own.take(name), 60)
        with counted:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
        with counted:
            inside[0] -= 1
        lock.release()

    threads = [threading.Thread(target=work, args=(f"run-{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=90)
    assert most == [1] and queue.read().waiting == () and queue.training() is None


def test_a_damaged_file_is_an_empty_queue(home: Path, tmp_path: Path) -> None:
    queue = DeviceQueue("cuda")
    queue.enter("one", tmp_path / "one", here=True)
    assert json.loads(queue.path.read_text(encoding="utf-8"))["device"] == "cuda:0"
    queue.path.write_text("{", encoding="utf-8")
    assert queue.read().waiting == ()
    queue.enter("two", tmp_path / "two", here=True)
    assert [each.id for each in queue.read().waiting] == ["two"]
