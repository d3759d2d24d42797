"""An evaluation that goes on: stopped, followed, told what it says, and ranked with the others that are kept."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest

import shadownb as snb
from shadownb.cli import main
from shadownb.engine.evals.evaluation.folder import EvaluationFolder
from shadownb.engine.evals.evaluation.leaderboard import kept_summary
from shadownb.engine.evals.evaluation.summary import summary
from shadownb.engine.inference.types import Sampling
from shadownb.errors import ConfigError, DataError
from tests.evals.contestants import Says, right_up_to, rows


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SHADOWNB_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SHADOWNB_PROGRESS", "0")
    return tmp_path / "home"


def suite(count: int = 40, name: str = "mine") -> Any:
    return snb.suites.rows(rows(count), snb.Exact(), name=name)


def pair() -> dict[str, Says]:
    return {"base": right_up_to("a", 10), "tuned": right_up_to("b", 30)}


def test_a_stopped_one_keeps_what_it_has_and_goes_on() -> None:
    stop = threading.Event()
    told: list[tuple[str, int, int]] = []

    def progress(*now: Any) -> None:
        told.append(now)
        if now[1] >= 16:
            stop.set()

    first = pair()
    found = snb.evaluate(first, suite(), name="stopped", batch_rows=8, progress=progress, should_stop=stop.is_set)
    assert found.status == "incomplete" and told[-1][2] == 80
    graded = [found.cell("mine", side).mean.items for side in found.sides]
    assert graded[0] == graded[1] == 8  # both were asked in turn, and graded at once
    second = pair()
    again = snb.evaluate(second, suite(), name="stopped", batch_rows=8)
    assert again.status == "complete" and again.cell("mine", "tuned").mean.value == 0.75
    assert sum(len(each.asked) for each in (*first.values(), *second.values())) == 80


def test_an_answer_that_was_cut_by_the_stop_is_none() -> None:
    stop = threading.Event()

    class Slow(Says):
        def chat(self, messages: Any, tools: Any = None, *, should_stop: Any = None, **sampling: Any) -> Any:
            stop.set()
            assert should_stop()
            return [
                reply.__class__(content="ans", raw="ans", finish_reason="cancelled") for reply in super().chat(messages)
            ]

    found = snb.evaluate(Slow("slow", lambda question, _: question), suite(3), name="cut", should_stop=stop.is_set)
    assert found.cell("mine", "slow").answered == 0 and found.status == "incomplete"


def test_whoever_has_it_open_sees_it_grow() -> None:
    seen: list[tuple[str, int]] = []
    opened: list[Any] = []
    told: list[str] = []

    def progress(name: str, done: int, total: int) -> None:
        if not opened:
            opened.append(snb.evaluations.open("live"))
        opened[0].refresh()
        seen.append((opened[0].status, opened[0].cell("mine", "tuned").mean.items))
        told.extend(opened[0].problems())

    snb.evaluate(pair(), suite(), name="live", batch_rows=10, progress=progress)
    assert {status for status, _ in seen} == {"working"}
    assert told == [], "what is being asked is not missing"
    counts = [count for _, count in seen]
    assert counts == sorted(counts) and len(set(counts)) == 5
    opened[0].refresh()
    assert opened[0].status == "complete" and opened[0].difference("mine", "tuned", "base").wins == 20


def test_what_got_worse_is_said_first_and_a_gain_with_its_cost() -> None:
    class Knows(Says):
        def __init__(self, name: str, known: int, loss: float) -> None:
            answers = right_up_to(name, known)
            super().__init__(name, answers._answer)
            self._loss = loss

        def loss(self, given: Any, **_: Any) -> float:
            return self._loss + len(given[0]["text"]) / 1000

    texts = snb.suites.text([{"text": "word " * number} for number in range(2, 22)])
    lost = snb.suites.rows(list(reversed(rows(40)))[:20], snb.Exact(), name="lost")

    class Swapped(Knows):
        def chat(self, messages: Any, tools: Any = None, **sampling: Any) -> Any:
            return super().chat(messages)

    sides = {"base": Knows("a", 5, 2.0), "tuned": Swapped("b", 20, 2.5)}
    sides["base"]._answer = lambda question, _: (
        f"answer {question.split()[1]}" if int(question.split()[1]) >= 18 else "no"
    )
    found = snb.evaluate(sides, [suite(20), lost, texts], name="said")
    told = found.findings()
    assert told[0].startswith("lost: tuned is 100.0 points below base (") and "20 items got worse" in told[0]
    assert told[1].startswith("text: tuned is 0.5 below base")
    assert "mine: tuned is 90.0 points above base (+59.6 to +100.0" in told[2] and "On text it lost 0.5 (" in told[2]
    page, text = found.to_html(), found.to_markdown()
    for report in (page, text, str(found)):
        assert report.index("lost: tuned is") < report.index("mine: tuned is")
    assert "<svg" in page and "items that would show it" in text and "```diff" in text
    without = snb.evaluate(pair(), suite(), name="without").findings()
    assert without[1].endswith("ask the suite 'text', too.")
    unsure = snb.evaluate(
        {"base": right_up_to("a", 20), "tuned": right_up_to("b", 22)}, suite(), name="unsure"
    ).findings()
    assert "cannot be said" in unsure[0] and "items would show a difference of this size" in unsure[0]


def test_a_report_survives_what_answers_may_hold(tmp_path: Path) -> None:
    nasty = "```\n| <script>alert(1)</script> ````"
    models = {"base": right_up_to("a", 40), "tuned": Says("b", lambda question, _: nasty)}
    found = snb.evaluate(models, suite(6), name="nasty")
    assert "<script>" not in found.to_html()
    text = found.to_markdown(tmp_path / "report.md")
    assert (tmp_path / "report.md").read_text(encoding="utf-8") == text
    assert "`````diff" in text  # longer than any fence within


def test_the_summary_is_plain_json() -> None:
    found = snb.evaluate(pair(), [suite(), suite(1, "one")], name="plain")
    told = json.loads(json.dumps(summary(found), allow_nan=False))
    mine = told["suites"][0]
    assert mine["cells"]["tuned"]["value"] == 0.75 and mine["differences"]["tuned"]["direction"] == "better"
    assert summary(found, "tuned")["suites"][0]["differences"]["base"]["direction"] == "worse"


def test_the_leaderboard_ranks_only_what_was_asked_the_same(home: Path) -> None:
    assert str(snb.evaluations.leaderboard()) == "Nothing evaluated yet."
    snb.evaluate(pair(), suite(), name="first")
    snb.evaluate({"other": right_up_to("c", 35), "same": right_up_to("d", 30)}, suite(), name="second")
    snb.evaluate({"easy": right_up_to("e", 30)}, suite(20), name="third")
    board = snb.evaluations.leaderboard("mine")
    told = [(entry.group, entry.place, entry.side) for entry in board.entries]
    assert told[0] == (1, 1, "other") and set(told[1:3]) == {(1, 2, "tuned"), (1, 2, "same")}
    assert told[3:] == [(1, 4, "base"), (2, 1, "easy")]
    assert "87.5 %" in str(board) and "mine, other items (2)" in board._repr_html_()
    assert board.to_frame().evaluation[0] == "second"
    assert snb.evaluations.leaderboard("other").entries == []
    (home / "evaluations/third/evaluation.json").write_text("{", encoding="utf-8")  # one that cannot be read
    assert len(snb.evaluations.leaderboard("mine").entries) == 4


def test_a_kept_summary_is_renewed_when_there_is_more(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    snb.evaluate(pair(), suite(), name="kept")
    folder = EvaluationFolder.named("kept")
    first = kept_summary(folder)
    assert kept_summary(folder) == first and (home / "evaluations/kept/summary.json").exists()
    snb.evaluate(pair(), [suite(), suite(3, "more")], name="kept")
    assert [each["name"] for each in kept_summary(folder)["suites"]] == ["mine", "more"]


def test_the_verb_writes_a_report_and_scores_by_a_function(
    tiny_model_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows(4)), encoding="utf-8")
    report = tmp_path / "report.md"
    words = ["eval", str(tiny_model_dir), "--dtype", "float32", "--rows", str(path), "--ignore", "source"]
    words += ["--rows-name", "mine", "--max-new-tokens", "2", "--report"]
    assert main([*words, str(report)]) == 0
    assert "mine" in capsys.readouterr().out and report.read_text(encoding="utf-8").startswith("| suite |")
    assert main([*words, str(tmp_path / "report.html"), "--require", "mine >= 50 %"]) == 1
    assert "do not hold" in capsys.readouterr().err
    assert (tmp_path / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_a_person_is_deleted_from_evaluations(home: Path) -> None:
    named = [
        {
            "messages": [
                {"role": "user", "content": "question 3 of Zoë Quill-Adams"},
                {"role": "assistant", "content": "answer 3"},
            ]
        }
    ]
    mine = snb.suites.rows([*rows(3), *named], snb.Exact(), name="mine")
    gossip = Says("gossip", lambda question, _: "ask Zoë Quill-Adams" if question == "question 1" else question)
    snb.evaluate({"quiet": right_up_to("a", 9), "gossip": gossip}, mine, name="kept")
    (home / "answers").mkdir(exist_ok=True)
    with contextlib.closing(
        sqlite3.connect(home / "answers" / "lm-eval-1.db")
    ) as cache:  # as the harness keeps answers
        cache.execute("CREATE TABLE kept (key TEXT, value BLOB)")
        cache.execute("INSERT INTO kept VALUES ('1', ?)", ["ask Zoë Quill-Adams".encode()])
        cache.commit()
    before = snb.captures.delete(where="Zoë Quill-Adams", dry_run=True)
    assert before.answers == 3 and snb.evaluations.open("kept").cell("mine", "quiet").mean.items == 4
    assert snb.captures.delete(where="Zoë Quill-Adams").answers == 3
    left = snb.evaluations.open("kept")
    assert (left.cell("mine", "quiet").mean.items, left.cell("mine", "gossip").mean.items) == (3, 2)
    assert not any(b"Quill" in path.read_bytes() for path in home.rglob("*") if path.is_file())


def test_what_is_there_so_far_is_no_beginning_of_a_sorted_suite() -> None:
    told: list[int] = []

    def progress(name: str, done: int, total: int) -> None:
        told.append(done)

    model = right_up_to("a", 40)
    found = snb.evaluate(
        {"a": model},
        suite(),
        name="sorted",
        batch_rows=4,
        progress=progress,
        should_stop=lambda: bool(told) and told[-1] >= 12,
    )
    asked = [int(question.split()[1]) for question in model.asked]
    assert len(asked) == 12 and asked != list(range(12)) and found.cell("mine", "a").mean.items == 12
    assert all(asked[at] % 4 == 0 and asked[at + 3] == asked[at] + 3 for at in (0, 4, 8)), "neighbours stay together"


def test_text_with_other_line_ends_than_a_newline_is_read_again(tmp_path: Path) -> None:
    """U+2028 and U+0085 stand in people's text, and JSON leaves them as they are."""
    said = "one\u2028two\x85three\x0cfour"
    turns = [{"role": "user", "content": said}, {"role": "assistant", "content": "yes"}]
    mine = snb.suites.rows([{"messages": turns}], snb.Exact(), name="mine")
    found = snb.evaluate(Says("it", lambda *_: "yes"), mine, name="lines")
    (item,) = found.items("mine", "it")
    assert item.item.messages[0]["content"] == said and item.score == 1.0
    given = tmp_path / "given.jsonl"
    line = json.dumps({"task_id": "HumanEval/0", "completion": f"    return '{said}'"}, ensure_ascii=False)
    given.write_text(f"{line}\n", encoding="utf-8")
    answer = snb.suites.samples(given).answer_to(snb.suites.Item("HumanEval/0", []), 0)
    assert answer.content == f"    return '{said}'"


