"""Clicks in the Trajectories panel: ratings, corrections, rankings, the next episode, undo, and what is trained on them."""

from __future__ import annotations

from typing import Any

import pytest
from panel_driver import press
from recorded import record, says, user

import shadownb as snb
from shadownb.engine.capture import CaptureStore


def asked(text: str, *answers: str) -> None:
    record([([user(text)], says(answer)) for answer in answers])


@pytest.fixture(params=["store", "memory"])
def panel(request: Any, home: Any) -> Any:
    asked("Name a colour.", "blue", "seven", "red")
    asked("Name a number.", "seven", "blue")
    asked("Alone?", "Yes.")
    store = CaptureStore.open("recorded")
    source: Any = store if request.param == "store" else list(store.trajectories())
    made = snb.TrajectoriesPanel(source, namespace={})
    assert made.settle(60)
    yield made
    made.close()


def open_one(panel: Any, task: str, answer: str) -> dict[str, Any]:
    row = next(row for row in panel.page["rows"] if (row["title"], row["last"]) == (task, answer))
    press(panel, "open", episode=row["id"])
    assert not panel.error, panel.error
    return panel.conversation


@pytest.mark.filterwarnings("ignore:Answers of gpt-4o")
def test_an_episode_is_rated_corrected_ranked_and_all_is_taken_back(panel: Any) -> None:
    assert open_one(panel, "Alone?", "Yes.")["attempts"] == []
    found = open_one(panel, "Name a colour.", "blue")
    assert sorted(each["last"] for each in found["attempts"]) == ["blue", "red", "seven"] and found["answer"] == "blue"
    press(panel, "score", value=1, note="")
    assert panel.conversation["facts"]["score"] == 1
    ids = {each["last"]: each["id"] for each in found["attempts"]}
    press(panel, "rank", best_first=[[ids["red"], ids["blue"]], [ids["seven"]]])
    assert {each["last"]: each["rank"] for each in panel.conversation["attempts"]} == {"red": 1, "blue": 1, "seven": 2}
    open_one(panel, "Name a number.", "blue")
    number = panel.conversation["id"]
    press(panel, "step", by=-1)  # the page has not shown it yet when somebody judges what is still on screen
    assert panel.conversation["id"] != number
    press(panel, "score", value=0, note="no number", episode=number)
    open_one(panel, "Name a number.", "blue")
    assert panel.conversation["facts"]["score"] == 0
    press(panel, "correct", answer="eight", episode=number)
    assert panel.conversation["correction"] == "eight" and panel.conversation["answer"] == "blue"
    assert panel.clicks == {"rated": 2, "corrected": 1, "ranked": 3, "undo": True}
    used: list[tuple[str, list[Any]]] = []
    panel.on_use(lambda rows, method: used.append((method, rows)))
    for what in ("verdicts", "pairs", "demonstrations"):
        press(panel, "use", what=what)
        assert not panel.error
    kto, dpo, sft = (rows for _, rows in used)
    assert [method for method, _ in used] == ["kto", "dpo", "lora"] and panel.handed["taken"]
    assert sorted((row["completion"][0]["content"], row["label"]) for row in kto) == [("blue", False), ("blue", True)]
    assert sorted((row["chosen"][0]["content"], row["rejected"][0]["content"]) for row in dpo) == [
        ("blue", "seven"), ("eight", "blue"), ("red", "seven"),
    ]  # fmt: skip
    assert sorted(row["messages"][-1]["content"] for row in sft) == ["blue", "eight"]
    for left in ((2, 0, 3), (1, 0, 3), (1, 0, 0), (0, 0, 0)):
        press(panel, "undo")
        assert tuple(panel.clicks[name] for name in ("rated", "corrected", "ranked")) == left
    assert not panel.clicks["undo"] and panel.conversation["correction"] == ""
    press(panel, "use", what="pairs")
    assert "were corrected" in panel.error["what"] or "was corrected" in panel.error["what"]


def test_clicks_that_make_no_sense_are_cards_and_keep_nothing(panel: Any) -> None:
    found = open_one(panel, "Name a colour.", "blue")
    press(panel, "rank", best_first=[[found["id"]]])
    assert panel.error
    press(panel, "correct", answer=" ")
    assert panel.error and panel.clicks["corrected"] == 0 and not panel.clicks["undo"]


def test_the_next_episode_opens_over_the_end_of_a_page(home: Any) -> None:
    for number in range(23):
        asked(f"task {number}", "done")
    panel = snb.TrajectoriesPanel("recorded", namespace={})
    assert panel.settle(60)
    press(panel, "step", by=1)
    assert panel.conversation["facts"]["title"] == "task 22"
    press(panel, "step", by=-1)
    assert panel.conversation["facts"]["title"] == "task 22", "there is none before"
    for _ in range(20):
        press(panel, "step", by=1)
    assert panel.conversation["facts"]["title"] == "task 2" and panel.query["offset"] == 20
    press(panel, "step", by=-1)
    assert panel.conversation["facts"]["title"] == "task 3" and panel.query["offset"] == 0
    panel.close()
