"""What comes after a run: buttons that fill the panel that does it, checkpoints compared and promoted, code by names that exist."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from panel_driver import ROWS, press, wait_for

import shadownb as snb
from shadownb.engine.models import Model
from shadownb.errors import RunError
from shadownb.panels import RunPanel, RunsPanel, Studio

STEPS = {"max_steps": "4", "save_steps": "2", "eval_steps": "2", "sample_max_new_tokens": "4"}


@pytest.fixture
def model(byte_model_dir: Path) -> Model:
    return snb.load(str(byte_model_dir), dtype="float32")


@pytest.fixture
def studio(byte_model_dir: Path, tmp_path: Path) -> Iterator[Studio]:
    """One in which a run was trained as by clicks: rows of a file, a model by its folder, no variable for either."""
    rows = tmp_path / "numbers.jsonl"
    rows.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    studio = Studio(namespace={})
    press(studio.train, "choose_data", choice=f"file:{rows}")
    press(studio.train, "choose_model", choice=f"path:{byte_model_dir}")
    press(studio.train, "load_model")
    press(studio.train, "set", values=STEPS)
    press(studio.train, "start")
    assert studio.run is not None, studio.train.error
    studio.run.wait(120)
    wait_for(studio.run_panel, "finishes", bool)
    assert studio.settle(120)
    yield studio
    studio.close()


def finish(studio: Studio, action: str, **more: Any) -> None:
    press(studio.run_panel, "finish", action=action, **more)
    assert studio.run_panel.error == {}
    assert studio.settle(120)


def test_each_button_fills_the_panel_that_does_it(studio: Studio) -> None:
    run, held = studio.run, "var:snb.Studio.newest().model"
    assert [each["id"] for each in studio.run_panel.finishes] == [
        "chat", "evaluate", "save", "export", "serve", "push", "branch",
    ]  # fmt: skip
    finish(studio, "chat")
    assert studio.tab == "chat" and studio.chat.model is studio.model

    finish(studio, "evaluate")
    assert studio.tab == "evaluate" and studio.evaluate.chosen["models"] == [f"{held}/base", f"{held}/tuned"]
    (suite,) = studio.evaluate.chosen["suites"]
    assert suite == {"id": "rows:held-out", "data": f"heldout:{run.id}", "scorer": "name:exact"}
    press(studio.evaluate, "start")
    assert studio.evaluate.evaluation.status == "complete", studio.evaluate.work
    assert set(studio.evaluate.evaluation.sides) == {"base", "tuned"}

    for action, formats in (("save", ["adapter"]), ("export", []), ("push", ["adapter"])):
        finish(studio, action)
        assert studio.tab == "export" and studio.export.source == held, "nothing is loaded a second time"
        assert studio.export.wanted["formats"] == formats

    finish(studio, "serve")
    assert studio.tab == "serve" and studio.serve.wanted["source"] == held
    assert held in [each["id"] for each in studio.serve.models]


def test_a_branch_begins_with_the_rows_and_options_of_its_run_and_can_be_trained(studio: Studio) -> None:
    run = studio.run
    finish(studio, "branch")
    train = studio.train
    assert studio.tab == "train" and train.data_state["choice"] == f"rows:{run.id}"
    assert train.eval_state == {"kind": "data", "choice": f"heldout:{run.id}", "stage": "ready", "rows": 2}
    assert train.start["choice"] == "trained" and train.config.max_steps == 4 and train.config.save_steps == 2
    assert f'shadownb.runs.rows("{run.id}", "held_out")' in train.code["python"]
    press(train, "start")
    child = studio.run
    child.wait(120)
    assert child.id != run.id and child.parent == run.id and child.started_from == f"step 4 of run {run.id}"


def test_a_branch_from_a_checkpoint_starts_there(studio: Studio) -> None:
    run = studio.run
    finish(studio, "branch", steps=[2])
    assert studio.train.start["choice"] == "checkpoint"
    press(studio.train, "start")
    studio.run.wait(120)
    assert studio.run.started_from == f"step 2 of run {run.id}", studio.train.error


def test_checkpoints_are_compared_by_loss_and_by_chat_and_one_is_promoted(studio: Studio) -> None:
    run, panel = studio.run, studio.run_panel
    press(panel, "measure")
    assert panel._slow.wait(60)
    losses = panel.losses["losses"]
    assert panel.losses["stage"] == "ready" and list(losses) == ["base", "2", "4"] and losses["4"] < losses["base"]
    assert losses["2"] == pytest.approx(
        studio.model.loss(snb.runs.rows(run.id, "held_out"), use=run.checkpoint_at(2)), abs=1e-4
    )

    finish(studio, "chat", steps=[2])
    press(studio.chat, "send", prompt="Say 3.")
    sides = studio.chat.turns[-1]["sides"]
    assert list(sides) == ["tuned", "base", f"{run.id}@2"]
    assert sides[f"{run.id}@2"]["badge"] == f"step 2 of run {run.id}" and sides[f"{run.id}@2"]["status"] == "done"
    assert f'shadownb.runs.load("{run.id}").checkpoint_at(2)' in studio.chat.code["python"]

    assert [each["result"] for each in panel.checkpoints] == [False, True]
    press(panel, "promote", step=2)
    assert [each["result"] for each in panel.checkpoints] == [True, False]
    assert snb.load(run.id).trained == (run.id, 2)


def test_samples_have_what_the_row_expects_and_what_was_answered_before(studio: Studio) -> None:
    item = studio.run_panel.samples[-1]["items"][0]
    expected = {row["messages"][0]["content"]: row["messages"][1]["content"] for row in ROWS}
    assert item["expected"] == expected[item["prompt"]]
    asked = [{"role": "user", "content": item["prompt"]}]
    assert item["before"] == studio.model.chat(asked, use="base", temperature=0, max_new_tokens=4).content


def test_alone_a_panel_has_the_cells_and_they_run(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = model.train(ROWS, max_steps=2, eval_dataset="auto", sample_max_new_tokens=0, background=False)
    names: dict[str, Any] = {"tuned": model}
    panel = RunPanel(run, namespace=names)
    assert not panel.finishes_linked
    codes = {each["id"]: each["code"] for each in panel.finishes}
    assert all("snb.load" not in code for code in codes.values()), "the model has a name"
    for action in ("chat", "evaluate", "save", "serve", "push", "branch"):
        exec(codes[action], names)
    assert (tmp_path / f"{run.id}-adapter").is_dir() and names["evaluation"].status == "complete"
    names["server"].stop()
    assert names["run"].wait(60).parent == run.id
    press(panel, "finish", action="chat")
    assert "alone" in panel.error["what"]
    fresh = {each["id"]: each["code"] for each in RunPanel(run, namespace={}).finishes}
    exec(fresh["save"].replace("-adapter", "-again"), {})
    assert (tmp_path / f"{run.id}-again").is_dir()


def test_the_opened_run_of_the_table_has_the_buttons_and_studio_shows_another_run_in_place(studio: Studio) -> None:
    first = studio.run
    other = studio.model.train(ROWS, max_steps=2, start="base", sample_max_new_tokens=0, background=False)
    table: RunsPanel = studio.runs
    press(table, "look")
    press(table, "open", run=first.id)
    assert [each["id"] for each in table.opened["finishes"]][:2] == ["chat", "evaluate"]
    press(table, "finish", action="serve", run=first.id)
    assert studio.settle() and studio.tab == "serve"
    assert studio.serve.wanted["source"] == first.id, "the loaded model carries another run by now"

    panel = studio.run_panel
    press(panel, "look_for_runs")
    wait_for(panel, "runs", lambda runs: [each["id"] for each in runs] == [other.id, first.id])
    press(panel, "show", run=other.id)
    assert panel.run.id == other.id and panel.about["id"] == other.id and panel.status["total"] == 2
    assert len(panel.get_state()["snapshot"]["series"]["loss"]["steps"]) == 2 * 4, "curves of the run that is shown"


def test_a_promoted_checkpoint_is_refused_while_the_run_goes_on_and_ends_with_the_next_attempt(model: Model) -> None:
    run = model.train(ROWS, max_steps=100_000, save_steps=2, sample_max_new_tokens=0, background=True)
    begun = threading.Event()
    run.subscribe(lambda state: begun.set() if len(state.checkpoints) > 1 else None)
    assert begun.wait(120)
    with pytest.raises(RunError, match=r"is (running|queued)"):
        snb.runs.promote(run.id, 2)
    run.stop().wait(120)
    last = run.result().step
    first = run.checkpoints()[0].step
    assert snb.runs.promote(run.id, first).step == first == run.result().step
    further = threading.Event()
    run.resume().subscribe(lambda state: further.set() if state.step > last + 1 else None)
    assert further.wait(120)
    run.stop().wait(120)
    assert run.result().step > last, "what the next attempt ended with is newer than the choice"


def test_pushing_says_what_would_be_sent_before_anything_is(studio: Studio, tmp_path: Path) -> None:
    finish(studio, "push")
    press(studio.export, "push", repo="me/numbers")
    assert "Nothing was exported" in studio.export.error["what"]
    press(studio.export, "start", format="adapter", folder=str(tmp_path / "out"), compare=[], data="none")
    press(studio.export, "push", repo="me/numbers")
    assert studio.export.pushed["sent"] is False and studio.export.pushed["repo"] == "me/numbers"
    assert "adapter_config.json" in [name for name, _ in studio.export.pushed["files"]]
    assert 'push_to_hub("me/numbers")' in studio.export.code["python"]
    press(studio.export, "push", repo="nonsense")
    assert "no repository" in studio.export.state["error"]["what"]


def test_code_calls_the_model_by_the_variable_of_the_studio(byte_model_dir: Path) -> None:
    names: dict[str, Any] = {"other": SimpleNamespace()}
    studio = Studio(namespace=names)
    names["workbench"] = studio
    press(studio.train, "choose_model", choice=f"path:{byte_model_dir}")
    press(studio.train, "load_model")
    assert studio.settle()
    assert "workbench.model.stream(" in studio.chat.code["python"]
    press(studio.train, "refresh")
    press(studio.train, "choose_model", choice="var:workbench.model")
    assert studio.model is studio.train.model is not None
    press(studio.train, "choose_data", choice="sample:support-triage")
    assert "run = workbench.model.train(" in studio.train.code["python"]
    studio.close()
