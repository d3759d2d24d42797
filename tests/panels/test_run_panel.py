"""The Run panel's Python side: what it tells a page, and what it does when a page asks."""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hand_runs import HandRun, RecordingComm

from shadownb.panels import RunPanel
from shadownb.panels._feed import CurveFeed, curves

CURVES = {"loss", "learning_rate", "grad_norm", "tokens_per_s", "peak_memory_gb", "eval_loss"}


class Page:
    """What ``widgets/run/curves.ts`` keeps, built from the same messages."""

    def __init__(self) -> None:
        self.curves: dict[str, dict[str, Any]] = {}
        self.holes = 0

    def replace(self, snapshot: dict[str, Any]) -> None:
        for name, packed in snapshot["series"].items():
            size = len(packed["steps"]) // 4
            self.curves[name] = {
                "version": packed["version"],
                "steps": list(struct.unpack(f"<{size}I", packed["steps"])),
                "values": list(struct.unpack(f"<{size}f", packed["values"])),
                "edges": packed["edges"],
            }

    def grow(self, delta: dict[str, Any]) -> None:
        for name, (version, start, steps, values) in delta["points"].items():
            curve = self.curves.setdefault(name, {"version": version, "steps": [], "values": [], "edges": []})
            if curve["version"] > version:
                continue
            known = len(curve["steps"]) - start
            if curve["version"] != version or known < 0:
                self.holes += 1
                continue
            curve["steps"] += steps[known:]
            curve["values"] += values[known:]
        for name, edges in delta.get("edges", {}).items():
            self.curves[name]["edges"] = edges

    def points(self, name: str) -> dict[int, float]:
        curve = self.curves[name]
        return dict(zip(curve["steps"], curve["values"], strict=True)) | dict(curve["edges"])


@pytest.fixture
def panel(hand_run: HandRun) -> Iterator[RunPanel]:
    made = RunPanel(hand_run.run)
    made.comm = RecordingComm()
    yield made
    made.close()


