"""RewardsPanel and the verb lab: what can be chosen, what is shown, and that a lab can be stopped."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest
from panel_driver import press, send

import shadownb as snb
from shadownb.cli import main

ROWS = [
    {"prompt": f"Which colour has {thing}?", "completion": colour}
    for thing, colour in (("snow", "white"), ("coal", "black"), ("grass", "green"))
]


def in_a_cell(function: FunctionType) -> FunctionType:
    """Return a function as if a cell had defined it."""
    function.__module__ = "__main__"
    return function


def contains(output: str, expected: str) -> float:
    return float(expected in output)


def helper(path: str) -> str:
    return path


@pytest.fixture
def names() -> dict[str, Any]:
    return {
        "reward": in_a_cell(contains),
        "helper": in_a_cell(helper),
        "rows": ROWS,
        "texts": ["a", "b"],
        "mixed": {"exact": 1.0},
        "n": 3,
    }


def test_scorers_and_answers_of_the_notebook_can_be_chosen(names: dict[str, Any]) -> None:
    panel = snb.RewardsPanel(namespace=names)
    scorers = [choice["id"] for choice in panel.choices["scorers"]]
    assert scorers[:2] == ["var:reward", "var:mixed"] and "name:numeric" in scorers and "var:helper" not in scorers
    assert {"var:rows", "var:texts", "sample:support-triage"} <= {choice["id"] for choice in panel.choices["good"]}
    names["late"] = ["c"]
    press(panel, "look")
    assert "var:late" in [choice["id"] for choice in panel.choices["bad"]]


def test_what_fools_a_scorer_is_shown_and_kept_in_the_snapshot(names: dict[str, Any]) -> None:
    panel = snb.RewardsPanel(namespace=names)
    press(panel, "choose", scorer="var:reward")
    press(panel, "choose", good="var:rows")
    press(panel, "run")
    assert panel.state == {"stage": "ready"}, panel.error
    assert "every option at once" in [each["hack"] for each in panel.found["fooled"]]
    assert panel.report is not None and panel.report.scorer == "contains"
    assert "every option at once" in panel._snapshot_text() and "snb.scoring.lab(reward, rows)" in panel.code["python"]
    assert panel.code["magic"] == "%shadow lab reward rows --as report"
    press(panel, "choose", scorer="name:exact")  # what was found is of another scorer
    assert panel.found == {} and panel.report is None


def test_the_code_runs(names: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    panel = snb.RewardsPanel("exact", ROWS, ["blue"], namespace={**names, "wrong": ["blue"]})
    assert panel.settle(60) and panel.report is not None and panel.report.sound
    code = snb.RewardsPanel("exact", names["rows"], names["texts"], namespace=names).code["python"]
    exec(code, dict(names))
    assert "exact: 3 right answers" in capsys.readouterr().out


def test_a_lab_can_be_stopped(names: dict[str, Any]) -> None:
    begun, go = threading.Event(), threading.Event()

    def slow(output: str, expected: str) -> float:
        begun.set()
        go.wait(60)
        return 1.0

    panel = snb.RewardsPanel(slow, ROWS, namespace=names)
    assert begun.wait(60)
    send(panel, "stop")
    assert panel._writer.wait(30)
    go.set()
    assert panel.settle(60) and panel.state == {"stage": "none"} and panel.report is None


def test_what_cannot_be_looked_at_is_a_card(names: dict[str, Any]) -> None:
    panel = snb.RewardsPanel("exact", ["same", "same"], namespace=names)
    assert panel.settle(60) and panel.state["stage"] == "failed"
    assert "no wrong answers" in panel.state["error"]["what"] and "bad=" in panel.state["error"]["fix"]
    panel = snb.RewardsPanel(namespace=names)
    press(panel, "run")
    assert panel.error["what"] == "No scorer chosen."
    names.pop("reward")
    press(panel, "choose", scorer="var:reward", good="var:rows")
    press(panel, "run")
    assert "no variable 'reward'" in panel.error["what"]


def test_studio_has_it(names: dict[str, Any]) -> None:
    studio = snb.Studio(namespace=names)
    assert studio.rewards.choices["scorers"][0]["id"] == "var:reward"
    studio.tab = "rewards"
    assert studio.settle()
    studio.close()


def test_the_verb(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, ROWS)), encoding="utf-8")
    assert main(["lab", "contains", str(path)]) == 0
    assert "every option at once" in capsys.readouterr().out
    assert main(["lab", "exact", str(path), "--max-rows", "2"]) == 0
    assert "exact: 2 right answers" in capsys.readouterr().out
    assert main(["lab", "exakt", str(path)]) != 0
    assert "Did you mean 'exact'" in capsys.readouterr().err
