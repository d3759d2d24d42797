"""RunsPanel: the table as it is asked for, marks and the trash, chosen runs side by side, and what it remembers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from panel_driver import press, wait_for

import shadownb as snb
from shadownb.engine.runs.store import default_store
from tests.engine.test_runs_table import run_of
from tests.ports.run_stores import end, made


@pytest.fixture
def panel(home: Path) -> Iterator[Any]:
    made_panel = snb.RunsPanel()
    yield made_panel
    made_panel.close()


def shown(panel: Any) -> list[str]:
    return [line["id"] for line in panel.table["lines"]]


def test_the_table_shows_what_is_asked_for(panel: Any, home: Path) -> None:
    press(panel, "look")
    assert panel.table["all"] == 0 and panel.table["lines"] == []
    store = default_store()
    first = run_of(store, losses=(2.0, 0.5), lora_r=4)
    second = run_of(store, losses=(2.0, 0.1), lora_r=32)
    press(panel, "look")
    press(panel, "ask", sort="loss", descending=True, columns=["lora_r", "loss.min", "created_at"])
    assert panel.settle() and shown(panel) == [first.id, second.id]
    assert [line["cells"][:2] for line in panel.table["lines"]] == [["4", "0.5"], ["32", "0.1"]]
    assert [title for _, title in panel.table["columns"]] == ["Lora r", "Loss, lowest", "Launched"]
    assert {group["title"] for group in panel.known} == {"Run", "Options", "Metrics"}
    press(panel, "ask", query="lora_r>8")
    assert (shown(panel), panel.table["found"]) == ([second.id], 1)
    assert panel.code["python"].endswith("snb.runs.search('lora_r>8', sort='loss')")
    press(panel, "ask", query="rank>8")
    assert "No run has a column 'rank'" in panel.table["problem"] and len(shown(panel)) == 2
    again = snb.RunsPanel()
    assert (again.asked["sort"], again.asked["columns"]) == ("loss", ["lora_r", "loss.min", "created_at"])
    assert again.asked["query"] == "", "a search that is kept would hide runs"
    (home / "panels" / "runs.json").write_text("[", encoding="utf-8")
    assert snb.RunsPanel().asked["sort"] == "created_at"


def test_runs_are_followed(panel: Any) -> None:
    store = default_store()
    run = made(store, ended=None)
    lock = run.owner_lock()
    lock.acquire()
    press(panel, "look")
    assert panel.settle() and panel.table["lines"][0]["live"]
    end(run, "succeeded")
    lock.release()
    wait_for(panel, "table", lambda table: table["lines"][0]["status"] == "succeeded")
    new = run_of(store)
    wait_for(panel, "table", lambda table: table["lines"][0]["id"] == new.id)


def test_marks_are_made_for_several_runs_and_shown(panel: Any) -> None:
    store = default_store()
    runs = [run_of(store) for _ in range(3)]
    press(panel, "look")
    press(panel, "mark", runs=[runs[0].id, runs[1].id], tag="kept", pinned=True)
    press(panel, "mark", runs=[runs[2].id], archived=True)
    assert shown(panel) == [runs[1].id, runs[0].id] and panel.table["hidden"] == 1
    assert [line["tags"] for line in panel.table["lines"]] == [["kept"], ["kept"]]
    press(panel, "open", run=runs[0].id)
    press(panel, "mark", runs=[runs[0].id], untag="kept", note="No better than the base.")
    assert (panel.opened["tags"], panel.opened["note"]) == ([], "No better than the base.")
    assert snb.runs.load(runs[1].id).marks == snb.runs.Marks(("kept",), "", True, False)
    press(panel, "ask", archived=True)
    assert set(shown(panel)) == {run.id for run in runs}


def test_what_was_deleted_comes_back(panel: Any) -> None:
    store = default_store()
    parent, other = made(store), run_of(store)
    made(store, ended=None, start=parent.path / "checkpoints" / "step-000003")
    press(panel, "look")
    press(panel, "choose", runs=[other.id])
    press(panel, "trash", runs=[other.id])
    assert (panel.trash["count"], panel.trash["undo"], panel.chosen) == (1, [other.id], [])
    assert other.id not in shown(panel)
    press(panel, "restore")
    assert panel.trash["count"] == 0 and other.id in shown(panel)
    press(panel, "trash", runs=[other.id, parent.id])
    assert "cannot be resumed without it" in panel.error["what"]
    assert panel.trash["undo"] == [other.id], "what went before the one that could not is undone, too"
    press(panel, "empty_trash")
    assert panel.trash["count"] == 0 and snb.runs.trashed() == []


def test_chosen_runs_stand_side_by_side(panel: Any) -> None:
    store = default_store()
    runs = [run_of(store, losses=(2.0, 1.5, last), lora_r=r) for last, r in ((0.5, 4), (0.4, 8))]
    press(panel, "look")
    press(panel, "choose", runs=[run.id for run in runs])
    assert panel.comparison["differences"] == [["lora_r", "4", "8"]]
    assert ["loss", "0.5000", "0.4000"] in panel.comparison["results"]
    assert [axis["title"] for axis in panel.comparison["parallel"]] == ["Lora r", "Loss", "Eval loss"]
    press(panel, "curves", metric="loss", axis="time", smoothing=0.0)
    assert [(line["x"], line["y"]) for line in panel.curves["lines"]] == [
        ([1.0, 2.0, 3.0], [2.0, 1.5, 0.5]),
        ([1.0, 2.0, 3.0], [2.0, 1.5, 0.4]),
    ]
    press(panel, "curves", metric="eval_loss", axis="step", smoothing=0.0)
    assert [(line["x"], line["y"]) for line in panel.curves["lines"]] == [([3.0], [1.5]), ([3.0], [1.4])]
    press(panel, "choose", runs=[f"run-{n}" for n in range(13)])
    assert "too many" in panel.error["what"] and len(panel.chosen) == 2
    press(panel, "choose", runs=[])
    assert (panel.comparison, panel.curves) == ({}, {})


def test_a_run_is_handed_to_whoever_shows_it(panel: Any) -> None:
    run = run_of(default_store())
    seen: list[str] = []
    panel.on_show(lambda found: seen.append(found.id))
    press(panel, "look")
    press(panel, "show", run=run.id)
    assert panel.linked and seen == [run.id]


def test_a_page_of_many_runs_is_small(panel: Any) -> None:
    store = default_store()
    for n in range(40):
        run_of(store, lora_r=4 + n, data=f"rows number {n}")
    press(panel, "look")
    assert panel.settle()
    assert len(panel.table["lines"]) == 25
    assert len(json.dumps(panel.get_state(), default=str)) < 100_000


def test_a_run_that_diverged_is_drawn_as_far_as_it_has_numbers(panel: Any) -> None:
    nan = float("nan")
    store = default_store()
    runs = [run_of(store, losses=losses, lora_r=r) for losses, r in (((2.0, nan, nan), 4), ((2.0, 1.0, 0.5), 8))]
    press(panel, "look")
    press(panel, "choose", runs=[run.id for run in runs])
    press(panel, "curves", metric="loss", axis="step", smoothing=0.0)
    assert [line["y"] for line in panel.curves["lines"]] == [[2.0], [2.0, 1.0, 0.5]]
    assert [axis["title"] for axis in panel.comparison["parallel"]] == ["Lora r"]
    json.dumps([panel.curves, panel.comparison, panel.table], allow_nan=False)
    press(panel, "open", run=runs[0].id)
    json.dumps(panel.opened, allow_nan=False)


def test_chosen_runs_are_read_again_only_where_one_went_on(panel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    store = default_store()
    runs = [run_of(store, lora_r=r) for r in (4, 8)]
    press(panel, "look")
    press(panel, "choose", runs=[run.id for run in runs])
    read: list[int] = []
    compare = panel._compare
    monkeypatch.setattr(panel, "_compare", lambda: (read.append(1), compare()))
    for _ in range(3):
        press(panel, "ask", sort="loss")
    assert len(read) <= 1
    press(panel, "mark", runs=[runs[0].id], tag="kept")
    assert len(read) <= 1
