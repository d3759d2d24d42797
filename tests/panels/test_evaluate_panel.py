"""EvaluatePanel: chosen, started, watched, stopped, gone on with; items, leaderboard, code, and what goes wrong."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import pytest
from panel_driver import press, send, wait_for

import shadownb as snb
from shadownb import cli
from shadownb.errors import EndpointError
from shadownb.panels import _contestants
from shadownb.panels._evaluation_items import FILTERS, diff
from tests.evals.contestants import Polyglot, Says, Waits, right_up_to, rows, speakers


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def suite(count: int = 40, name: str = "mine") -> Any:
    return snb.suites.rows(rows(count), snb.Exact(), name=name)


def pair() -> dict[str, Says]:
    return {"base": right_up_to("a", 10), "tuned": right_up_to("b", 30)}


def opened(**options: Any) -> Any:
    panel = snb.EvaluatePanel(pair(), suite(), namespace={}, **options)
    assert panel.settle()
    return panel


def test_models_suites_and_rows_of_the_notebook_can_be_chosen() -> None:
    names = {"small": right_up_to("s", 3), "held_out": rows(4), "poems": suite(3, "poems"), "number": 3}
    panel = snb.EvaluatePanel(namespace=names)
    assert panel.settle()
    assert "var:small" in [each["id"] for each in panel.choices["models"]]
    suites = {each["id"]: each for each in panel.choices["suites"]}
    assert {"var:poems", "name:humaneval", "name:sql", "name:text"} <= set(suites)
    assert all(each["about"] for each in suites.values()), "each says in a line what it is"
    press(panel, "choose_model", choice="var:small", on=True)
    press(panel, "choose_suite", choice="var:poems", on=True)
    press(panel, "add_rows", data="var:held_out", scorer="name:exact")
    press(panel, "add_rows", data="var:held_out", scorer="name:contains")
    assert [each["id"] for each in panel.chosen["suites"]] == ["var:poems", "rows:held_out", "rows:held_out-2"]
    press(panel, "start")
    assert panel.work["stage"] == "ended", panel.work
    assert [each["name"] for each in panel.summary["suites"]] == ["poems", "held_out", "held_out-2"]
    assert panel.summary["sides"] == ["small"] and panel.summary["suites"][1]["cells"]["small"]["value"] == 0.75


def test_what_came_out_and_what_got_worse(here: Path) -> None:
    panel = opened()
    press(panel, "start")
    (mine,) = panel.summary["suites"]
    assert mine["cells"]["tuned"]["value"] == 0.75 and mine["differences"]["tuned"]["direction"] == "better"
    assert "tuned is 50.0 points above base" in panel.findings["changed"][0]
    assert panel.progress["status"] == "complete" and panel.progress["missing"] == 0
    press(panel, "compare_to", side="tuned")
    assert panel.summary["suites"][0]["differences"]["base"]["direction"] == "worse"
    press(panel, "browse", suite="mine", side="base", to="tuned", filter="worse")
    assert panel.browse["count"] == 20 and panel.browse["pages"] == 1
    first = panel.browse["items"][0]
    assert [cell["score"] for cell in first["cells"]] == [1.0, 0.0]
    press(panel, "show_item", item=first["id"])
    assert {what for what, _ in panel.item["diff"]} >= {"removed", "added"} and panel.item["between"] == [
        "tuned",
        "base",
    ]
    assert [each["side"] for each in panel.item["answers"]] == ["base", "tuned"]
    press(panel, "browse", filter="all", page=1)
    assert panel.browse["items"][0]["asked"] == "question 20" and panel.item == {}
    press(panel, "save_report", form="md")
    assert (here / panel.saved).read_text(encoding="utf-8").startswith("| suite |")
    assert "50.0 points" in panel._snapshot_text()


def test_it_is_watched_while_it_works_and_can_be_stopped_and_gone_on_with() -> None:
    slow = Waits("slow", 20)
    names = {"slow": slow}
    panel = snb.EvaluatePanel(suites=suite(), namespace=names)
    press(panel, "choose_model", choice="var:slow", on=True)
    press(panel, "set_option", name="name", value="night")
    send(panel, "start")
    assert slow.waiting.wait(60)
    wait_for(panel, "progress", lambda value: value.get("status") == "working")
    assert panel.progress["suites"][0]["state"] == "working"
    wait_for(panel, "summary", lambda value: value["suites"][0]["cells"]["slow"]["graded"] >= 16)
    assert [items for items, *_ in panel.narrowing["mine/slow"]] == [16]
    send(panel, "start")
    wait_for(panel, "error", lambda value: "evaluates already" in value.get("what", ""))
    send(panel, "stop")
    wait_for(panel, "work", lambda value: value["stage"] == "stopping")
    slow.go.set()
    assert panel.settle(60)
    assert panel.progress["status"] == "incomplete" and 0 < panel.progress["missing"] < 40
    press(panel, "go_on")
    assert panel.work["stage"] == "ended", (panel.work, panel.error)
    assert panel.progress["status"] == "complete" and panel.summary["suites"][0]["cells"]["slow"]["graded"] == 40


def test_a_killed_one_is_gone_on_with_in_another_kernel_by_a_click(here: Path) -> None:
    program = """
        import os, threading
        import shadownb as snb
        from tests.evals.contestants import Polyglot, Says, rows
        answered = []
        def answer(question, seed):
            answered.append(question)
            if len(answered) == 25:
                os.kill(os.getpid(), 9)
            return question.replace("question", "answer")
        names = {"model": Says("m", answer), "held_out": rows(40)}
        panel = snb.EvaluatePanel(namespace=names)
        panel._do_choose_model("var:model", True)
        panel._do_add_rows("var:held_out", "name:exact")
        panel._do_set_option("name", "killed")
        panel.start()
        panel.settle(60)
        """
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {root!r})\n" + textwrap.dedent(program)],
        check=False,
    )
    assert done.returncode == -9
    again = Says("m", lambda question, _: question.replace("question", "answer"))
    panel = snb.EvaluatePanel(evaluation="killed", namespace={"held_out": rows(40)})
    assert panel.settle() and panel.progress["status"] == "incomplete"
    assert panel.revival.endswith('snb.EvaluatePanel(evaluation="killed")')
    press(panel, "go_on")  # the notebook has not loaded the model yet
    assert "no variable 'model'" in panel.work["error"]["what"]
    panel._namespace = {"held_out": rows(40), "model": again}
    press(panel, "go_on")
    assert panel.progress["status"] == "complete", panel.work
    assert len(again.asked) == 24 and panel.summary["suites"][0]["cells"]["model"]["value"] == 1.0


def test_one_that_a_cell_began_says_how_to_go_on() -> None:
    snb.evaluate(pair(), suite(), name="cell", should_stop=lambda: True)
    panel = snb.EvaluatePanel(evaluation="cell", namespace={})
    press(panel, "go_on")
    assert "begun by a call" in panel.error["what"] and "name='cell'" in panel.error["fix"]


def test_one_that_another_process_makes_is_followed() -> None:
    slow = Waits("slow", 9)

    def work() -> None:
        snb.evaluate(slow, suite(), name="elsewhere", batch_rows=8, progress=lambda *_: None)

    thread = threading.Thread(target=work)
    thread.start()
    assert slow.waiting.wait(60)
    panel = snb.EvaluatePanel(evaluation="elsewhere", namespace={})
    assert panel.settle() and panel.progress["status"] == "working"
    assert panel.summary["suites"][0]["cells"]["slow"]["graded"] == 8
    slow.go.set()
    wait_for(panel, "progress", lambda value: value["status"] == "complete")
    thread.join()
    panel.close()


def test_failures_are_counted_and_can_be_asked_again() -> None:
    failing = [True]

    class Halves(Says):
        def chat(self, messages: Any, tools: Any = None, **sampling: Any) -> Any:
            replies: list[Any] = list(super().chat(messages))
            if failing[0]:
                replies = [EndpointError("503") if at % 2 else reply for at, reply in enumerate(replies)]
                error = EndpointError("some failed")
                error.replies = replies
                raise error
            return replies

    model = Halves("rented", lambda question, _: question.replace("question", "answer"))
    panel = snb.EvaluatePanel(suites=suite(), namespace={"rented": model})
    press(panel, "choose_model", choice="var:rented", on=True)
    press(panel, "start")
    cell = panel.summary["suites"][0]["cells"]["rented"]
    assert (cell["graded"], cell["unanswered"], cell["value"]) == (20, 20, 1.0)
    assert "gave no answer to 20 questions (503" in panel.findings["missing"][0]
    press(panel, "browse", filter="no_answer")
    assert panel.browse["count"] == 20 and panel.browse["items"][0]["cells"][1]["words"] == "no answer"
    failing[0] = False
    press(panel, "go_on")
    assert panel.summary["suites"][0]["cells"]["rented"]["unanswered"] == 0
    assert panel.summary["suites"][0]["cells"]["rented"]["graded"] == 40


def test_hanging_scorers_and_items_over_the_context_are_shown(
    tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from shadownb.engine.evals.suites import own_rows

    monkeypatch.setattr(own_rows, "_SECONDS", 0.5)

    def hangs(output: str, expected: str) -> float:
        while expected == "answer 1" and output != expected:
            pass
        return 0.0

    model = snb.load(str(tiny_model_dir), dtype="float32")
    long = {"messages": [{"role": "user", "content": "x" * 5000}, {"role": "assistant", "content": "y"}]}
    mine = snb.suites.rows([*rows(4), long], hangs, name="mine")
    panel = snb.EvaluatePanel(model, mine, namespace={"model": model})
    press(panel, "set_option", name="max_new_tokens", value="4")
    press(panel, "start")
    assert panel.work["stage"] == "ended", panel.work
    (told,) = panel.summary["suites"]
    cell = told["cells"][panel.summary["sides"][0]]
    assert (cell["graded"], cell["unanswered"], cell["ungraded"]) == (3, 1, 1)
    assert any("no answer to 1 question " in line and "tokens" in line for line in panel.findings["missing"])
    assert any("1 answer " in line and "could not be graded" in line for line in panel.findings["missing"])
    press(panel, "browse", filter="ungraded")
    press(panel, "show_item", item=panel.browse["items"][0]["id"])
    assert "0.5 s" in panel.item["answers"][0]["samples"][0]["reason"]


def test_runs_and_checkpoints_are_asked_beside_the_base(tiny_model_dir: Path) -> None:
    model = snb.load(str(tiny_model_dir), dtype="float32")
    own = rows(6)
    run = model.train(own, max_steps=4, save_steps=2, learning_rate=1e-2, sample_max_new_tokens=0, background=False)
    names = {"model": model, "own": own}
    panel = snb.EvaluatePanel(suites="text", namespace=names)
    assert panel.settle()
    ids = [each["id"] for each in panel.choices["models"]]
    wanted = ["var:model/base", "var:model/tuned", f"run:{run.id}", f"checkpoint:{run.id}/2"]
    assert set(wanted) <= set(ids)
    for choice in wanted:
        press(panel, "choose_model", choice=choice, on=True)
    press(panel, "add_rows", data="var:own", scorer="name:exact")
    press(panel, "set_option", name="limit", value="3")
    press(panel, "set_option", name="max_new_tokens", value="6")
    press(panel, "start")
    assert panel.work["stage"] == "ended", panel.work
    assert panel.summary["sides"] == ["base", "tuned", run.id, "step 2"]
    text = panel.summary["suites"][0]["cells"]
    assert text["tuned"]["value"] == pytest.approx(text[run.id]["value"], abs=1e-4)
    assert len({round(text[side]["value"], 6) for side in ("base", "tuned", "step 2")}) == 3, "three sets of weights"
    assert panel.summary["origins"]["step 2"] == {"model": model.name, "run": run.id, "step": 2}
    press(panel, "show_board", suite="text")
    assert {(each["run"], each["step"]) for each in panel.board["entries"]} >= {(run.id, 4), (run.id, 2)}
    # From a shell: base, tuned and a checkpoint by one command.
    shell = ["eval", run.id, "text", "--checkpoint", "2", "--limit", "3", "--name", "shell"]
    assert cli.main(shell) == 0
    found = snb.Evaluation.open("shell")
    assert found.sides == ("base", "tuned", "step 2")
    assert found.cell("text", "step 2").mean.value == pytest.approx(text["step 2"]["value"], abs=1e-4)
    assert cli.main([*shell[:3], "--checkpoint", "3"]) == 2
    # What was chosen means the same where no variable has the model.
    again = _contestants.again(wanted, names)
    assert again[1] == f"load:{run.id}/tuned" and again[2:] == wanted[2:]
    contestants = _contestants.Contestants()
    found = contestants.open({"tuned": again[1], "step 2": again[3]}, {})
    assert found["tuned"].model is found["step 2"].model and found["tuned"].model is not model


def test_a_checkpoint_never_gets_the_answers_of_the_tuned_weights(tiny_model_dir: Path) -> None:
    model = snb.load(str(tiny_model_dir), dtype="float32")
    own = [{"prompt": f"Say {n}.", "completion": "yes yes"} for n in range(6)]
    run = model.train(
        own,
        max_steps=60,
        save_steps=2,
        save_total_limit=40,
        learning_rate=1e-2,
        sample_max_new_tokens=0,
        background=False,
    )
    early = snb.Contender(model, use=run.checkpoint_at(2))
    mine = snb.suites.rows(own, snb.Exact(), name="mine")
    found = snb.evaluate([snb.Contender(model, use="tuned"), early], mine, max_new_tokens=8)
    texts = {side: [each.turns[0].text for each in found.items("mine", side)] for side in found.sides}
    assert found.sides == ("tuned", "step 2") and texts["tuned"] != texts["step 2"]


def test_the_code_does_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    names = {"small": right_up_to("s", 3), "other": right_up_to("o", 2), "held_out": rows(4)}
    panel = snb.EvaluatePanel(namespace=names)
    for name in ("small", "other"):
        press(panel, "choose_model", choice=f"var:{name}", on=True)
    assert panel.code == {}
    press(panel, "add_rows", data="var:held_out", scorer="name:exact")
    press(panel, "set_option", name="name", value="as-code")
    scope = dict(names)
    exec(panel.code["python"], scope)
    assert scope["evaluation"].name == "as-code" and scope["evaluation"].cell("held_out", "small").mean.value == 0.75
    press(panel, "start")  # the same evaluation, and nothing is asked again
    assert panel.work["stage"] == "ended", panel.work
    assert len(names["small"].asked) == 4


def test_variables_that_do_anything_when_they_are_looked_at_hide_no_others() -> None:
    class Hostile:
        def __getattr__(self, name: str) -> Any:
            raise RuntimeError("do not touch me")

    panel = snb.EvaluatePanel(namespace={"mine": Hostile(), "small": right_up_to("s", 3), "poems": suite(2, "poems")})
    assert panel.settle() and panel.error == {}
    assert "var:small" in [each["id"] for each in panel.choices["models"]]
    assert "var:poems" in [each["id"] for each in panel.choices["suites"]]


def test_what_is_wrong_is_said(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    panel = snb.EvaluatePanel(namespace={})
    press(panel, "start")
    assert panel.error["what"] == "No models chosen."
    for name, value, said in (
        ("limit", "0", "whole number"),
        ("samples", "many", "whole number"),
        ("temperature", "warm", "number"),
        ("name", "../x", "letters"),
    ):
        press(panel, "set_option", name=name, value=value)
        assert said in panel.chosen["problems"].get(name, "")
    press(panel, "set_option", name="samples", value="3")
    press(panel, "set_option", name="temperature", value="")
    assert "Several samples need one" in panel.chosen["problems"]["temperature"]
    panel = snb.EvaluatePanel({"a": right_up_to("a", 1)}, "sql", namespace={})
    monkeypatch.setenv("SHADOWNB_DATA", str(here / "nothing"))
    press(panel, "start")
    assert panel.work["stage"] == "failed" and "SQL-Eval" in panel.work["error"]["what"]
    press(panel, "open", name="nowhere")
    assert "no evaluation 'nowhere'" in panel.error["what"]


def test_a_difference_is_told_by_words_and_long_ones_by_lines() -> None:
    assert diff("SELECT a FROM t", "SELECT b FROM t") == [
        ["same", "SELECT "],
        ["removed", "a"],
        ["added", "b"],
        ["same", " FROM t"],
    ]
    assert diff("answer 22", "no idea") == [["removed", "answer 22"], ["added", "no idea"]]
    assert diff("a b", "a b c") == [["same", "a b"], ["added", " c"]]
    long = "word " * 3000
    assert "".join(text for what, text in diff(long, long + "\nmore") if what != "removed") == long + "\nmore"
    assert list(FILTERS) == [
        "all", "worse", "better", "flipped", "failed", "timed_out", "extraction", "cut", "no_answer", "ungraded"
    ]  # fmt: skip


def test_studio_has_it_and_chooses_its_model(tiny_model_dir: Path) -> None:
    model = snb.load(str(tiny_model_dir), dtype="float32")
    studio = snb.Studio(namespace={"model": model})
    assert studio.settle()
    assert studio.evaluate.chosen["models"] == ["var:model/base"]
    model.train(rows(6), max_steps=1, sample_max_new_tokens=0, background=False)
    studio.evaluate.take_model(model)
    assert studio.settle() and studio.evaluate.chosen["models"] == ["var:model/base", "var:model/tuned"]
    press(studio.evaluate, "choose_model", choice="var:model/base", on=False)
    studio.evaluate.take_model(model)
    assert studio.settle() and studio.evaluate.chosen["models"] == ["var:model/tuned"], "somebody has chosen"
    studio.tab = "evaluate"
    studio.close()


def test_problems_by_languages_and_an_item_of_them() -> None:
    """What a square shows is what the item browser opens; another evaluation has none of it."""
    plain = snb.evaluate(pair(), suite(3), name="plain")
    panel = snb.EvaluatePanel(speakers(), Polyglot(), namespace={})
    assert panel.settle()
    press(panel, "start")
    (told,) = panel.summary["suites"]
    assert [part["name"] for part in told["parts"]] == ["js", "py", "go"] and told["has_grid"]
    press(panel, "show_grid", suite="polyglot", side="tuned")
    squares = {each["id"]: each for line in panel.grid["lines"] for each in line["squares"] if each is not None}
    assert panel.grid["parts"] == ["js", "py", "go"] and len(squares) == 6
    assert squares["py/1"] == {"id": "py/1", "score": 1.0, "before": 0.0} and squares["go/0"]["score"] is None
    press(panel, "browse", suite="polyglot", side="tuned", to="base", filter="all", item="py/1")
    assert panel.item["id"] == "py/1" and panel.browse["suite"] == "polyglot"
    press(panel, "compare_to", side="tuned")
    assert panel.grid["to"] == "tuned"
    press(panel, "open", name=plain.name)
    assert panel.grid == {}
    press(panel, "show_grid", suite="mine", side="tuned")
    assert "no problem in several parts" in str(panel.error)
    panel.close()
