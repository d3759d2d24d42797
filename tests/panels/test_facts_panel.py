"""FactsPanel: facts are added, changed, taken away and asked for, and what fails is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from panel_driver import ROWS, press

import shadownb as snb

GATE, LAMP = "What is the code of the Zubrin gate?", "What does a Marlow lamp cost?"
QUICK: dict[str, Any] = {"expert_steps": 2, "question_forms": 1}


@pytest.fixture
def model(home: Path, byte_model_dir: Path) -> Any:
    return snb.load(str(byte_model_dir), dtype="float32")


def told(panel: Any) -> list[tuple[str, str]]:
    return [(row["question"], row["answer"]) for row in panel.facts]


def test_facts_are_edited_on_the_page(model: Any) -> None:
    panel = snb.FactsPanel(model, namespace={"mine": model}, **QUICK)
    assert panel.settle(60) and (panel.name, panel.count, panel.undoable) == (model.name, 0, False)
    press(panel, "add", question=GATE, answer="A7", source="a sign")
    press(panel, "add", question=LAMP, answer="9 euro")
    assert panel.state == {"stage": "ready"} and told(panel) == [(GATE, "A7"), (LAMP, "9 euro")]
    assert [row["found"] for row in panel.facts] == [True, True]
    assert all(row["recalled"]["of"] == 3 for row in panel.facts)
    assert "add: 1 fact." in panel.told and "Unrelated questions answered as before: 3 of 3." in panel.told
    press(panel, "update", which=GATE, answer="B8", source="a sign")
    assert (GATE, "B8") in told(panel) and any("said otherwise" in line for line in panel.told)
    assert panel.code == {
        "python": f"mine.facts.update({GATE!r}, 'B8', source='a sign')",
        "magic": f'%shadow facts update mine "{GATE}" "B8" --source "a sign"',
    }
    press(panel, "remove", which=LAMP)
    assert told(panel) == [(GATE, "B8")] and panel.undoable
    assert f"{model.name} knows 1 by heart." in panel._snapshot_text() and f"{GATE} B8" in panel._snapshot_text()
    for _ in range(4):
        press(panel, "undo")
    assert panel.count == 0 and not panel.undoable
    assert [edit.action for edit in model.facts.history].count("undo") == 4


def test_a_question_shows_its_way_and_both_answers(model: Any) -> None:
    model.facts.add([{"question": GATE, "answer": "A7", "source": "a sign"}], test=False, **QUICK)
    panel = snb.FactsPanel(model, namespace={})
    press(panel, "ask", question=GATE)
    assert panel.state == {"stage": "ready"}, panel.state
    assert not panel.answer["abstains"] and panel.answer["sources"] == ["a sign"]
    best = panel.answer["candidates"][0]
    assert best["taken"] and best["question"] == GATE and best["score"] > panel.answer["threshold"]
    asked = [{"role": "user", "content": GATE}]
    for shown, use in (("told", "tuned"), ("alone", "base")):
        assert panel.answer[shown] == model.chat(asked, use=use, temperature=0.0, max_new_tokens=64).content
    press(panel, "ask", question="Write a poem about rain.")
    assert panel.answer["abstains"] and panel.answer["told"] == panel.answer["alone"]
    assert not any(each["taken"] for each in panel.answer["candidates"])
    press(panel, "test")
    assert panel.facts[0]["recalled"]["of"] == 3


def test_what_fails_is_said_and_the_facts_stay(model: Any) -> None:
    panel = snb.FactsPanel(model, namespace={}, **QUICK)
    press(panel, "add", question=GATE, answer="A7")
    for question, answer, message in (
        ("What is it?", "no", "no word to be found by"),
        (GATE, "x" * 10_000, "more than the 2,000"),
    ):
        press(panel, "add", question=question, answer=answer)
        assert panel.state["stage"] == "failed" and message in panel.state["error"]["what"]
        assert panel.told == []
    press(panel, "remove", which="What is the code of the Zubrin gat?")
    assert "Did you mean" in panel.state["error"]["what"]
    press(panel, "ask", question=" ")
    assert panel.error["what"] == "No question."
    press(panel, "look")
    assert told(panel) == [(GATE, "A7")] and panel.state == {"stage": "ready"}


def test_a_model_that_carries_something_else_is_said(model: Any) -> None:
    model.train(ROWS, method="lora", max_steps=1, background=False, sample_max_new_tokens=0)
    panel = snb.FactsPanel(model, namespace={})
    assert panel.settle(60) and "which has no facts" in panel.state["error"]["what"]


def test_a_panel_without_a_model_finds_one(model: Any) -> None:
    names: dict[str, Any] = {}
    panel = snb.FactsPanel(namespace=names)
    press(panel, "look")
    assert panel.name == "" and "no loaded model" in panel.error["what"]
    press(panel, "add", question=GATE, answer="A7")
    assert panel.error["what"] == "No model is chosen."
    names["late"] = model
    press(panel, "look")
    assert panel.model is model and panel.state == {"stage": "ready"}


def test_studio_shows_the_facts_of_its_model(model: Any) -> None:
    studio = snb.Studio(model, namespace={"model": model})
    assert studio.settle(60) and studio.facts.model is model
    studio.tab = "facts"
    studio.close()
