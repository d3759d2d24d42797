"""Studio: what one panel does shows in the others; the run's static snapshot is an output of its own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import IPython.display
import pytest
import traitlets
from panel_driver import ROWS, press, wait_for

import shadownb
from shadownb import Dataset, magics
from shadownb._verbs import verbs_for
from shadownb._verbs.completion import complete_panel
from shadownb.engine import registry
from shadownb.engine.models import Model
from shadownb.panels import ChatPanel, Panel, RunPanel, Studio, TrainPanel


@pytest.fixture
def model(tiny_model_dir: Path) -> Model:
    return shadownb.load(str(tiny_model_dir), dtype="float32")


def start(studio: Studio, steps: int = 2) -> Any:
    press(studio.train, "set", values={"max_steps": str(steps), "sample_max_new_tokens": "0"})
    press(studio.train, "start")
    assert studio.run is not None, studio.train.error
    return studio.run


def test_it_opens_empty_and_refers_to_its_panels() -> None:
    studio = Studio(namespace={})
    assert studio.tab == "train" and studio.run is None and studio.model is None
    state = studio.get_state()
    assert state["train"] == f"anywidget:{studio.train.model_id}"
    assert state["chat"] == f"anywidget:{studio.chat.model_id}"
    assert state["run_panel"] is None
    assert isinstance(studio.train, TrainPanel) and isinstance(studio.chat, ChatPanel)
    assert repr(studio) == "Studio()"


def test_a_start_opens_the_run_and_the_chat_talks_to_its_model(model: Model) -> None:
    studio = Studio(model, Dataset.from_list(ROWS), namespace={})
    assert studio.settle()
    run = start(studio)
    assert studio.tab == "run" and isinstance(studio.run_panel, RunPanel) and studio.run is run
    run.wait()
    wait_for(studio.chat, "model_state", lambda state: f"step 2 of run {run.id}" in state["answering"])
    assert studio.chat.model is model
    assert repr(studio) == f"Studio({run.id})"
    studio.close()


def test_a_model_loaded_in_train_is_the_one_chat_talks_to(tiny_model_dir: Path) -> None:
    studio = Studio(namespace={})
    press(studio.train, "choose_model", choice=f"path:{tiny_model_dir}")
    press(studio.train, "load_model")
    assert studio.settle()
    assert studio.chat.model is studio.train.model is not None


def test_the_second_run_takes_the_place_of_the_first(model: Model) -> None:
    studio = Studio(model, Dataset.from_list(ROWS), namespace={})
    assert studio.settle()
    first = start(studio)
    first.wait()
    wait_for(studio.train, "run_state", lambda state: state["stage"] == "ended")
    assert studio.settle()
    second = start(studio)
    second.wait()
    assert studio.settle()
    assert studio.run is second is not first


def test_a_past_run_can_be_shown(model: Model) -> None:
    run = model.train(Dataset.from_list(ROWS), max_steps=1, sample_max_new_tokens=0, background=False)
    studio = Studio(run=shadownb.runs.load(run.id), namespace={})
    assert studio.settle(120)
    assert studio.run.id == run.id
    assert studio.chat.model_state["stage"] == "ready", studio.chat.model_state
    assert studio.chat.model.trained == (run.id, 1)


LONG = {"max_steps": 100000, "save_steps": 100000, "sample_max_new_tokens": 0, "lora_r": 4}


def test_a_studio_that_is_made_again_finds_the_run_and_its_model(model: Model) -> None:
    run = model.train(Dataset.from_list(ROWS), background=True, **LONG)
    try:
        studio = Studio(namespace={})
        assert studio.settle()
        assert studio.run.id == run.id and studio.tab == "run"
        assert studio.model is model and studio.chat.model is model
        assert studio.going_on == []
        assert studio.revival == f'import shadownb as snb\nsnb.Studio(run="{run.id}")'
    finally:
        run.discard()
        run.wait(timeout=60)


def test_the_model_that_is_loaded_is_chosen_and_what_was_given_comes_first(model: Model, tiny_model_dir: Path) -> None:
    studio = Studio(namespace={"number": 3, "mine": model})
    assert studio.settle()
    assert studio.model is model and studio.run is None and studio.tab == "train"
    other = shadownb.load(str(tiny_model_dir))
    given = Studio(other, namespace={"mine": model})
    assert given.settle() and given.model is other


def test_a_run_of_a_worker_is_offered_and_shown_when_asked(model: Model) -> None:
    run = model.train(Dataset.from_list(ROWS), background=True, executor="process", **LONG)
    try:
        studio = Studio(namespace={})  # as in a new kernel: the model that it trains is not at hand
        assert studio.run is None
        assert [offer["id"] for offer in studio.going_on] == [run.id]
        assert "in a worker process" in studio.going_on[0]["text"]
        press(studio, "show_run", run=run.id)
        assert studio.run.id == run.id and studio.tab == "run" and studio.going_on == []
        assert Studio(namespace={"mine": model}).run.id == run.id, "this kernel has the model that it trains"
    finally:
        run.discard()
        run.wait(timeout=60)


def test_the_snapshot_is_a_second_output_that_is_brought_up_to_date(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[dict[str, Any]] = []
    updated: list[dict[str, Any]] = []
    ended = threading.Event()

    class Handle:
        def update(self, data: dict[str, Any], **_: Any) -> None:
            updated.append(data)
            if "finished" in data["text/plain"]:
                ended.set()

    def display(data: dict[str, Any], **options: Any) -> Handle | None:
        shown.append(data)
        return Handle() if options.get("display_id") else None

    monkeypatch.setattr(IPython.display, "display", display)
    studio = Studio(model, Dataset.from_list(ROWS), namespace={})
    assert studio.settle()
    studio._ipython_display_()
    assert "application/vnd.jupyter.widget-view+json" in shown[0]
    assert shown[1] == {"text/plain": ""}
    run = start(studio, steps=3)
    run.wait()
    assert ended.wait(120), updated
    assert f"ShadowNB run {run.id}: finished" in updated[-1]["text/plain"] and "image/png" in updated[-1]


class HelloPanel(Panel):
    """As another package would write one."""

    _esm = "export default { render({ el }) { el.textContent = 'hello'; } }"
    title = "Hello"

    def __init__(self) -> None:
        self.seen: list[tuple[str, Any]] = []
        super().__init__()

    def take_run(self, run: Any) -> None:
        self.seen.append(("run", run))

    def take_model(self, model: Any) -> None:
        self.seen.append(("model", model))


class BrokenPanel(Panel):
    def __init__(self) -> None:
        raise ZeroDivisionError("division by zero")


def no_panel() -> str:
    return "no panel"


class FailingPanel(Panel):
    """Cannot bear a run; named so that it is told before the others."""

    _esm = HelloPanel._esm

    def take_run(self, run: Any) -> None:
        raise ZeroDivisionError("no run, please")


@pytest.fixture
def added() -> Iterator[None]:
    kinds = {
        "failing": "FailingPanel",
        "hello": "HelloPanel",
        "broken": "BrokenPanel",
        "no_panel": "no_panel",
        "gone": "Gone",
    }
    for name, kind in kinds.items():
        registry.register("panel", name, f"{__name__}:{kind}")
    yield
    for name in kinds:
        registry.unregister("panel", name)


@pytest.mark.usefixtures("added")
def test_panels_of_other_packages_have_tabs_and_are_told_of_runs_and_models(model: Model) -> None:
    studio = Studio(model, Dataset.from_list(ROWS), namespace={})
    assert studio.settle()
    tabs = {tab["id"]: tab for tab in studio.get_state()["added"]}
    assert list(tabs) == ["failing", "hello", "broken", "no_panel", "gone"]
    hello = studio.panels["hello"]
    assert (tabs["hello"]["title"], tabs["hello"]["panel"]) == ("Hello", f"anywidget:{hello.model_id}")
    assert tabs["broken"]["failure"] == "ZeroDivisionError: division by zero" and tabs["broken"]["panel"] is None
    assert "makes a str, no widget" in tabs["no_panel"]["failure"] and tabs["no_panel"]["title"] == "No panel"
    assert "does not exist" in tabs["gone"]["failure"]
    studio.tab = "hello"
    with pytest.raises(traitlets.TraitError, match=r"Studio has capture.*hello"):
        studio.tab = "nowhere"
    assert ("model", model) in hello.seen
    run = start(studio)
    run.wait()
    assert ("run", run) in hello.seen, "also where another panel has raised"
    assert "no run, please" in studio.panels["failing"].error["what"]
    studio.close()
    assert hello.comm is None


@pytest.mark.usefixtures("added")
def test_a_panel_of_another_package_goes_by_its_name() -> None:
    front_end = magics.NotebookFrontEnd(SimpleNamespace(user_ns={}))
    verbs = verbs_for(magics.NotebookFrontEnd)
    listed = verbs.main(["panel"], standalone_mode=False, obj=front_end)
    assert "hello" in listed and "chat" in listed
    assert isinstance(verbs.main(["panel", "hello"], standalone_mode=False, obj=front_end), HelloPanel)
    with pytest.raises(shadownb.ShadowError, match="Did you mean 'hello'"):
        verbs.main(["panel", "helo"], standalone_mode=False, obj=front_end)
    assert complete_panel(None, None, "he") == ["hello"]  # type: ignore[arg-type]
