"""evaluate(): what is asked is kept, goes on after a kill, and is summed up with intervals."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

import shadownb as snb
from shadownb.errors import BusyError, ConfigError, DataError, ShadowWarning
from tests.evals.contestants import Refuses, Says, right_up_to, rows


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SHADOWNB_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SHADOWNB_PROGRESS", "0")
    return tmp_path / "home"


def suite(count: int = 40, **options: Any) -> Any:
    return snb.suites.rows(rows(count), snb.Exact(), name="mine", **options)


def pair() -> dict[str, Says]:
    return {"base": right_up_to("a", 10), "tuned": right_up_to("b", 30)}


def test_models_on_the_same_items_with_intervals() -> None:
    found = snb.evaluate(pair(), suite(), name="first")
    base, tuned = (found.cell("mine", side).mean for side in ("base", "tuned"))
    assert (base.value, tuned.value, tuned.items) == (0.25, 0.75, 40)
    assert tuned.low < 0.75 < tuned.high
    gap = found.difference("mine", "tuned", "base")
    assert (gap.value, gap.wins, gap.losses) == (0.5, 20, 0) and gap.low > 0.3 and gap.p_value < 1e-5
    assert "75.0 %" in str(found) and "+50.0 points" in str(found)
    assert found.regressions("mine", "tuned", "base") == []
    assert len(found.regressions("mine", "base", "tuned")) == 20
    frame = found.to_frame()
    assert len(frame) == 80 and set(frame.side) == {"base", "tuned"}
    assert frame[frame.side == "tuned"].score.sum() == 30


def test_rows_of_one_source_are_a_cluster() -> None:
    apart, together = snb.evaluate(pair(), suite()), snb.evaluate(pair(), suite(cluster="source"))
    assert together.cell("mine", "base").mean.clusters == 5 and apart.cell("mine", "base").mean.clusters == 40
    with pytest.raises(ConfigError, match="cluster='nowhere'"):
        suite(cluster="nowhere")


def test_what_was_answered_is_never_asked_again() -> None:
    first = pair()
    snb.evaluate(first, suite(), name="again")
    second = pair()
    found = snb.evaluate(second, suite(), name="again")
    assert [len(each.asked) for each in first.values()] == [40, 40]
    assert [len(each.asked) for each in second.values()] == [0, 0]
    assert found.cell("mine", "tuned").mean.value == 0.75
    more = snb.evaluate(pair(), [suite(), snb.suites.rows(rows(3), snb.Exact(), name="more")], name="again")
    assert more.suites == ("mine", "more") and more.cell("more", "tuned").mean.items == 3
    assert "again" in snb.evaluations.list() and snb.evaluations.open("again").suites == ("mine", "more")


def test_another_question_under_the_same_name_is_refused() -> None:
    snb.evaluate(pair(), suite(), name="taken")
    with pytest.raises(ConfigError, match="other suite mine"):
        snb.evaluate(pair(), suite(20), name="taken")
    with pytest.raises(ConfigError, match="other sides"):
        snb.evaluate({"base": right_up_to("a", 10)}, suite(), name="taken")
    with pytest.raises(ConfigError, match=r"name='\.\./x'"):
        snb.evaluate(pair(), suite(), name="../x")


def test_a_torn_last_line_is_asked_again(home: Path) -> None:
    snb.evaluate(pair(), suite(), name="torn")
    path = home / "evaluations/torn/events.jsonl"
    text = path.read_text(encoding="utf-8")
    path.write_text(text[: int(len(text) * 0.6)], encoding="utf-8")
    assert snb.evaluations.open("torn").cell("mine", "tuned").mean.items < 40
    found = snb.evaluate(pair(), suite(), name="torn")
    assert found.cell("mine", "tuned").mean.value == 0.75 and found.cell("mine", "base").mean.items == 40


def test_an_item_that_cannot_be_asked_is_counted_and_the_rest_goes_on() -> None:
    with pytest.warns(ShadowWarning, match=r"some gave no answer to 2 questions \(A question has 7\.\)"):
        found = snb.evaluate({"some": Refuses("r", "7")}, suite(20))
    cell = found.cell("mine", "some")
    assert (cell.unanswered, cell.mean.items) == (2, 18)
    assert any("no answer to 2 questions" in line for line in found.problems())
    assert "no answer to 2 questions" in str(found)


def test_a_question_that_is_longer_than_the_context_is_counted(byte_model_dir: Path) -> None:
    """It is neither cut nor lost; what is shorter is answered."""
    model = snb.load(str(byte_model_dir), dtype="float32")
    asked = [
        {"messages": [{"role": "user", "content": text}, {"role": "assistant", "content": "yes"}]}
        for text in ("short", "long " * 400, "short, too")
    ]
    with pytest.warns(ShadowWarning, match="mine: base gave no answer to 1 question "):
        found = snb.evaluate(model, snb.suites.rows(asked, snb.Exact(), name="mine"), max_new_tokens=2)
    cell = found.cell("mine", "base")
    assert (cell.answered, cell.unanswered, cell.mean.items) == (2, 1, 2)
    assert "2,0" in found.items("mine", "base")[1].errors[0], "it says how many tokens it has"


def test_a_scorer_that_raises_costs_its_items_alone() -> None:
    def odd(output: str, expected: str) -> float:
        if expected.endswith("3"):
            raise ValueError("I do not like threes")
        return float(output == expected)

    with pytest.warns(ShadowWarning, match="4 answers of b could not be graded"):
        found = snb.evaluate(right_up_to("b", 30), snb.suites.rows(rows(40), odd, name="mine"))
    assert found.cell("mine", "b").mean.items == 36 and found.cell("mine", "b").ungraded == 4


def test_what_a_judge_could_not_grade_is_graded_by_the_next_call() -> None:
    """It was down: nothing is asked twice, what has a score keeps it, and the rest gets one."""
    down = {"3", "4"}
    judged: list[str] = []

    def judge(output: str, expected: str) -> float:
        judged.append(expected)
        if expected.removeprefix("answer ") in down:
            raise RuntimeError("no connection")
        return 1.0

    it, mine = right_up_to("it", 9), snb.suites.rows(rows(6), judge, name="mine")
    with pytest.warns(ShadowWarning, match="2 answers of it could not be graded"):
        snb.evaluate(it, mine, name="judged")
    asked = len(it.asked)
    down.clear()
    judged.clear()
    again = snb.evaluate(it, mine, name="judged")
    assert again.cell("mine", "it").mean.items == 6 and again.problems() == [] and len(it.asked) == asked
    assert sorted(judged) == ["answer 3", "answer 4"]


def test_a_suite_without_its_data_is_named_and_in_no_mean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SHADOWNB_DATA", str(tmp_path / "nothing"))
    with pytest.warns(ShadowWarning, match="sql is in no mean: The data of SQL-Eval is not here"):
        found = snb.evaluate(pair(), ["sql", suite()])
    assert found.suites == ("mine",) and "sql" in found.refused and "sql is in no mean" in str(found)
    with pytest.raises(DataError, match="SQL-Eval"):
        snb.evaluate(pair(), "sql")
    with pytest.raises(ConfigError, match="Did you mean 'humaneval'"):
        snb.evaluate(pair(), "humanevel")


def test_several_samples_and_pass_at_k() -> None:
    lucky = Says("lucky", lambda question, seed: f"answer {question.split()[1]}" if seed % 4 == 0 else "no")
    with pytest.raises(ConfigError, match="4 times the same answer"):
        snb.evaluate(lucky, suite(), samples=4)
    found = snb.evaluate(lucky, suite(), samples=4, temperature=0.8)
    assert found.cell("mine", "lucky").mean.value == 0.25
    assert found.pass_at(1, "mine", "lucky").value == pytest.approx(0.25)
    assert found.pass_at(4, "mine", "lucky").value == 1
    assert found.cell("mine", "lucky").mean.items == 40 and len(found.to_frame()) == 160


def test_limit_draws_the_same_items_for_everybody() -> None:
    found = [snb.evaluate(pair(), suite(), limit=10) for _ in range(2)]
    ids = [[each.item.id for each in one.items("mine", "base")] for one in found]
    assert ids[0] == ids[1] and len(ids[0]) == 10
    assert [number.split("-")[0] for number in ids[0]] != [str(number) for number in range(10)]


def test_a_system_prompt_makes_another_contender() -> None:
    asked: list[Any] = []

    class Listens(Says):
        def chat(self, messages: Any, tools: Any = None, **sampling: Any) -> Any:
            asked.extend(messages)
            return super().chat(messages, tools, **sampling)

    model = Listens("m", lambda question, _: question)
    snb.evaluate({"plain": model, "prompted": snb.Contender(model, system="Be brief.")}, suite(2))
    assert [turns[0]["role"] for turns in asked] == ["user", "user", "system", "system"]
    assert asked[2][0]["content"] == "Be brief."
    with pytest.raises(ConfigError, match="Two of those evaluated"):
        snb.evaluate([model, model], suite(2))


def test_somebody_else_is_at_work(home: Path) -> None:
    started: list[int] = []

    def answer(question: str, _: int) -> str:
        started.append(1)
        with pytest.raises(BusyError, match="at work"):
            snb.evaluate(pair(), suite(2), name="busy")
        return question

    snb.evaluate(Says("slow", answer), suite(1), name="busy")
    assert started


def test_conditions_hold_fail_or_cannot_be_said() -> None:
    found = snb.evaluate(pair(), suite(), name="gates")
    held = found.require("mine >= base + 10 points", "mine of tuned >= 50 %", "mine of base <= 0.6", "mine > base")
    assert [gate.status for gate in held] == ["passed"] * 4
    with pytest.raises(snb.GateError, match="1 of 2 conditions") as caught:
        found.require("mine of base >= tuned", "mine >= base")
    assert [gate.status for gate in caught.value.gates] == ["failed", "passed"]
    with pytest.raises(snb.GateError, match=r"undecided: mine >= 74 %.*items would decide it"):
        found.require("mine >= 74 %")
    (gate,) = found.require("mine >= 74 %", undecided="allow")
    assert gate.items_needed is not None and gate.items_needed > 1000
    for text, said in (
        ("mine is good", "cannot be read"),
        ("yours >= base", "suite='yours'"),
        ("mine >= bass", "side='bass'"),
    ):
        with pytest.raises(ConfigError, match=said):
            found.require(text)


def test_the_report_shows_what_got_worse(tmp_path: Path) -> None:
    found = snb.evaluate({"base": right_up_to("a", 30), "tuned": right_up_to("b", 28)}, suite())
    page = found.to_html(tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == page
    assert "2 items got worse from base to tuned" in page and "-answer 28" in page and "+no idea" in page
    table = found.to_markdown().splitlines()
    assert table[0].startswith("| suite | items | base | tuned | tuned minus base |") and "| 40 |" in table[2]


def test_the_folder_says_all_there_is(home: Path) -> None:
    snb.evaluate(pair(), suite(2), name="kept")
    folder = home / "evaluations/kept"
    spec = json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))
    assert spec["format"] == 1 and list(spec["suites"]) == ["mine"]
    (item, _) = (json.loads(line) for line in (folder / "items/mine.jsonl").read_text(encoding="utf-8").splitlines())
    assert item["messages"] == [{"role": "user", "content": "question 0"}] and item["expected"] == "answer 0"
    events = [json.loads(line) for line in (folder / "events.jsonl").read_text(encoding="utf-8").splitlines()]
    assert {event["type"] for event in events} == {"attempt", "answer", "verdict", "end"}
    raw = next(event for event in events if event["type"] == "answer")
    assert raw["turn"]["raw"] == "answer 0" and abs(raw["time"] - time.time()) < 600
    snb.evaluations.delete("kept")
    assert not folder.exists()


def test_what_was_forgotten_stands_beside_the_gain() -> None:
    class Knows(Says):
        def __init__(self, name: str, loss: float) -> None:
            super().__init__(name, lambda question, _: question)
            self._loss = loss

        def loss(self, rows: Any, **_: Any) -> float:
            return self._loss + len(rows[0]["text"]) / 1000

    texts = snb.suites.text([{"text": "word " * number} for number in range(2, 22)])
    with pytest.warns(ShadowWarning, match="20 answers of rented could not be graded"):
        found = snb.evaluate({"base": Knows("a", 2.0), "tuned": Knows("b", 2.5), "rented": right_up_to("c", 9)}, texts)
    gap = found.difference("text", "tuned", "base")
    assert gap.value == pytest.approx(-0.5) and gap.losses == 20 and gap.high < 0
    assert found.cell("text", "base").mean.value == pytest.approx(-2.0575)
    assert "-2.06" in str(found) and "-0.5" in str(found)
    with pytest.raises(snb.GateError, match="failed"):
        found.require("text >= base - 0.1")
    assert snb.suites.get("text").items()


def test_a_suite_that_raises_or_miscounts_is_named_and_the_others_go_on() -> None:
    class Broken:
        name, rules, sampling = "broken", (), suite().sampling

        def __init__(self, grade: Any) -> None:
            self.grade = grade

        def items(self) -> list[Any]:
            return [snb.suites.Item("one", [{"role": "user", "content": "question 1"}])]

    def raises(asked: Any) -> Any:
        raise KeyError("answer")

    for grade, said in ((raises, "KeyError: 'answer'"), (lambda asked: [], "broken gave 0 verdicts for 2 answers")):
        with pytest.warns(ShadowWarning, match="broken is in no mean"):
            found = snb.evaluate(pair(), [Broken(grade), suite()])
        assert said in found.refused["broken"] and found.cell("mine", "tuned").mean.items == 40


def test_a_scorer_that_hangs_costs_its_item_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    from shadownb.engine.evals.suites import own_rows as module

    monkeypatch.setattr(module, "_SECONDS", 0.5)

    def slow(output: str, expected: str) -> float:
        while output == "answer 2":
            pass
        return float(output == expected)

    own = [
        *rows(2),
        {"messages": [*rows(3)[2]["messages"][:1], {"role": "assistant", "content": "another"}]},
        *rows(5)[3:],
    ]
    with pytest.warns(ShadowWarning, match="1 answer of b could not be graded"):
        found = snb.evaluate(right_up_to("b", 30), snb.suites.rows(own, slow, name="mine"))
    assert found.cell("mine", "b").mean.items == 4


def test_names_that_no_file_or_condition_can_have() -> None:
    for name in ("a/b", "../x", "two words", ""):
        if name:
            with pytest.raises(ConfigError, match="A suite cannot be called"):
                snb.evaluate(pair(), snb.suites.rows(rows(2), snb.Exact(), name=name))
    assert snb.suites.rows(rows(2), lambda output, expected: 1.0).name == "rows"