@pytest.fixture
def hurried_threads() -> Iterator[None]:
    """Switch threads after nearly every bytecode, so that a missing lock shows."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


def ask(panel: RunPanel, kind: str, identity: str = "1", **options: Any) -> None:
    panel.set_state({"commands": [{"id": identity, "kind": kind, **options}]})
    assert panel.settle(), "the command was not handled"


def assert_same(page: Page, state: Any) -> None:
    for name, series in curves(state).items():
        if not len(series):
            continue
        assert page.points(name) == pytest.approx(dict(series.points), rel=1e-6), name


def test_a_new_page_gets_everything_and_ticks_carry_only_what_is_new(hand_run: HandRun, panel: RunPanel) -> None:
    comm, page = panel.comm, Page()
    page.replace(panel.get_state()["snapshot"])
    hand_run.begin(40)
    for step in range(1, 41):
        hand_run.step(step)
    hand_run.evaluate(40)
    comm.wait_for(lambda: panel.status["step"] == 40 and "eval_loss" in panel.delta.get("points", {}))
    for state, _ in comm.updates():
        assert "snapshot" not in state, "whole curves are not resent on a tick"
        if "delta" in state:
            page.grow(state["delta"])
    assert_same(page, hand_run.run.state)

    late = Page()
    first = panel.get_state()
    late.replace(first["snapshot"])
    assert first["snapshot"]["full"] and set(late.curves) == CURVES
    assert_same(late, hand_run.run.state)
    hand_run.step(41)
    comm.wait_for(lambda: panel.status["step"] == 41)
    late.grow(panel.delta)
    assert_same(late, hand_run.run.state)
    assert page.holes == late.holes == 0


def test_one_step_costs_a_page_under_a_kilobyte(hand_run: HandRun, panel: RunPanel) -> None:
    hand_run.begin(600)
    for step in range(1, 501):
        hand_run.step(step)
    panel.comm.wait_for(lambda: panel.status["step"] == 500)
    for step in range(501, 504):
        panel.comm.messages.clear()
        hand_run.step(step)
        panel.comm.wait_for(lambda step=step: panel.status["step"] == step)
        assert sum(size for _, size in panel.comm.updates()) < 1024


def test_a_hundred_thousand_steps_stay_under_the_budget_and_flat() -> None:
    """2,000 steps a second, followed four times a second: under 64 KB/s, and the page ends with the exact curve."""
    from shadownb.engine.runs.state import RunState

    state, now = RunState(), 0.0
    feed, page = CurveFeed(clock=lambda: now), Page()
    sent, busiest, sizes = 0, 0, []
    window: list[int] = []
    for tick in range(200):
        for step in range(500 * tick + 1, 500 * tick + 501):
            values = {"loss": 1e3 / step, "learning_rate": 1e-4, "grad_norm": step % 11 / 10, "tokens_per_s": 90.0}
            state.apply({"seq": step, "time": now, "type": "step", "step": step, "peak_memory_gb": 1.0, **values})
        now += 0.25
        delta, snapshot = feed.advance(state, final=tick == 199)
        size = 0
        if delta is not None:
            page.grow(delta)
            size += len(str(delta))
        if snapshot is not None:
            page.replace(snapshot)
            size += sum(len(p["steps"]) + len(p["values"]) + 100 for p in snapshot["series"].values())
        sent += size
        window = [*window[-11:], size]
        busiest = max(busiest, sum(window))
        if tick in (20, 199):
            whole = feed.snapshot(state)["series"].values()
            sizes.append(sum(len(p["steps"]) + len(p["values"]) for p in whole))
    assert sent / now < 64_000, "bytes a second over the run"
    assert busiest / 3 < 64_000, "bytes a second in the busiest three seconds"
    assert max(sizes) <= 5 * 8 * 1000, "a page load stays bounded"
    assert page.holes == 0
    assert_same(page, state)


def test_a_resume_that_goes_back_replaces_the_curves(hand_run: HandRun, panel: RunPanel) -> None:
    hand_run.begin(20)
    for step in range(1, 11):
        hand_run.step(step)
    panel.comm.wait_for(lambda: panel.status["step"] == 10)
    hand_run.append("attempt", n=2, from_step=5)
    for step in range(6, 9):
        hand_run.step(step, loss=9.0)
    panel.comm.wait_for(lambda: panel.status["step"] == 8 and bool(panel.snapshot))
    page = Page()
    page.replace(panel.snapshot)
    assert [page.points("loss")[step] for step in (5, 6, 8)] == [pytest.approx(hand_run.run.losses()[4]), 9.0, 9.0]
    assert max(page.points("loss")) == 8


def test_buttons_only_enqueue_and_an_id_counts_once(hand_run: HandRun, panel: RunPanel) -> None:
    hand_run.begin(20)
    ask(panel, "pause", "a")
    ask(panel, "pause", "a")
    ask(panel, "stop", "b")
    ask(panel, "discard", "c")
    assert [command["kind"] for command in hand_run.commands()] == ["pause", "stop", "discard"]
    assert (panel.ack, panel.error) == ("c", {})


def test_a_refused_command_becomes_a_card_and_the_next_one_clears_it(hand_run: HandRun, panel: RunPanel) -> None:
    hand_run.begin(20)
    hand_run.append("end", status="succeeded")
    hand_run.journal.flush()
    ask(panel, "stop", "a")
    assert "nothing to stop" in panel.error["what"] and "Traceback" in panel.error["details"]
    ask(panel, "dismiss", "b")
    assert panel.error == {}
    ask(panel, "explode", "c")
    assert "explode" in panel.error["what"]


def test_a_failed_run_shows_why_with_details(hand_run: HandRun, panel: RunPanel) -> None:
    hand_run.begin(20)
    hand_run.append("traceback", text="Traceback: deep inside")
    error = {"code": "out-of-memory", "what": "Out of memory in step 3.", "why": "", "fix": "Halve the batch."}
    hand_run.append("end", status="failed", error=error)
    panel.comm.wait_for(lambda: bool(panel.failure))
    assert panel.failure == {**error, "details": "Traceback: deep inside"}
    assert panel.status["status"] == "failed"


def test_samples_are_read_from_their_files_and_shortened(hand_run: HandRun, panel: RunPanel) -> None:
    hand_run.begin(20)
    hand_run.sample(5, "short")
    hand_run.sample(10, "x" * 5000)
    panel.comm.wait_for(lambda: len(panel.samples) == 2)
    assert [s["step"] for s in panel.samples] == [5, 10]
    assert panel.samples[0]["items"][2] == {"prompt": "question 2", "completion": "short"}
    assert len(panel.samples[1]["items"][0]["completion"]) == 800


def test_the_page_and_several_threads_may_write_at_once(panel: RunPanel, hurried_threads: None) -> None:
    """ipywidgets' own sync loses updates or raises here: its hold_sync and set_state swap state on the instance."""

    def from_page(worker: int) -> None:
        for i in range(100):
            panel.set_state({"commands": [{"id": f"{worker}-{i}", "kind": "dismiss"}]})

    def from_kernel(worker: int) -> None:
        for i in range(3000):
            panel.write(code={"python": f"{worker}-{i}"}, about={"id": f"{worker}-{i}"})

    with ThreadPoolExecutor(6) as pool:
        for done in [pool.submit(work, n) for n in range(3) for work in (from_page, from_kernel)]:
            done.result()
    assert panel.settle()
    told: dict[str, Any] = {}
    for state, _ in panel.comm.updates():
        told.update(state)
    assert told["code"] == panel.code and told["about"] == panel.about, "the page ends with the newest values"
    assert panel.ack.split("-")[1] == "99"


