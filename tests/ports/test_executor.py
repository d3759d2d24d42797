"""What every executor owes, run by those there are and by one that is not ours (:mod:`.inline_executor`)."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import shadownb as snb
from shadownb.engine import registry
from shadownb.engine.processes import host, process_mark
from shadownb.engine.runs import Run, executors, journal
from shadownb.engine.runs.executors.base import HEARD_SECONDS
from shadownb.engine.runs.store import default_store
from shadownb.errors import ConfigError, RunError
from tests.engine.conftest import until
from tests.engine.methods_data import chats
from tests.ports import inline_executor
from tests.waiting import wait_for

STEPS = 6
OPTIONS: dict[str, Any] = {
    "max_steps": STEPS,
    "per_device_train_batch_size": 2,
    "gradient_accumulation_steps": 1,
    "save_steps": 2,
    "sample_max_new_tokens": 0,
    "lora_r": 2,
    "lora_dropout": 0.1,
    "background": True,
}
NAMES = ("thread", "process", "inline")


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest, inline: str) -> str:
    """The name of each executor."""
    return str(request.param)


@contextlib.contextmanager
def paused(model: Any, name: str) -> Iterator[Run]:
    """Give a run that pauses as soon as it can; ``submit`` may block, so it is started beside."""
    known = {run.id for run in snb.runs.list()}
    starter = threading.Thread(target=lambda: model.train(chats(), executor=name, **OPTIONS))
    with model.gate.inference():  # no step before the pause is asked for
        starter.start()
        while not (found := [run for run in snb.runs.active() if run.id not in known and run.executor]):
            time.sleep(0.01)
        found[0].pause()
    run = snb.runs.load(found[0].id)
    until(run, lambda state: state.status == "paused")
    try:
        yield run
    finally:
        if run.is_active:
            run.discard()
            run.wait(timeout=60)
        starter.join(timeout=60)
        assert not starter.is_alive()


def losses(run: Run) -> list[float]:
    return [metrics["loss"] for metrics in run.metrics]


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory, byte_model_dir: Path) -> list[float]:
    """The losses of the run that nothing stops."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHADOWNB_HOME", str(tmp_path_factory.mktemp("straight")))
        model = snb.load(str(byte_model_dir), max_length=256, dtype="float32")
        return losses(model.train(chats(), executor="thread", **OPTIONS).wait(timeout=60))


# -- the suite ---------------------------------------------------------------------------------------------------------


def test_it_trains_the_same_and_the_model_answers_with_the_result(name: str, model: Any, straight: list[float]) -> None:
    run = model.train(chats(), executor=name, **OPTIONS).wait(timeout=120, raise_on_failure=True)
    assert (run.status, run.executor) == ("succeeded", name)
    assert losses(run) == straight
    assert model.trained == (run.id, STEPS) and model.active_run is None
    for thread in threading.enumerate():  # the end is written before the thread that trained lets go of the model
        if thread.name == "shadownb-train":
            thread.join(timeout=120)
    assert executors.model_of(run.id) is None
    wait_for(lambda: not run.folder.is_owned())  # a worker writes the end before its process is gone

    executor = executors.chosen(name)  # events are followed by number
    numbers = [event["seq"] for event in executor.events(run.path)]
    assert numbers == list(range(1, len(numbers) + 1))
    assert [event["seq"] for event in run.events(since=4)] == numbers[4:]
    assert list(executor.events(run.path, since=numbers[-1])) == []


def test_a_stop_is_forwarded_and_a_resume_comes_to_the_same(name: str, model: Any, straight: list[float]) -> None:
    with paused(model, name) as run:
        sent = executors.chosen(name).send(run.path, "stop", save=True)
        run.wait(timeout=60)
        assert run.status == "stopped" and run.step < STEPS
        assert sent in [event["id"] for event in run.events() if event["type"] == "command"]
    run.resume(model).wait(timeout=120, raise_on_failure=True)
    assert (run.status, run.executor) == ("succeeded", name)
    assert losses(run) == straight
    assert model.trained == (run.id, STEPS)


