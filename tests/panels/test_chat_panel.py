"""The Chat panel with a real tiny model that has been trained: both sides, streaming, stopping, proof of the base."""

from __future__ import annotations

import itertools
import json
import re
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from panel_driver import ROWS, press, send, wait_for

import shadownb
from shadownb import Dataset
from shadownb.engine.models import Model
from shadownb.engine.replies import Part
from shadownb.errors import ModelError
from shadownb.panels import ChatPanel

SHORT: dict[str, Any] = {"max_new_tokens": 12, "seed": "7"}


@pytest.fixture(scope="module")
def model(tiny_model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Model]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHADOWNB_HOME", str(tmp_path_factory.mktemp("home")))
        loaded = shadownb.load(str(tiny_model_dir), dtype="float32")
        data = Dataset.from_list(ROWS)
        run = loaded.train(data, max_steps=6, learning_rate=0.05, sample_max_new_tokens=0, background=False)
        assert run.status == "succeeded"
        yield loaded


@pytest.fixture
def panel(model: Model) -> Iterator[ChatPanel]:
    made = ChatPanel(model)
    press(made, "settings", values=SHORT)
    yield made
    made.close()


def answers(panel: ChatPanel, turn: int = -1) -> dict[str, str]:
    return {name: side["text"] for name, side in panel.turns[turn]["sides"].items()}


def watch_notes(panel: ChatPanel) -> set[str]:
    """Return a set to which every note is added that the panel shows beside an answer."""
    notes: set[str] = set()
    real = panel.send_state

    def watch(*args: Any, **options: Any) -> None:
        notes.update(side["note"] for turn in panel.turns for side in turn["sides"].values())
        real(*args, **options)

    panel.send_state = watch  # type: ignore[method-assign]
    return notes


class ScriptedStream:
    """Stands in for a stream whose pace the test decides."""

    completion = None

    def __init__(self, pieces: Iterator[str | Part]) -> None:
        self._pieces = pieces

    def parts(self) -> Iterator[Part]:
        return (piece if isinstance(piece, Part) else Part("content", piece) for piece in self._pieces)


def test_the_base_side_is_what_a_fresh_base_answers_with_the_same_seed(panel: ChatPanel, tiny_model_dir: Path) -> None:
    press(panel, "send", prompt="Say 3.")
    both = answers(panel)
    fresh = shadownb.load(str(tiny_model_dir), dtype="float32")
    asked = {"max_new_tokens": 12, "seed": 7, "temperature": 0.7, "top_p": 0.95}
    assert both["base"] == "".join(fresh.stream("Say 3.", **asked))
    assert both["tuned"] != both["base"]
    assert panel.turns[0]["seed"] == 7
    sides = panel.turns[0]["sides"]
    assert "base" in sides["base"]["badge"] and "step 6" in sides["tuned"]["badge"]


def test_the_base_is_proven_untouched_and_a_touched_one_is_found(panel: ChatPanel, model: Model) -> None:
    import torch

    press(panel, "send", prompt="Say 3.")
    assert panel.base_check["stage"] == "ready" and panel.base_check["ok"]
    weight = next(p for name, p in model.module.named_parameters() if "lora_" not in name)
    with torch.no_grad():
        before = weight[0, 0].clone()
        weight[0, 0] += 1
        try:
            press(panel, "check_base")
        finally:
            weight[0, 0] = before
    assert not panel.base_check["ok"] and "1 of" in panel.base_check["detail"]


