"""SweepPanel: the form starts a sweep, the table follows it, Studio's Train panel gets the best; and the Runs panel's queue."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from panel_driver import press, wait_for

import shadownb as snb
from tests.engine.conftest import until
from tests.engine.methods_data import chats

OPTIONS: dict[str, Any] = {"max_steps": 2, "eval_steps": 1, "sample_max_new_tokens": 0}
FORM: dict[str, Any] = {
    "space": [["lora_r", "2, 4"]],
    "budget": "",
    "metric": "eval_loss",
    "sampler": "auto",
    "pruner": "none",
    "name": "ranks",
}


@pytest.fixture
def model(home: Path, byte_model_dir: Path) -> Any:
    return snb.load(str(byte_model_dir), max_length=256, dtype="float32")


@pytest.fixture
def panel(model: Any) -> Iterator[Any]:
    made = snb.SweepPanel(model, snb.Dataset.from_list(chats()), **OPTIONS)
    yield made
    made.close()


def test_the_form_starts_a_sweep_and_the_table_follows_it(panel: Any, model: Any) -> None:
    press(panel, "look")
    assert (
        panel.settle()
        and panel.sweeps == []
        and panel.base["missing"] == ""
        and panel.base["words"].startswith("lora of ")
    )
    press(panel, "start", **{**FORM, "space": [["lora_rank", "2"]]})
    assert "Did you mean 'lora_r'?" in panel.error["what"]
    press(panel, "code", **FORM)
    assert (
        "model.sweep(" in panel.code["python"]
        and "{'lora_r': '2, 4'}" in panel.code["python"]
        and "max_steps=2" in panel.code["python"]
    )
    press(panel, "start", **FORM)
    assert panel.error == {}
    wait_for(panel, "sweep", lambda shown: shown.get("status") == "succeeded" and shown["done"] == 2)
    shown = panel.sweep
    assert [row["cells"] for row in shown["rows"]] == [["2"], ["4"]] and sum(row["best"] for row in shown["rows"]) == 1
    assert [axis["title"] for axis in shown["parallel"]] == ["Lora r", "Eval loss"] and len(shown["ids"]) == 2
    assert shown["importance"] == [] and "four trials" in shown["importance_why"]
    assert panel.sweeps == [{"name": "ranks", "status": "succeeded", "done": 2, "trials": 2}]
    press(panel, "train_best")
    assert panel.settle(60)
    run = snb.runs.latest().wait(timeout=60)
    assert run.marks.tags == ("best of ranks",) and str(run.config.lora_r) == next(
        row["cells"][0] for row in shown["rows"] if row["best"]
    )


def test_in_studio_the_best_fills_the_train_panel(model: Any) -> None:
    studio = snb.Studio(model, snb.Dataset.from_list(chats()), namespace={})
    try:
        press(studio.train, "set", values=OPTIONS)
        assert studio.settle()
        press(studio.sweep, "look")
        press(studio.sweep, "start", **FORM)
        assert studio.sweep.error == {}
        wait_for(studio.sweep, "sweep", lambda shown: shown.get("status") == "succeeded")
        press(studio.sweep, "train_best")
        assert studio.settle() and studio.tab == "train"
        best = snb.sweeps.load("ranks").best
        assert studio.train.config.lora_r == best.config.lora_r and studio.train.config.max_steps == 2
        press(studio.sweep, "show", run=best.id)
        assert studio.tab == "run" and studio.run.id == best.id
    finally:
        studio.close()


def test_the_runs_panel_shows_the_queue_and_its_buttons_change_it(model: Any) -> None:
    long = {"max_steps": 100_000, "save_steps": 100_000, "sample_max_new_tokens": 0, "background": True, "queue": True}
    first, second, third = (model.train(chats(), start="base", **long) for _ in range(3))
    until(first, lambda state: state.step >= 1)
    panel = snb.RunsPanel()
    try:
        press(panel, "look")
        wait_for(panel, "queue", lambda queue: queue and len(queue[0]["waiting"]) == 2)
        assert (panel.queue[0]["device"], panel.queue[0]["training"]) == ("cpu", first.id)
        press(panel, "queue", action="move", run=third.id, place=0)
        assert [run["id"] for run in panel.queue[0]["waiting"]] == [third.id, second.id]
        press(panel, "queue", action="hold", run=third.id)
        wait_for(panel, "queue", lambda queue: queue[0]["waiting"][0]["held"])
        press(panel, "queue", action="pause", device="cpu")
        assert panel.queue[0]["paused"]
        press(panel, "queue", action="cancel", run=second.id)
        press(panel, "queue", action="cancel", run=third.id)
        wait_for(panel, "queue", lambda queue: queue[0]["waiting"] == [])
        press(panel, "queue", action="resume", device="cpu")
        wait_for(panel, "queue", lambda queue: queue == [])
        assert [second.status, third.status] == ["stopped", "stopped"]
    finally:
        first.discard().wait(timeout=60)
        panel.close()
