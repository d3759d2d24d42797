"""Tasks that fill the Train form with a reason for every value, and the first steps through a Studio."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from panel_driver import ROWS, press, wait_for

import shadownb as snb
from shadownb import Dataset
from shadownb.panels import Studio, TrainPanel
from shadownb.panels._presets import PRESETS

PAIRS = [{"prompt": f"Say {n}.", "chosen": f"The number is {n}.", "rejected": "No."} for n in range(12)]
ROWS_OF = {
    "style": PAIRS,
    "rewards": ROWS,
    "facts": [{"prompt": f"Part {n}?", "completion": f"DW-{n}"} for n in range(4)],
}


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_fills_a_form_that_can_be_started_and_gives_a_reason_for_each_value(
    name: str, byte_model_dir: Path
) -> None:
    model = snb.load(str(byte_model_dir), dtype="float32")
    panel = TrainPanel(model, Dataset.from_list(ROWS_OF.get(name, ROWS)), namespace={})
    press(panel, "preset", name=name)
    preset = PRESETS[name]
    assert panel.form["problems"] == {} and panel.config is not None
    assert next(row for row in panel.methods if row["name"] == panel.method)["blocked"] is None
    assert panel.method == preset.method[0]
    for option, (value, reason) in preset.values.items():
        assert getattr(panel.config, option) == value and len(reason) > 20
        assert f"{option}=" in panel.code["python"] or value == getattr(snb.TrainConfig(method=panel.method), option)
    shown = {option: (value, why) for option, value, why in panel.preset["reasons"]}
    assert set(shown) == {"method", *preset.values}
    assert snb.registry.has("scorer", panel.preset["scorer"][0])


def test_a_preset_can_be_changed_and_an_unknown_one_is_refused() -> None:
    panel = TrainPanel(namespace={})
    press(panel, "preset", name="classify")
    press(panel, "set", values={"lora_r": "4"})
    assert panel.config.lora_r == 4 and panel.preset["name"] == "classify"
    press(panel, "preset", name="")
    assert panel.preset == {} and panel.config.lora_r == 4, "what was filled in stays"
    press(panel, "preset", name="poems")
    assert "'poems' is no preset" in panel.error["what"] and "extract-json" in panel.error["fix"]


def done(studio: Studio) -> list[str]:
    return [step["id"] for step in studio.walk["steps"] if step["done"]]


def test_the_first_steps_are_ticked_as_they_are_done_and_hidden_for_good(byte_model_dir: Path) -> None:
    studio = Studio(namespace={})
    assert studio.walk["shown"] and done(studio) == []
    assert {step["tab"] for step in studio.walk["steps"]} <= set(studio.trait_names()) | {"run"}
    press(studio.train, "choose_data", choice="sample:support-triage")
    press(studio.train, "choose_model", choice=f"path:{byte_model_dir}")
    press(studio.train, "load_model")
    wait_for(studio, "walk", lambda walk: done(studio) == ["data", "model"])
    press(studio.train, "set", values={"max_steps": "1", "sample_max_new_tokens": "0"})
    press(studio.train, "start")
    wait_for(studio, "walk", lambda walk: done(studio)[-1] == "watch")
    press(studio.chat, "send", prompt="Hi.")
    wait_for(studio, "walk", lambda walk: done(studio)[-1] == "chat")
    press(studio, "show_walk", shown=False)
    assert not studio.walk["shown"]
    studio.close()
    other: Any = Studio(namespace={})
    assert not other.walk["shown"]
    other.close()


def test_the_first_steps_are_not_shown_to_somebody_who_has_runs(byte_model_dir: Path) -> None:
    model = snb.load(str(byte_model_dir), dtype="float32")
    model.train(ROWS, max_steps=1, sample_max_new_tokens=0, background=False)
    studio = Studio(namespace={})
    assert not studio.walk["shown"]
    studio.close()