def test_pieces_arrive_in_order_at_most_ten_times_a_second(panel: ChatPanel, monkeypatch: pytest.MonkeyPatch) -> None:
    def stream(*_: Any, **__: Any) -> ScriptedStream:
        def pieces() -> Iterator[str]:
            for n in range(60):
                time.sleep(0.01)
                yield f"{n}👍 "

        return ScriptedStream(pieces())

    monkeypatch.setattr(Model, "stream", stream)
    seen: list[tuple[float, dict[str, Any]]] = []
    panel.observe(lambda change: seen.append((time.perf_counter(), change["new"])), names=["delta"])
    press(panel, "send", prompt="hi")
    for name, text in answers(panel).items():
        mine = [(at, delta) for at, delta in seen if delta["side"] == name]
        assert "".join(delta["text"] for _, delta in mine) == text
        for (_, before), (_, after) in itertools.pairwise(mine):
            assert after["at"] == before["at"] + len(before["text"].encode("utf-16-le")) // 2
        assert 3 <= len(mine) <= 10 * (mine[-1][0] - mine[0][0]) + 2


def test_stop_ends_the_answer_and_keeps_what_is_there(panel: ChatPanel) -> None:
    press(panel, "settings", values={"max_new_tokens": 400, "temperature": 1.5})
    begun = threading.Event()
    panel.observe(lambda _: begun.set(), names=["delta"])
    send(panel, "send", prompt="Say 3.")
    assert begun.wait(60)
    press(panel, "stop")
    sides = panel.turns[-1]["sides"]
    assert (sides["tuned"]["status"], sides["base"]["status"]) == ("stopped", "stopped")
    assert sides["tuned"]["text"] and not sides["base"]["text"] and not panel.busy
    press(panel, "settings", values=SHORT)
    press(panel, "send", prompt="again")
    assert panel.turns[-1]["sides"]["base"]["status"] == "done"


def test_each_side_remembers_its_own_conversation(panel: ChatPanel, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, list[dict[str, str]]]] = []

    def stream(_: Model, messages: Any, *, use: str, **__: Any) -> ScriptedStream:
        asked.append((use, list(messages)))
        if len(messages) > 4:
            raise RuntimeError("too long")
        return ScriptedStream(iter([f"I am {use}"]))

    monkeypatch.setattr(Model, "stream", stream)
    press(panel, "settings", values={"system": "Be brief."})
    for prompt in ("one", "two", "three"):
        press(panel, "send", prompt=prompt)
    use, messages = asked[3]
    assert (use, [m["content"] for m in messages]) == ("base", ["Be brief.", "one", "I am base", "two"])
    failed = panel.turns[2]["sides"]["tuned"]
    assert failed["status"] == "failed" and "too long" in failed["error"]["what"]


@pytest.mark.parametrize("knows", [{"enable_thinking": "thinking"}, {}])
def test_reasoning_is_apart_and_not_said_back_to_the_model(
    panel: ChatPanel, monkeypatch: pytest.MonkeyPatch, knows: dict[str, str]
) -> None:
    asked: list[Any] = []

    def stream(_: Model, messages: Any, **options: Any) -> ScriptedStream:
        asked.append((messages, options.get("enable_thinking"), options.get("reasoning_effort")))
        call = Part("malformed", "<tool_call>{", reason="it is not valid JSON")
        return ScriptedStream(iter([Part("reasoning", "Hm"), Part("reasoning", "."), Part("content", "Yes. "), call]))

    monkeypatch.setattr(Model, "stream", stream)
    monkeypatch.setitem(vars(panel.model.renderer), "known_variables", knows)
    panel.refresh()
    press(panel, "settings", values={"compare": False, "enable_thinking": True, "reasoning_effort": "high"})
    for prompt in ("one", "two"):
        press(panel, "send", prompt=prompt)
    side = panel.turns[0]["sides"]["tuned"]
    assert (side["reasoning"], side["text"]) == ("Hm.", "Yes. <tool_call>{")
    assert [m["content"] for m in asked[1][0]] == ["one", "Yes. <tool_call>{", "two"]
    offered, told, code = panel.model_state["template_options"], asked[0][1:], panel.code["python"]
    assert "reasoning_effort" not in code, "what the template does not know is not told, it would be refused"
    if knows:
        assert (offered, told) == ({"enable_thinking": [True, False]}, (True, None)) and "enable_thinking=True" in code
    else:
        assert (offered, told) == ({}, (None, None)) and "enable_thinking" not in code