def test_what_it_says_of_memory_is_so(name: str, model: Any) -> None:
    from shadownb.panels._answers import is_live
    from shadownb.panels._going_on import offer_of, run_of_this_kernel

    executor = executors.chosen(name)
    with paused(model, name) as run:
        assert run.shares_memory == executor.shares_memory
        assert (executors.model_of(run.id) is model) == executor.shares_memory
        assert (model.live_run is not None) == executor.shares_memory == is_live(model)
        assert model.active_run.id == run.id
        assert run_of_this_kernel(list(snb.runs.active()), [model])[1] is model
        assert offer_of(run)["text"].endswith("in another kernel" if run.shares_memory else f"in {executor.where}")
        with pytest.raises(RunError, match=f"paused in {executor.where} and goes on there"):
            run.resume(executor=next(other for other in NAMES if other != name))


def test_a_killed_process_leaves_no_run_that_seems_to_go_on(home: Path, byte_model_dir: Path) -> None:
    script = (
        "import shadownb as snb; from tests.engine.methods_data import chats\n"
        f"options = {OPTIONS!r} | {{'max_steps': 100_000, 'save_steps': 100_000}}\n"
        f"load = lambda: snb.load({str(byte_model_dir)!r}, max_length=256, dtype='float32')\n"
        "runs = [load().train(chats(), executor=name, **options) for name in ('process', 'thread')]\n"
        "runs[0].wait()\n"
    )
    starter = subprocess.Popen([sys.executable, "-c", script], cwd=Path(__file__).parents[2])
    try:
        deadline = time.monotonic() + 240  # two processes that import torch, one after the other
        while len(found := [run for run in snb.runs.active() if run.step]) < 2:
            assert starter.poll() is None and time.monotonic() < deadline
            time.sleep(0.1)
    except BaseException:
        for run in snb.runs.active():
            run.discard()
        raise
    finally:
        starter.kill()
        starter.wait()
    ours = {run.executor: run for run in found}
    assert ours["thread"].status == "interrupted"
    assert ours["process"].is_active, "it outlives"
    assert {entry.id: entry.status for entry in default_store().entries()}[ours["thread"].id] == "interrupted"
    assert ours["process"].discard().wait(timeout=60).status == "discarded"


# -- one that is not ours ----------------------------------------------------------------------------------------------


def test_every_face_offers_it_while_it_is_registered(inline: str) -> None:
    from click.shell_completion import CompletionItem

    from shadownb._verbs.train import train
    from shadownb.panels._form import build, form_fields

    def offered() -> list[str]:
        (field,) = [field for field in form_fields() if field["name"] == "executor"]
        (option,) = [param for param in train.params if param.name == "executor"]
        typed: list[CompletionItem] = option.shell_complete(train.make_context("train", [], resilient_parsing=True), "")
        assert [item.value for item in typed] == field["choices"]
        return list(field["choices"])

    assert offered() == ["auto", "thread", "process", inline]
    assert snb.TrainConfig(executor=inline).executor == inline
    config, _ = build("lora", {"executor": inline}, {})
    assert config is not None and config.executor == inline
    registry.unregister("executor", inline)
    try:
        assert offered() == ["auto", "thread", "process"]
        with pytest.raises(ConfigError, match="executor='inline': input should be 'auto', 'thread' or 'process'"):
            snb.TrainConfig(executor=inline)
    finally:
        registry.register("executor", inline, inline_executor.TARGET)
    with pytest.raises(ConfigError, match=r"executor='inlin'[\s\S]*Did you mean 'inline'"):
        snb.TrainConfig(executor="inlin")


def test_its_run_shows_and_obeys_in_the_panel(inline: str, model: Any) -> None:
    from shadownb.panels import RunPanel

    with paused(model, inline) as run:
        panel = RunPanel(run.id)
        assert panel.settle()
        assert panel.status["status"] == "paused", panel.status
        panel._do_stop()  # its button
        assert panel.settle()
        run.wait(timeout=60)
    assert run.status == "stopped"


