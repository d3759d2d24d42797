"""Scored answers in the Run panel, and functions that score them in the Train panel and the magic, with real runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hand_runs import RecordingComm
from IPython.core.interactiveshell import InteractiveShell
from panel_driver import press

import shadownb
from shadownb.panels import RunPanel, TrainPanel
from shadownb.panels._code import Choice, as_magic, as_python
from tests.policy.conftest import OPTIONS, ROWS
from tests.policy.scorers import vowels


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("home")
        patch.setenv("SHADOWNB_HOME", str(folder))
        yield folder


@pytest.fixture(scope="module")
def model(byte_model_dir: Path, home: Path) -> Any:
    return shadownb.load(str(byte_model_dir), max_length=256, dtype="float32")


def wordy(prompts: list[str], completions: list[str], **columns: Any) -> list[Any]:
    """Refuses one answer of four, with a reason for the others."""
    scores = vowels(prompts, completions)
    return [
        shadownb.Score(None, "no words") if n == 3 else shadownb.Score(s, f"{s:.0%} vowels")
        for n, s in enumerate(scores)
    ]


@pytest.fixture(scope="module")
def run(model: Any) -> Any:
    options = {**OPTIONS, "max_steps": 8, "save_steps": 8}
    return model.train(ROWS, background=False, reward_fns=[wordy, vowels], **options)


def test_the_newest_answers_are_shown_with_what_the_same_prompts_were_answered_before(run: Any) -> None:
    panel = RunPanel(run)
    panel.comm = RecordingComm()
    shown = panel.answers
    assert shown["steps"] == list(range(1, 9)) and shown["step"] == 8 and shown["following"]
    groups = run.completions()
    assert [group["row"] for group in shown["groups"]] == [group["row"] for group in groups]
    for group, whole in zip(shown["groups"], groups, strict=True):
        assert [answer["completion"] for answer in group["completions"]] == [
            a["completion"] for a in whole["completions"]
        ]
        assert group["before"]["step"] in (1, 2, 3, 4), "the eight prompts were all asked in the first epoch"
        (then,) = [g for g in run.completions(group["before"]["step"]) if g["row"] == group["row"]]
        known = [answer["reward"] for answer in then["completions"]]
        assert group["before"]["mean"] == pytest.approx(sum(known) / 4, abs=1e-3)
        assert group["completions"][3]["rewards"]["wordy"] is None
        assert (
            group["completions"][3]["reasons"]["wordy"] == "no words"
            and "vowels" in group["completions"][0]["reasons"]["wordy"]
        )
    press(panel, "show_answers", step=2)
    assert (panel.answers["step"], panel.answers["following"]) == (2, False)
    assert all(group["before"] is None for group in panel.answers["groups"])
    press(panel, "show_answers")
    assert (panel.answers["step"], panel.answers["following"]) == (8, True)
    panel.close()


def test_a_run_without_scored_answers_has_no_table(model: Any) -> None:
    chats = [{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}] * 2
    run = model.train(chats, background=False, max_steps=1, sample_max_new_tokens=0, lora_r=4, start="base")
    panel = RunPanel(run)
    assert panel.answers["steps"] == []
    panel.close()


def test_functions_of_the_notebook_are_offered_and_start_a_run(model: Any) -> None:
    names = {"model": model, "rows": ROWS, "wordy": wordy, "print_it": print, "Class": int}
    panel = TrainPanel(namespace=names)
    press(panel, "choose_data", choice="var:rows")
    press(panel, "choose_model", choice="var:model")
    offered = panel.choices["functions"]["scorer"]
    assert {"name": "wordy", "group": "Notebook"} in offered and {"name": "exact", "group": "Built in"} in offered
    assert not {"print_it", "Class", "model"} & {one["name"] for one in offered}
    blocked = {row["name"]: row["blocked"] for row in panel.methods}
    assert blocked["grpo"] is None and "this data is prompt" in blocked["lora"]
    press(panel, "choose_method", name="grpo")
    (loss,) = [field for field in panel.fields if field["name"] == "loss_type"]
    assert "dr_grpo" in loss["choices"] and "grpo, rloo" in loss["help"], "the method's own, not dpo's of the same name"
    values = {"reward_fns": "wordy", "num_generations": "4", "max_completion_length": "6", "max_steps": "1",
              "sample_max_new_tokens": "0", "per_device_train_batch_size": "2"}  # fmt: skip
    press(panel, "set", values=values)
    press(panel, "choose_eval", how="none")
    assert panel.form["problems"] == {}
    assert "reward_fns=['wordy']" in panel.code["python"].replace('"', "'")
    press(panel, "start")
    assert panel.run is not None, panel.error
    panel.run.wait(timeout=60)
    assert panel.run.status == "succeeded" and panel.run.completions()[0]["completions"][0]["rewards"].keys() == {
        "wordy"
    }
    panel.close()


def test_code_names_functions_of_cells_as_cells_do() -> None:
    choice = Choice(
        data="var:rows",
        model="var:model",
        method="grpo",
        options={"reward_fns": ("__main__:words", "exact", "my.file:fn")},
    )
    assert "reward_fns=[words, 'exact', 'my.file:fn']" in as_python(choice).replace('"', "'")
    assert "- words\n- exact\n- my.file:fn" in as_magic(choice)


def test_the_magic_takes_a_function_of_a_cell(model: Any, capsys: pytest.CaptureFixture[str]) -> None:
    shell = InteractiveShell.instance()
    shell.run_line_magic("load_ext", "shadownb")
    shell.user_ns.update(model=model, rows=ROWS, wordy=wordy)
    line = (
        "train model rows --method grpo --reward-fns wordy --num-generations 4 --max-completion-length 6 --max-steps 1"
    )
    found = shell.run_line_magic("shadow", f"{line} --sample-max-new-tokens 0 --no-background --start base")
    assert found.status == "succeeded" and found.completions()[0]["completions"][0]["rewards"].keys() == {"wordy"}