def test_text_forms_have_no_addresses(hand_run: HandRun, panel: RunPanel) -> None:
    assert repr(panel) == f"RunPanel({hand_run.run.id}: queued)"
    assert repr(panel.runtime) == "RuntimeWidget()"


def test_a_run_is_given_by_its_id_and_the_panel_knows_the_cell_that_goes_on(hand_run: HandRun, panel: RunPanel) -> None:
    again = RunPanel(hand_run.run.id)
    assert again.about == panel.about
    scope: dict[str, Any] = {}
    exec(panel.revival.replace("\nsnb.", "\nrevived = snb."), scope)
    assert scope["revived"].run.id == hand_run.run.id
    assert again.panel_id == again.model_id, "the page asks its widget manager by this id whether the kernel is there"


def test_the_code_does_the_same_in_a_cell(hand_run: HandRun, panel: RunPanel) -> None:
    hand_run.begin(2)
    hand_run.step(1)
    hand_run.journal.flush()
    scope: dict[str, Any] = {}
    exec(panel.code["python"], scope)
    assert scope["run"].id == hand_run.run.id
    assert scope["run"].losses() == hand_run.run.losses()


def test_a_real_run_is_followed_to_its_end(tiny_model_dir: Path) -> None:
    """The engine trains in a thread; what the page has at the end is what the run recorded."""
    import shadownb as snb

    rows = [
        {"messages": [{"role": "user", "content": f"say {i}"}, {"role": "assistant", "content": f"{i} it is"}]}
        for i in range(24)
    ]
    model = snb.load(str(tiny_model_dir), dtype="float32")
    run = model.train(
        snb.Dataset.from_list(rows),
        eval_dataset=0.25,
        max_steps=8,
        max_length=64,
        executor="thread",
        background=True,
    )
    panel, page = RunPanel(run), Page()
    panel.comm = RecordingComm()
    try:
        page.replace(panel.get_state()["snapshot"])
        panel.comm.wait_for(lambda: panel.status["status"] == "succeeded", timeout=120)
        for state, _ in panel.comm.updates():
            if "snapshot" in state:
                page.replace(state["snapshot"])
            if "delta" in state:
                page.grow(state["delta"])
        assert [page.points("loss")[step] for step in range(1, 9)] == pytest.approx(run.losses(), rel=1e-6)
        assert page.points("eval_loss") and panel.samples and panel.checkpoints
        lines = [gb for _, gb in panel.record["estimate"]["lines"]]
        assert sum(lines) == pytest.approx(panel.record["estimate"]["expected_gb"], abs=0.01)
        assert panel.status["last"]["peak_memory_gb"] > 0 and panel.record["trainable"] > 0
        assert all(reason for _, reason in panel.record["decisions"].values())
        assert panel.record["actual_setup"]["optimizer"]
        assert Path(panel.checkpoints[-1]["path"]).is_dir()
        assert panel.status["step"] == panel.status["total"] == 8
    finally:
        panel.close()
        run.wait()