def test_a_suite_that_calls_two_items_the_same_is_refused() -> None:
    """Answers and verdicts are kept by the item's name: one of the two would be lost."""

    class Twins:
        name, rules, sampling = "twins", (), Sampling()

        def items(self) -> list[snb.suites.Item]:
            return [snb.suites.Item("same", [{"role": "user", "content": each}]) for each in "ab"]

        def grade(self, asked: Any) -> list[snb.suites.Verdict]:
            return [snb.suites.Verdict(1.0) for _ in asked]

    with pytest.raises(DataError, match="Two items of twins are called 'same'"):
        snb.evaluate(Says("it", lambda *_: ""), Twins())


def test_another_scorer_makes_other_scores() -> None:
    """Of rows with a name of their own; neither is a score ranked beside those of another scorer or another sampling."""
    strict, lenient = (snb.suites.rows(rows(4), scorer, name="mine") for scorer in (snb.Exact(), "contains"))
    it = Says("it", lambda *_: "answer 1 and more")
    snb.evaluate(it, strict, name="first")
    with pytest.raises(ConfigError, match="suite mine"):
        snb.evaluate(it, lenient, name="first")
    snb.evaluate(it, lenient, name="second")
    snb.evaluate(it, lenient, name="third", max_new_tokens=3)
    assert [(entry.place, entry.group) for entry in snb.evaluations.leaderboard("mine").entries] == [
        (1, 1),
        (1, 2),
        (1, 3),
    ]
