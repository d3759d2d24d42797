"""``%shadow judge`` and ``shadownb judge``: what is judged, by whom and by which rubric; what is said and what is written."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import click
import pytest

import shadownb as snb
from shadownb._verbs import verbs_for
from shadownb.cli import ShellFrontEnd
from shadownb.engine.capture import CaptureStore
from shadownb.panels import _judge_code
from tests.judging.scripted import ScriptedJudge, verdicts
from tests.panels.recorded import record, says, user

PAIRS = [{"prompt": f"Ask {n}", "chosen": f"right {n}", "rejected": f"wrong {n}"} for n in range(10)]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHADOWNB_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


def run(line: list[str], body: str | None = None, **variables: Any) -> Any:
    return verbs_for(ShellFrontEnd).main(line, obj=ShellFrontEnd(variables, body=body), standalone_mode=False)


def knows() -> ScriptedJudge:
    return ScriptedJudge(lambda shown, _: verdicts({name: 9 if "right" in text else 1 for name, text in shown.items()}))


def test_rows_are_judged_and_what_is_trained_on_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    Path("pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in PAIRS), encoding="utf-8")
    rented = knows()
    words = ["judge", "pairs.jsonl", "rented", "--limit", "8", "--preferences", "better.jsonl"]
    judged = run([*words, "--best", "best.jsonl", "--threshold", "0.5"], "Right ones say so.", rented=rented)
    assert len(judged) == 8 and judged.judge.rubric == "Right ones say so."
    assert "Right ones say so." not in rented.prompts[0], "the rubric stands in the system prompt"
    said = capsys.readouterr().err
    assert "16 of 16 items have verdicts of their own" in said and "8 rows in better.jsonl" in said
    assert len(snb.Dataset.load("better.jsonl")) == len(snb.Dataset.load("best.jsonl")) == 8
    assert snb.Dataset.load("better.jsonl").format == "preference"


def test_a_recording_and_an_evaluation_go_by_their_names(capsys: pytest.CaptureFixture[str]) -> None:
    from tests.evals.contestants import right_up_to
    from tests.evals.contestants import rows as conversations

    for n in range(3):
        record([([user(f"Task {n}")], says(text)) for text in ("right", "wrong")], name="tickets")
    CaptureStore.open("tickets")
    suite = snb.suites.rows(conversations(6), snb.Exact(), name="held_out")
    snb.evaluate({"base": right_up_to("b", 2)}, suite, name="nightly")
    assert len(run(["judge", "tickets", "rented"], rented=knows())) == 3
    assert "cannot be said yet" in capsys.readouterr().err
    assert len(run(["judge", "nightly", "mine"], mine=snb.Judge(knows(), orders=1))) == 6
    code = _judge_code.code("capture:tickets", "var:rented", "Be short.", {"limit": 2, "max_cost": 0.5})
    line = code["magic"].removeprefix("%shadow ").removesuffix(" --as judged")
    judged = run(shlex.split(line), rented=knows())
    assert len(judged) == 2 and judged.judge.rubric == "Be short." and judged.judge.max_cost == 0.5


def test_what_makes_no_sense_is_one_line() -> None:
    rows = PAIRS[:2]
    judge = snb.Judge(knows())
    for words, what in (
        (["rows", "judge", "--orders", "2"], "rubric and options of its own"),
        (["rows", "rented", "--threshold", "1"], "goes with --best"),
        (["nothing-here", "rented"], "neither a variable"),
    ):
        with pytest.raises(click.UsageError, match=what):
            run(["judge", *words], rows=rows, judge=judge, rented=knows())
    with pytest.raises(click.UsageError, match="given twice"):
        run(["judge", "rows", "rented", "--rubric", "a"], "b", rows=rows, rented=knows())