def test_a_process_that_does_not_know_it_reads_stops_and_resumes_its_runs(inline: str, model: Any) -> None:
    with paused(model, inline) as run:
        registry.unregister("executor", inline)
        try:
            here = snb.runs.load(run.id)
            assert (here.status, here.executor, here.shares_memory) == ("paused", inline, False)
            assert here.config.executor == inline and inline in str(snb.runs.diff(run.id, run.id)) + here.executor
            here.stop().wait(timeout=60)
            assert here.status == "stopped"
            with pytest.raises(ConfigError, match=r"No executor is named 'inline'[\s\S]*thread, process"):
                here.resume(model)
            here.resume(model, executor="thread").wait(timeout=60, raise_on_failure=True)
            assert here.status == "succeeded" and model.trained == (run.id, STEPS)
        finally:
            registry.register("executor", inline, inline_executor.TARGET)


class Unreachable(inline_executor.InlineExecutor):
    """Accepts nothing."""

    def submit(self, folder: Path, attempt: Any, model: Any) -> None:
        raise ConnectionError("no route to it")


def test_an_attempt_that_is_not_accepted_has_failed(model: Any, inline: str) -> None:
    registry.register("executor", inline, f"{__name__}:Unreachable", replace=True)
    try:
        with pytest.raises(ConnectionError):
            model.train(chats(), executor=inline, **OPTIONS)
    finally:
        registry.register("executor", inline, inline_executor.TARGET, replace=True)
    run = snb.runs.latest()
    assert run.status == "failed" and "no route to it" in str(run.error)
    assert model.active_run is None and not [t for t in threading.enumerate() if t.name == f"journal-{run.id}"]
    run.resume(model, executor="thread").wait(timeout=60, raise_on_failure=True)


# -- who is there ------------------------------------------------------------------------------------------------------


def launched(mark: dict[str, Any], executor: str = "thread", *, begun: bool = False) -> Run:
    """Return a run that a process with this mark has launched; nobody holds its lock."""
    folder = default_store().create(snb.TrainConfig(), {"model": {"name": "tiny"}})
    events = journal.Journal(folder.events)
    events.append("created", run_id=folder.id)
    events.append("launched", executor=executor, by=mark, worker=None)
    if begun:
        events.append("attempt", n=1, from_step=0)
    events.close()
    return snb.runs.load(folder.id)


GONE = {"pid": 1, "started": 1.0}


@pytest.mark.parametrize("executor", NAMES)
def test_on_this_host_the_process_says_it(executor: str, home: Path, inline: str) -> None:
    own = process_mark()
    assert own["host"] == host()
    assert launched(own, executor).status == "queued"
    assert launched({**GONE, "host": host()}, executor).status == "interrupted"
    assert launched(GONE, executor).status == "interrupted", "marks of before the host was noted are of this one"
    assert launched(own, executor, begun=True).status == "interrupted", "its owner would hold the lock"


@pytest.mark.parametrize("executor", NAMES)
@pytest.mark.parametrize("begun", [False, True])
def test_of_another_host_the_journal_says_it(executor: str, begun: bool, home: Path, inline: str) -> None:
    run = launched({**process_mark(), "host": "another"}, executor, begun=begun)
    assert run.status == ("running" if begun else "queued")
    with pytest.raises(RunError, match=r"already\.\s+Why: Its process is on another, and its journal is still written"):
        run.resume()
    long_ago = time.time() - HEARD_SECONDS - 1
    os.utime(run.folder.events, (long_ago, long_ago))
    assert run.status == "interrupted"
    assert default_store().entries()[0].status == "interrupted" and default_store().active() == []


def test_who_writes_a_journal_lets_other_hosts_know(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "BEAT_SECONDS", 0.05)
    events = journal.Journal(tmp_path / "events.jsonl")
    events.append("created", run_id="x")
    assert events.flush()
    content = events.path.read_bytes()
    os.utime(events.path, (1.0, 1.0))
    deadline = time.monotonic() + 20
    while events.path.stat().st_mtime < HEARD_SECONDS:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    events.close()
    os.utime(events.path, (1.0, 1.0))
    assert events.path.read_bytes() == content and not events._thread.is_alive()


def test_no_name_of_an_executor_is_compared_elsewhere() -> None:
    import ast

    found = []
    for path in Path(snb.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Compare) and "executor" in (text := ast.unparse(node)):
                found += [f"{path.name}: {text}" for name in ("'thread'", "'process'") if name in text]
    assert found == []