def test_a_page_that_loads_in_the_middle_gets_the_text_so_far(
    panel: ChatPanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    half, go_on = threading.Event(), threading.Event()

    def pieces() -> Iterator[str]:
        yield "first "
        half.set()
        go_on.wait(30)
        yield "second"

    monkeypatch.setattr(Model, "stream", lambda *_, **__: ScriptedStream(pieces()))
    press(panel, "settings", values={"compare": False})
    send(panel, "send", prompt="hi")
    assert half.wait(30)
    state = panel.get_state()["turns"]
    go_on.set()
    assert state[0]["sides"]["tuned"]["text"] == "first "
    assert panel.settle() and answers(panel) == {"tuned": "first second"}


def test_chatting_works_while_training_and_says_what_it_waits_for(tiny_model_dir: Path) -> None:
    model = shadownb.load(str(tiny_model_dir), dtype="float32")
    run = model.train(Dataset.from_list(ROWS), max_steps=400, sample_max_new_tokens=0, background=True)
    reached = threading.Event()
    run.subscribe(lambda state: reached.set() if state.step > 1 else None)
    assert reached.wait(120)
    panel = ChatPanel(model)
    notes = watch_notes(panel)
    press(panel, "settings", values=SHORT)
    press(panel, "send", prompt="Say 3.")
    sides = panel.turns[0]["sides"]
    assert run.is_active, "the run ended before the chat did: give it more steps"
    assert sides["tuned"]["status"] == sides["base"]["status"] == "done"
    assert "live weights at step" in sides["tuned"]["badge"] and any("training step" in note for note in notes)
    assert panel.model_state["training"]
    run.stop(save=False)
    run.wait()
    panel.close()


def test_the_header_follows_a_run_from_the_base_to_its_result(tiny_model_dir: Path) -> None:
    model = shadownb.load(str(tiny_model_dir), dtype="float32")
    panel = ChatPanel(model)
    assert panel.model_state["answering"] == "the base, untrained"
    run = model.train(Dataset.from_list(ROWS), max_steps=400, sample_max_new_tokens=0, background=True)
    panel.refresh()
    live = f"live weights at step [0-9]+ of run {run.id}"
    wait_for(panel, "model_state", lambda state: re.fullmatch(live, state["answering"]) is not None)
    assert panel.model_state["training"] and panel.model_state["can_compare"]
    run.stop()
    run.wait()
    wait_for(panel, "model_state", lambda state: state["answering"] == f"step {run.step} of run {run.id}")
    assert not panel.model_state["training"]
    panel.close()


def test_a_run_that_waits_in_line_changes_nothing_that_answers(tiny_model_dir: Path) -> None:
    busy, idle = (
        shadownb.load(str(tiny_model_dir), dtype="float32"),
        shadownb.load(str(tiny_model_dir), dtype="float32"),
    )
    options: dict[str, Any] = {"max_steps": 400, "sample_max_new_tokens": 0, "background": True}
    first = busy.train(Dataset.from_list(ROWS), **options)
    waiting = idle.train(Dataset.from_list(ROWS), **options)
    panel = ChatPanel(idle)
    press(panel, "settings", values=SHORT)
    press(panel, "send", prompt="Say 3.")
    assert waiting.status == "queued", "the first run ended before the chat did: give it more steps"
    assert panel.model_state["answering"] == "the base, untrained" and not panel.model_state["training"]
    assert list(panel.turns[0]["sides"]) == ["tuned"], "there is nothing to compare the base with"
    waiting.discard()
    first.discard()
    waiting.wait()
    first.wait()
    panel.close()


def test_while_a_worker_trains_the_old_weights_answer_and_then_its_result(tiny_model_dir: Path) -> None:
    model = shadownb.load(str(tiny_model_dir), dtype="float32")
    run = model.train(
        Dataset.from_list(ROWS), max_steps=400, sample_max_new_tokens=0, executor="process", background=True
    )
    panel = ChatPanel(model)
    press(panel, "settings", values=SHORT)
    stepped = threading.Event()
    run.subscribe(lambda state: stepped.set() if state.step > 1 else None)
    assert stepped.wait(120)
    notes = watch_notes(panel)
    press(panel, "send", prompt="Say 3.")
    assert run.is_active, "the run ended before the chat did: give it more steps"
    assert panel.model_state["answering"] == panel.turns[0]["sides"]["tuned"]["badge"] == "the base, untrained"
    assert not panel.model_state["training"] and notes == {""}, "no step of this process is waited for"
    run.stop()
    shadownb.runs.load(run.id).wait()  # a handle that knows no model
    wait_for(panel, "model_state", lambda state: state["answering"] == f"step {run.step} of run {run.id}")
    assert model.trained == (run.id, run.step), "the result is taken over without anybody asking"
    panel.close()


def test_an_untrained_model_answers_alone(tiny_model_dir: Path) -> None:
    panel = ChatPanel(shadownb.load(str(tiny_model_dir), dtype="float32"))
    press(panel, "settings", values=SHORT)
    press(panel, "send", prompt="Say 3.")
    assert list(panel.turns[0]["sides"]) == ["tuned"] and not panel.model_state["can_compare"]


def test_without_a_model_the_next_step_is_said() -> None:
    panel = ChatPanel()
    press(panel, "send", prompt="hi")
    assert panel.error["code"] == "model" and panel.turns == []
    with pytest.raises(ModelError):
        panel.ask("hi")


def test_clear_forgets_the_conversation(panel: ChatPanel) -> None:
    press(panel, "send", prompt="Say 3.")
    press(panel, "clear")
    assert panel.turns == []


def test_settings_stay_in_their_ranges(panel: ChatPanel) -> None:
    wrong = {"temperature": 9, "top_p": "x", "max_new_tokens": "0", "seed": "", "stop": "a\n\nb"}
    press(panel, "settings", values=wrong)
    assert {name: panel.settings[name] for name in wrong} == {
        "temperature": 2.0, "top_p": 0.95, "max_new_tokens": 1, "seed": None, "stop": ["a", "b"],
    }  # fmt: skip


def test_the_code_asks_the_same(panel: ChatPanel, model: Model, capsys: pytest.CaptureFixture[str]) -> None:
    for prompt in ("Say 3.", 'With "quotes"\nand lines'):
        press(panel, "send", prompt=prompt)
    both = answers(panel)
    capsys.readouterr()
    exec(panel.code["python"], {"model": model})
    assert capsys.readouterr().out == f"{both['tuned']}\n{both['base']}\n"


# -- asked as trained --------------------------------------------------------------------------------------------------

SORT = "Say the number.\n"
SYSTEM_ROWS = [{"messages": [{"role": "system", "content": SORT}, *row["messages"]]} for row in ROWS]


@pytest.fixture(scope="module")
def sorter_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def sorter(tiny_model_dir: Path, sorter_home: Path) -> Iterator[Model]:
    """A model whose rows have a system prompt, a quarter of them held out."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHADOWNB_HOME", str(sorter_home))
        loaded = shadownb.load(str(tiny_model_dir), dtype="float32")
        options: dict[str, Any] = {"max_steps": 6, "learning_rate": 0.05, "sample_max_new_tokens": 0}
        loaded.train(Dataset.from_list(SYSTEM_ROWS), eval_dataset=0.25, background=False, **options)
        yield loaded


@pytest.fixture
def sorting(sorter: Model, sorter_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ChatPanel]:
    monkeypatch.setenv("SHADOWNB_HOME", str(sorter_home))
    made = ChatPanel(sorter)
    press(made, "settings", values={**SHORT, "temperature": 0})
    yield made
    made.close()


def test_a_question_starts_with_the_system_prompt_of_the_rows(sorting: ChatPanel, sorter: Model) -> None:
    asked = sorting.asked
    assert (asked["system"], asked["system_words"], asked["own_system"]) == (SORT, "all 18 rows", False)
    press(sorting, "send", prompt="Say 3.")
    options = {"max_new_tokens": 12, "seed": 7, "temperature": 0}
    for side, text in answers(sorting).items():
        assert text == sorter.generate("Say 3.", system=SORT, use=side, **options)  # type: ignore[arg-type]
    assert sorting.asked["notes"] == []


def test_another_system_prompt_is_noted_until_it_is_as_trained_again(sorting: ChatPanel, sorter: Model) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        press(sorting, "settings", values={"system": "Be brief."})
        assert sorting.asked["own_system"] and "another system prompt" in sorting.asked["notes"][0]
        press(sorting, "send", prompt="Say 3.")  # the page says it, so no warning does
        press(sorting, "settings", values={"system": ""})
        assert "without a system prompt, but all 18 rows" in sorting.asked["notes"][0]
        press(sorting, "send", prompt="Say 3.")
    bare = sorter.generate("Say 3.", system=None, max_new_tokens=12, temperature=0)
    press(sorting, "clear")
    press(sorting, "send", prompt="Say 3.")
    assert answers(sorting)["tuned"] == bare
    for back in (None, SORT.replace("\n", "\r\n")):  # a page has line ends of its own
        press(sorting, "settings", values={"system": "Be brief."})
        press(sorting, "settings", values={"system": back})
        assert (sorting.asked["system"], sorting.asked["own_system"], sorting.asked["notes"]) == (SORT, False, [])


def test_a_second_question_differs_from_rows_of_one(sorting: ChatPanel) -> None:
    press(sorting, "send", prompt="Say 3.")
    assert sorting.asked["single"] and sorting.asked["earlier"] == 1
    press(sorting, "begin")
    assert not sorting.asked["single"]
    press(sorting, "send", prompt="Say 3.")
    assert sorting.turns[1]["begins"] and answers(sorting, 1) == answers(sorting, 0)
    press(sorting, "settings", values={"alone": True})
    press(sorting, "send", prompt="Say 3.")
    assert answers(sorting, 2) == answers(sorting, 0) and not sorting.asked["single"]


def test_held_out_rows_are_tried_with_their_answer_beside(sorting: ChatPanel, sorter: Model) -> None:
    run = shadownb.runs.load(sorter.trained[0])  # type: ignore[index]
    held_out = [json.loads(line) for line in Path(run.folder.spec["eval_dataset"]["path"]).read_text().splitlines()]
    assert (sorting.tries["stage"], sorting.tries["total"], len(held_out)) == ("ready", 6, 6)
    assert "held-out rows" in sorting.tries["words"]
    press(sorting, "show_row", at=2)
    question, answer = (message["content"] for message in held_out[2]["messages"][1:])
    assert (sorting.tries["text"], sorting.tries["expected"]) == (question, answer)
    press(sorting, "send", prompt="Something before.")
    press(sorting, "try_row", at=2)
    turn = sorting.turns[-1]
    assert (turn["prompt"], turn["expected"], turn["begins"]) == (question, answer, True)
    assert "held-out row of" in turn["row"] and turn["row"].endswith("3 of 6")
    alone = sorter.chat(held_out[2]["messages"][:2], max_new_tokens=12, temperature=0)
    assert answers(sorting)["tuned"] == alone.raw, "as the row is, without what was said before"
    press(sorting, "try_row", at=99)
    assert sorting.error["code"] == "model"


def test_rows_without_evaluation_data_preferences_and_texts_can_be_tried_too() -> None:
    from shadownb.engine.config import TrainConfig
    from shadownb.engine.runs.store import default_store
    from shadownb.panels._tries import tries_of

    ask = [{"role": "user", "content": "hi"}]
    good, bad = ([{"role": "assistant", "content": text}] for text in ("Hello.", "Go away."))
    sets: list[tuple[list[dict[str, Any]], tuple[str, str, str]]] = [
        (ROWS[:1], ("Say 0.", "The number is 0.", "expected")),
        ([{"prompt": ask, "chosen": good, "rejected": bad}], ("hi", "Hello.", "preferred")),
        ([{"prompt": ask, "completion": bad, "label": False}], ("hi", "Go away.", "judged bad")),
        ([{"text": "Once upon a time there was"}], ("Once upon a", " time there was", "expected to go on")),
    ]
    for rows, wanted in sets:
        spec = {
            "model": {"name": "tiny"},
            "dataset": default_store().store_rows(Dataset.from_list(rows)),
            "eval_dataset": None,
        }
        found = tries_of(default_store().create(TrainConfig(), spec).id)
        row = found.rows[0]
        assert (row.text, row.expected, row.meaning) == wanted and found.words.startswith("training rows")


def test_the_code_asks_the_same_as_trained_and_otherwise(
    sorting: ChatPanel, sorter: Model, capsys: pytest.CaptureFixture[str]
) -> None:
    for system in (None, "Be brief.", ""):
        press(sorting, "clear")
        press(sorting, "settings", values={"system": system})
        press(sorting, "send", prompt="Say 3.")
        capsys.readouterr()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exec(sorting.code["python"], {"model": sorter})
        both = answers(sorting)
        assert capsys.readouterr().out == f"{both['tuned']}\n{both['base']}\n", system
    assert "system=None" in sorting.code["python"]
    press(sorting, "try_row", at=1)
    assert SORT.strip() in sorting.code["python"] and "system=None" not in sorting.code["python"]


def test_a_model_trained_on_plain_text_goes_on_from_a_prompt(tiny_model_dir: Path) -> None:
    model = shadownb.load(str(tiny_model_dir), dtype="float32")
    texts = [{"text": f"Once upon a time there were {n} bears."} for n in range(8)]
    model.train(texts, method="cpt", max_steps=2, sample_max_new_tokens=0, background=False)
    panel = ChatPanel(model)
    press(panel, "settings", values={**SHORT, "temperature": 0})
    assert panel.asked["plain"] and panel.asked["notes"] == [] and panel.tries["text"] == "Once upon a time"
    press(panel, "send", prompt="Once upon a")
    assert answers(panel)["tuned"] == model.generate("Once upon a", template=False, max_new_tokens=12, temperature=0)
    assert "template=False" in panel.code["python"]
    press(panel, "settings", values={"plain": False})
    assert "through the chat template" in panel.asked["notes"][0]
    panel.close()


def test_the_model_of_another_run_is_picked_and_answers(panel: ChatPanel, model: Model) -> None:
    first = model.state_now[0]
    assert panel.model_state["run"] == first
    other = trained_here(model)
    press(panel, "look_for_runs")
    assert [each["id"] for each in panel.runs] == [first, other]
    press(panel, "show", run=other)
    assert panel.settle(120) and panel.model_state["run"] == other
    assert panel.model_state["answering"] == f"step 2 of run {other}"
    panel.ask("hi")
    assert panel.settle(120) and panel.turns[-1]["sides"]["tuned"]["status"] == "done"
    press(panel, "show", run="20200101-000000-lora-0000")
    assert "20200101-000000-lora-0000" in panel.error["what"] and panel.model_state["run"] == other


def test_without_a_model_a_run_can_be_picked(model: Model) -> None:
    panel, run = ChatPanel(), trained_here(model)
    press(panel, "look_for_runs")
    assert panel.model_state == {"stage": "none"} and [each["id"] for each in panel.runs] == [run]
    press(panel, "show", run=run)
    assert panel.settle(120) and panel.model_state["stage"] == "ready" and panel.model_state["run"] == run
    panel.close()


def trained_here(model: Model) -> str:
    """Return the id of a run of the same base in the home of this test."""
    loaded = shadownb.load(str(model.source), dtype="float32")
    options: dict[str, Any] = {"learning_rate": 0.05, "sample_max_new_tokens": 0, "background": False}
    run = loaded.train(Dataset.from_list(ROWS), max_steps=2, **options)
    loaded.unload()
    return run.id
