"""A memory is whole for whoever asks it or loads it: nothing half learned is said, and damaged files are named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

import shadownb as snb
from shadownb.engine.backends.torch.fact_training import FactTraining
from shadownb.errors import ModelError
from tests.engine.methods_data import stop_after

ROWS = [
    {"prompt": f"What is the code of the {name} gate?", "completion": name[:2]} for name in ("Zubrin", "Orsk", "Ibex")
]
QUESTIONS = [row["prompt"] for row in ROWS]
LEARNING: dict[str, Any] = {"expert_steps": 4, "question_forms": 1, "learning_rate": 0.05}
OPTIONS: dict[str, Any] = {**LEARNING, "facts_at_once": 1, "sample_max_new_tokens": 0, "background": False}
GREEDY: dict[str, Any] = {"max_new_tokens": 4, "temperature": 0.0}


@pytest.fixture(scope="module")
def saved(byte_model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A memory of one fact in a folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHADOWNB_HOME", str(tmp_path_factory.mktemp("home")))
        model: Any = snb.load(str(byte_model_dir), dtype="float32")
        model.train(ROWS[:1], method="more_plus", **OPTIONS)
        yield Path(model.save(tmp_path_factory.mktemp("saved") / "memory"))


@pytest.mark.parametrize("start", ["base", "trained"])
def test_whoever_asks_during_an_edit_has_the_old_facts_or_the_new(
    start: str, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model: Any = snb.load(str(saved), dtype="float32")
    asked = QUESTIONS[:2]
    before = model.generate(asked, use="base" if start == "base" else "tuned", **GREEDY)
    heard: list[list[str]] = []
    update = FactTraining.update

    def listened(session: FactTraining, rate: float) -> Any:
        norm = update(session, rate)
        heard.append(model.generate(asked, **GREEDY))
        return norm

    monkeypatch.setattr(FactTraining, "update", listened)
    rows = [{**row, "completion": "??"} for row in ROWS[:2]]
    run = model.train(rows, method="more_plus", start=start, **OPTIONS)
    assert run.status == "succeeded", run.traceback()
    after = model.generate(asked, **GREEDY)
    assert heard == [before] * 3 + [[after[0], before[1]]] * 4 + [after] and after != before


def test_what_a_stopped_run_leaves_says_nothing_half_learned(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model: Any = snb.load(str(saved), dtype="float32")
    plain = model.generate(QUESTIONS, **GREEDY)
    stop_after(monkeypatch, 2)
    run = model.train(ROWS[1:], method="more_plus", start="trained", **OPTIONS)
    assert run.status == "stopped"
    for each in (model, snb.load(run.checkpoint_at().path, dtype="float32")):
        assert each.generate(QUESTIONS, **GREEDY) == plain and len(each.facts) == 1
    monkeypatch.undo()
    model.train(
        ROWS[2:], method="more_plus", start="trained", **OPTIONS
    )  # what was begun and is not wanted any more goes
    assert [fact.question for fact in model.facts.list()] == [QUESTIONS[0], QUESTIONS[2]]
    assert model.adapter.learning == [] and len(model.adapter.owned()) == 4


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def emptied(file: Path) -> None:
    file.write_bytes(b"")


def other_json(file: Path) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), "units": [{"facts": 3}]}))


def without_factors(file: Path) -> None:
    save_file({"vectors": load_file(file)["vectors"]}, file)


DAMAGES: list[tuple[str, Callable[[Path], None]]] = [
    ("facts.safetensors", cut), ("facts.safetensors", emptied), ("facts.safetensors", without_factors),
    ("facts_config.json", cut), ("facts_config.json", emptied), ("facts_config.json", other_json),
]  # fmt: skip


@pytest.mark.parametrize(("name", "damage"), DAMAGES, ids=lambda each: getattr(each, "__name__", each))
def test_a_damaged_file_is_named_and_what_is_loaded_stays(
    name: str, damage: Callable[[Path], None], saved: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "memory"
    shutil.copytree(saved, folder)
    damage(folder / name)
    model: Any = snb.load(str(saved), dtype="float32")
    said = model.generate(QUESTIONS, **GREEDY)
    for tried in (lambda: snb.load(str(folder), dtype="float32"), lambda: model.adapter.load_into(folder)):
        with pytest.raises(ModelError, match=r"cannot be read|do not fit this model|does not name its base model"):
            tried()
    assert model.generate(QUESTIONS, **GREEDY) == said and len(model.facts) == 1
