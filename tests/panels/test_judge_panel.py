"""JudgePanel: chosen, judged with progress and a stop, disagreements first, measured by clicks, handed over to training."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from panel_driver import press, send, wait_for
from recorded import record, says, user

import shadownb as snb
from shadownb.engine.capture import CaptureStore
from tests.judging.scripted import ScriptedJudge, verdicts


def knows() -> ScriptedJudge:
    return ScriptedJudge(
        lambda shown, _: verdicts(
            {
                name: 9 - place * ("moved" in text) if "right" in text else 1
                for place, (name, text) in enumerate(shown.items())
            }
        )
    )


@pytest.fixture
def store(home: Any) -> CaptureStore:
    for n in range(14):
        ask = [user(f"Task {n}")]
        record(
            [(ask, says(f"right {n}{' moved' * (n == 3)}")), (ask, says(f"{'right' if n == 3 else 'wrong'} {n} moved"))]
        )
    return CaptureStore.open("recorded")


@pytest.fixture
def panel(store: CaptureStore) -> Any:
    made = snb.JudgePanel(namespace={"rented": knows()})
    press(made, "choose", source="capture:recorded", judge="var:rented", options={"limit": "12"})
    yield made
    made.close()


def test_disagreements_come_first_and_a_group_is_shown_in_full(panel: Any) -> None:
    assert [each["id"] for each in panel.choices["sources"]] == ["capture:recorded"]
    assert panel.choices["judges"][0]["id"] == "var:rented"
    assert panel.code["python"].splitlines()[2] == 'judged = snb.judge(snb.captures.open("recorded"), rented, limit=12)'
    assert panel.code["magic"] == "%shadow judge recorded rented --limit 12 --as judged" and "shell" not in panel.code
    press(panel, "start")
    assert panel.work == {"stage": "ended"} and not panel.error
    assert (panel.summary["groups"], panel.summary["attempts"], panel.summary["unscored"]) == (12, 24, 0)
    assert panel.summary["requests"] >= 24 and panel.summary["pairs"] >= 11
    moved = [row for row in panel.page["rows"] if row["kind"]]
    assert panel.page["filter"] == ("disagreements" if moved else "all")
    for row in moved:
        assert row["kind"] == "orders" and row["task"] == "Task 3"
    press(panel, "browse", filter="all")
    assert panel.page["count"] == 12 and len(panel.page["rows"]) == 12
    press(panel, "open", group=panel.page["rows"][0]["group"])
    assert panel.item["task"] == panel.page["rows"][0]["task"]
    assert panel.item["attempts"][0]["score"] is not None and panel.item["attempts"][0]["reason"] == "so it is"
    assert "12 groups" in panel._snapshot_text()
    press(panel, "shut")
    assert panel.item == {}


def test_clicks_measure_the_judge_are_kept_in_the_recording_and_taken_back(panel: Any, store: CaptureStore) -> None:
    press(panel, "start")
    assert panel.measured["enough"] is False and "judged 0 of 24" in panel.measured["why"]
    asked = []
    for _ in range(10):
        assert "score" not in panel.click, "who clicks does not see what the judge says"
        asked.append(panel.click["number"])
        press(panel, "rate", number=panel.click["number"], value=int("right" in panel.click["answer"]))
    assert len(set(asked)) == 10 and asked != sorted(asked), "drawn by chance"
    found = panel.measured
    assert (
        found["enough"]
        and found["given"] == 10
        and found["sentences"][0].startswith("10 of 24 items were judged by people")
    )
    assert "more clicks" in found["narrower"] or "Even with" in found["narrower"]
    assert store.clicks()["rated"] == 10 and panel.click["given"] == 10
    press(panel, "width", width=0.9)
    assert "no more clicks" in panel.measured["narrower"]
    press(panel, "undo")
    assert store.clicks()["rated"] == 9 and panel.click["number"] == asked[-1]
    press(panel, "skip", number=asked[-1])
    assert panel.click["number"] != asked[-1]
    press(panel, "undo")
    assert panel.click["number"] == asked[-1] and store.clicks()["rated"] == 9
    press(panel, "rate", number=asked[-1], value=1 - int("right" in panel.click["answer"]))
    press(panel, "browse", filter="disagreements")
    assert panel.page["rows"][0]["kind"] == "people" and "people" in panel.page["rows"][0]["what"]
    press(panel, "rate", number=99, value=1)
    assert "no attempt 99" in panel.error["what"]


def test_what_was_judged_is_handed_over_to_be_trained_on(panel: Any) -> None:
    used: list[tuple[int, str]] = []
    panel.on_use(lambda rows, method: used.append((len(rows), method)))
    press(panel, "use", what="best")
    assert "Nothing was judged yet" in panel.error["what"]
    press(panel, "start")
    for kind in ("preferences", "best", "groups"):
        press(panel, "use", what=kind, **({"threshold": 0.5} if kind == "best" else {}))
        assert not panel.error
    assert [method for _, method in used] == ["dpo", "lora", "grpo"] and used[1][0] == 12 and used[2][0] == 24
    assert panel.handed == {"what": "groups", "method": "grpo", "rows": 24, "taken": True}
    press(panel, "use", what="best", threshold=0.99)
    assert "at least 0.99" in panel.error["what"]


def test_a_stop_keeps_what_was_judged_and_failures_are_cards(home: Any) -> None:
    going, stopped = threading.Event(), threading.Event()

    def slow(shown: dict[str, str], _: str) -> str:
        going.set()
        assert stopped.wait(60)
        return verdicts(dict.fromkeys(shown, 5))

    rows = [{"prompt": f"Ask {n}", "completion": "so", "label": n % 2 == 0} for n in range(40)]
    panel = snb.JudgePanel(rows, ScriptedJudge(slow), "Right ones are short.")
    assert panel.chosen["source"] == "given" and panel.chosen["rubric"] == "Right ones are short."
    send(panel, "start")
    wait_for(panel, "work", lambda work: work["stage"] == "running")
    assert going.wait(60)
    send(panel, "stop")
    wait_for(panel, "work", lambda work: work["stage"] == "stopping")
    stopped.set()
    assert panel.settle(120)
    assert panel.work == {"stage": "stopped"} and panel.summary["unscored"] > 0 and panel.judged is not None
    press(panel, "browse", filter="unscored")
    assert any("it was stopped" in row["what"] for row in panel.page["rows"])
    panel.close()
    wrong = snb.JudgePanel(namespace={"rows": [{"prompt": "Only asked."}]})
    press(wrong, "start")
    assert "Nothing to judge is chosen" in wrong.error["what"]
    press(wrong, "choose", source="var:rows", judge="var:gone")
    press(wrong, "start")
    assert wrong.work["stage"] == "failed" and "no variable 'gone'" in wrong.work["error"]["what"]
    press(wrong, "choose", options={"limit": "some", "max_cost": "-1"})
    assert set(wrong.chosen["problems"]) == {"limit", "max_cost"} and wrong.code == {}
    press(wrong, "start")
    assert "limit='some'" in wrong.error["what"]
    wrong.close()


def test_grades_of_an_evaluation_are_the_measure_until_somebody_clicks(home: Any) -> None:
    from tests.evals.contestants import right_up_to
    from tests.evals.contestants import rows as conversations

    suite = snb.suites.rows(conversations(12), snb.Exact(), name="held_out")
    snb.evaluate({"base": right_up_to("b", 3), "tuned": right_up_to("t", 10)}, suite, name="kept")
    judge = snb.Judge(ScriptedJudge(lambda shown, _: verdicts({n: 8 for n in shown})), orders=1)
    panel = snb.JudgePanel(judge=judge, namespace={})
    press(panel, "choose", source="evaluation:kept")
    press(panel, "start")
    assert panel.measured["by"] == "grades of the suite" and panel.measured["chance"]
    assert "24 of 24 items have grades of the suite" in panel.measured["sentences"][0]
    press(panel, "rate", number=panel.click["number"], value=1)
    assert panel.measured["enough"] is False and panel.click["given"] == 1 and not panel.click["kept"]
    press(panel, "undo")
    assert panel.measured["by"] == "grades of the suite"
    panel.close()


def test_studio_fills_the_train_panel(store: CaptureStore) -> None:
    studio = snb.Studio(namespace={"rented": knows()})
    press(studio.judge, "choose", source="capture:recorded", judge="var:rented")
    press(studio.judge, "start")
    for kind, format in (("preferences", "preference"), ("groups", "chat")):
        press(studio.judge, "use", what=kind)
        assert studio.settle(60)
        assert studio.tab == "train" and studio.train.data_state["format"] == format
    assert studio.train.method == "grpo" and studio.train.eval_state["kind"] == "none"
    studio.close()
