"""The Train panel with real data, a real tiny model and real runs; the page is driven through its synced traits."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from IPython.core.interactiveshell import InteractiveShell
from panel_driver import ROWS, press, send, wait_for

import shadownb
from shadownb import Dataset
from shadownb.engine import methods
from shadownb.engine.config_fields import config_fields
from shadownb.engine.methods.spec import GROUPS
from shadownb.engine.models import Model
from shadownb.errors import BusyError
from shadownb.panels import TrainPanel, _choices, _machine
from shadownb.panels._form import build, form_fields


@pytest.fixture(scope="module")
def module_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(autouse=True)
def home(module_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One home for the whole file: the model remembers the run that trained it."""
    monkeypatch.setenv("SHADOWNB_HOME", str(module_home))
    return module_home


@pytest.fixture(scope="module")
def model(tiny_model_dir: Path, module_home: Path) -> Model:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHADOWNB_HOME", str(module_home))
        loaded = shadownb.load(str(tiny_model_dir), dtype="float32")
        assert loaded.base_hash
        return loaded


@pytest.fixture
def panel(model: Model) -> Iterator[TrainPanel]:
    made = TrainPanel(namespace={"model": model, "data": Dataset.from_list(ROWS), "rows": ROWS})
    made.settle()
    yield made
    made.close()


def ids(choices: list[dict[str, Any]]) -> list[str]:
    return [choice["id"] for choice in choices]


# -- data ------------------------------------------------------------------------------------------------------------


def test_variables_of_every_data_kind_are_offered_and_nothing_else() -> None:
    namespace = {
        "d": Dataset.from_list(ROWS),
        "rows": ROWS,
        "frame": pd.DataFrame({"text": ["a"]}),
        "n": 3,
        "names": ["x"],
    }
    found = ids(_choices.data_choices({**namespace, "_hidden": ROWS}))
    assert found == ["var:d", "var:rows", "var:frame", "sample:support-triage", "sample:support-triage:heldout"]


def test_bad_rows_are_counted_and_listed_with_their_place(panel: TrainPanel, tmp_path: Path) -> None:
    path = tmp_path / "mixed.jsonl"
    lines = [json.dumps(row) for row in ROWS[:3]]
    path.write_text("\n".join([*lines, '{"messages": [{"content": "no role"}]}', "not json"]), encoding="utf-8")
    press(panel, "choose_data", choice=f"file:{path}")
    state = panel.data_state
    assert (state["stage"], state["format"], state["valid"], state["bad_count"]) == ("ready", "chat", 3, 2)
    assert [bad["row"] for bad in state["bad"]] == [4, 5]
    assert state["preview"][0] == [
        {"role": "user", "text": "Say 0."},
        {"role": "assistant", "text": "The number is 0."},
    ]
    assert f"file:{path}" in ids(panel.choices["data"])


@pytest.mark.parametrize(
    ("content", "said"), [(None, "no file"), ("", ""), ('{"colour": "red"}\n{"colour": "blue"}\n', "colour")]
)
def test_data_that_cannot_be_used_is_a_card(panel: TrainPanel, tmp_path: Path, content: str | None, said: str) -> None:
    path = tmp_path / "x.jsonl"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    press(panel, "choose_data", choice=f"file:{path}")
    card = panel.data_state["error"]
    assert panel.data_state["stage"] == "failed" and panel.dataset is None
    assert said.lower() in card["what"].lower() and card["fix"] and card["code"] == "data"


def test_the_choice_made_last_wins(panel: TrainPanel, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = threading.Event()
    real = _choices.open_data

    def slow(choice: str, *rest: Any) -> Any:
        if choice == "var:rows":
            opened.wait(30)
        return real(choice, *rest)

    monkeypatch.setattr(_choices, "open_data", slow)
    send(panel, "choose_data", choice="var:rows")
    send(panel, "choose_data", choice="sample:support-triage")
    opened.set()
    assert panel.settle()
    assert panel.data_state["choice"] == "sample:support-triage" and len(panel.dataset) > len(ROWS)


def test_the_inspector_shows_the_tokens_that_are_trained(panel: TrainPanel) -> None:
    press(panel, "choose_data", choice="var:data")
    press(panel, "choose_model", choice="var:model")
    press(panel, "inspect", row=3)
    trained = "".join(text for _, text, on, _ in panel.inspection["sequences"][0] if on)
    assert "The number is 3." in trained and "Say 3." not in trained
    press(panel, "set", values={"loss_on": "all"})
    press(panel, "inspect", row=3)
    assert "Say 3." in "".join(text for _, text, on, _ in panel.inspection["sequences"][0] if on)


def test_the_inspector_leaves_the_learned_prompt_its_positions(model: Model) -> None:
    text = Dataset.from_list([{"text": "One sentence after the other. " * 20}])
    panel = TrainPanel(model, text, namespace={})
    press(panel, "choose_method", name="prompt")
    press(panel, "set", values={"num_virtual_tokens": "480"})
    press(panel, "inspect", row=0)
    (cut,) = panel.inspection["sequences"]
    assert len(cut) == 512 - 480 and panel.inspection["truncated"] > 0


def test_the_inspector_follows_method_and_length_and_cuts_as_training_does(model: Model) -> None:
    text = Dataset.from_list([{"text": "One sentence after the other. " * 20}, {"text": "Short."}])
    panel = TrainPanel(model, text, namespace={})
    press(panel, "set", values={"max_length": "32"})
    press(panel, "inspect", row=0)
    (cut,) = panel.inspection["sequences"]
    assert len(cut) == 32 and panel.inspection["truncated"] > 0
    press(panel, "choose_method", name="cpt")  # which loses no token
    windows = panel.inspection["sequences"]
    assert len(windows) > 2 and {len(window) for window in windows[:-1]} == {32}
    assert panel.inspection["truncated"] == 0 and panel.inspection["captions"][:2] == ["part 1", "part 2"]
    assert "part 1" in panel.inspection["summary"] and "rewrites" not in panel.inspection["summary"]
    press(panel, "set", values={"max_length": "3"})
    assert panel.config is None and panel.inspection["sequences"] == windows, "still of the last form that was right"
    press(panel, "inspect", row=1)
    assert "option is wrong" in panel.inspection["error"]["what"]
    press(panel, "set", values={"max_length": ""})
    assert [len(sequence) for sequence in panel.inspection["sequences"]] == [panel.inspection["total"]]
    assert panel.inspection["row"] == 1
    press(panel, "choose_method", name="dpo")
    assert "dpo needs" in panel.inspection["error"]["what"]
    panel.close()


# -- model and method ------------------------------------------------------------------------------------------------


def test_a_model_is_loaded_on_the_worker_while_options_still_answer(
    panel: TrainPanel, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, may_end = threading.Event(), threading.Event()

    def slow(name: str, options: Any) -> Model:
        begun.set()
        may_end.wait(30)
        return model

    monkeypatch.setattr(_machine, "load_model", slow)
    press(panel, "choose_model", choice="path:somewhere")
    assert panel.model_state["stage"] == "chosen"
    send(panel, "load_model")
    assert begun.wait(30)
    send(panel, "set", values={"max_steps": "0"})
    assert panel._writer.wait(30)
    assert panel.model_state["stage"] == "loading" and "somewhere" in panel.model_state["phase"]
    assert panel.form["problems"] == {"max_steps": "must be at least 1"}
    may_end.set()
    assert panel.settle() and panel.model_state["stage"] == "ready" and panel.model is model


def test_a_model_that_does_not_exist_is_a_card_and_can_be_tried_again(panel: TrainPanel) -> None:
    press(panel, "choose_model", choice="path:smollm2-134m")
    press(panel, "load_model")
    assert panel.model_state["stage"] == "failed"
    assert "smollm2-135m" in panel.model_state["error"]["what"]


def test_methods_come_from_the_registry_with_the_reason_where_blocked(panel: TrainPanel) -> None:
    press(panel, "choose_model", choice="var:model")
    assert [row["name"] for row in panel.methods] == [spec.name for spec in methods.available()]
    rows = {row["name"]: row for row in panel.methods}
    assert rows["lora"]["blocked"] is None and 0 < rows["lora"]["share"]["share"] < 1
    assert "4 bits" in rows["qlora"]["blocked"] and rows["qlora"]["share"] is None
    for spec in methods.available():
        row = rows[spec.name]
        assert (row["title"], row["hint"], row["data"]) == (spec.title, spec.hint, spec.data_shape)
        assert float(row["rate"]) == spec.default_learning_rate and row["rate_source"] == spec.rate_source
        told = panel.model.blocked(spec.name)  # as code where a cell would help, in the panel by the switch's name
        assert row["blocked"] == told if "quantize=" not in str(told) else "4 bits" in row["blocked"]
    methods.register(methods.get("lora").replace(name="wide", title="Wide LoRA"))
    try:
        press(panel, "refresh")
        assert "wide" in [row["name"] for row in panel.methods]
    finally:
        methods.unregister("wide")


def test_methods_stand_in_groups_and_one_that_the_data_does_not_suit_says_so(panel: TrainPanel) -> None:
    press(panel, "choose_data", choice="var:data")
    order = [row["group"] for row in panel.methods]
    assert sorted(order, key=list(GROUPS.values()).index) == order
    for row in panel.methods:
        if "chat" not in methods.get(row["name"]).data_formats:
            assert row["data"] in row["blocked"] and "chat" in row["blocked"]


def test_each_method_that_can_be_used_has_its_memory_and_it_follows_what_moves_it(
    panel: TrainPanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    real = _machine.estimate

    def counted(model: Any, config: Any, *rest: Any) -> dict[str, Any]:
        asked.append(config.method)
        return real(model, config, *rest)

    press(panel, "choose_data", choice="var:data")
    assert panel.memory == {}
    press(panel, "choose_model", choice="var:model")
    usable = {row["name"] for row in panel.methods if row["blocked"] is None}
    assert set(panel.memory) == usable
    assert panel.memory["lora"]["expected_gb"] == panel.estimate["expected_gb"], "one figure for one thing"
    assert panel.memory["full"]["expected_gb"] > panel.memory["lora"]["expected_gb"]
    monkeypatch.setattr(_machine, "estimate", counted)
    press(panel, "set", values={"learning_rate": "1e-3", "seed": "1"})
    assert asked == ["lora"], "only the chosen one, whose time is estimated as well"
    press(panel, "set", values={"per_device_train_batch_size": "16"})
    assert set(asked) == usable - {"more_plus"}, "whose batch is of facts"


def test_the_share_of_trained_weights_is_what_training_really_trains(panel: TrainPanel) -> None:
    press(panel, "choose_data", choice="var:data")
    press(panel, "choose_model", choice="var:model")
    press(panel, "set", values={"lora_r": "4", "max_steps": "1", "sample_max_new_tokens": "0"})
    said = next(row["share"]["count"] for row in panel.methods if row["name"] == "lora")
    press(panel, "start")
    panel.run.wait()
    trained = sum(p.numel() for name, p in panel.model.module.named_parameters() if "lora_" in name)
    assert said == trained


# -- what a run starts from --------------------------------------------------------------------------------------------


def start_titles(panel: TrainPanel) -> dict[str, str]:
    return {choice["id"]: choice["title"] for choice in panel.start["choices"]}


def train(panel: TrainPanel) -> Any:
    """Press the button, and return the run once the panel knows its end."""
    press(panel, "start")
    run = panel.run
    wait_for(panel, "run_state", lambda state: state["stage"] == "ended" and state["id"] == run.id)
    assert panel.settle(120)
    return run


def losses(run: Any) -> list[float]:
    return [row["loss"] for row in run.metrics if "loss" in row]


def test_training_again_is_the_same_again_and_training_on_is_a_choice(tiny_model_dir: Path) -> None:
    model = shadownb.load(str(tiny_model_dir), dtype="float32")
    panel = TrainPanel(model, ROWS, namespace={})
    press(panel, "set", values={"max_steps": "2", "sample_max_new_tokens": "0", "learning_rate": "0.02"})
    assert (panel.start["choice"], list(start_titles(panel)), panel.start["copy_gb"]) == ("base", ["base"], None)
    runs = []
    for choice in (None, None, "trained"):
        if choice is not None:
            press(panel, "start_from", choice=choice)
        shown = next(row for row in panel.plan if row["label"] == "Starts from")["value"]
        runs.append(train(panel))
        assert runs[-1].started_from in (shown, shown.replace("fresh ", ""))
    first, again, on = runs
    assert losses(again) == losses(first) and on.parent == again.id
    assert start_titles(panel)["trained"] == f"Train on from step 2 of run {on.id}"
    carried = {row["name"] for row in panel.methods if row["blocked"] is None}
    others = {"grpo", "rloo", "reinforce_pp", "ppo", "distill", "sdft"}
    assert carried == {"lora", *others}, "those that train the adapter that is carried"
    press(panel, "start_from", choice="base")
    assert "full" in {row["name"] for row in panel.methods if row["blocked"] is None}
    panel.close()


def test_a_tuned_model_is_trained_on_and_again_from_there(tiny_model_dir: Path) -> None:
    tuned = shadownb.load(str(tiny_model_dir), dtype="float32")
    options: dict[str, Any] = {"max_steps": 2, "sample_max_new_tokens": 0, "background": False}
    first = tuned.train(ROWS, **options)
    panel = TrainPanel(tuned, ROWS, namespace={})
    press(panel, "set", values={"max_steps": "2", "sample_max_new_tokens": "0"})
    assert panel.start["choice"] == "trained"
    started = []
    for _ in range(2):
        started.append(train(panel).started_from)
    assert panel.start["choice"] == "first" and started == [f"step 2 of run {first.id}"] * 2
    panel.close()


def test_a_fresh_copy_is_one_click_and_leaves_the_model_alone(tiny_model_dir: Path) -> None:
    tuned = shadownb.load(str(tiny_model_dir), dtype="float32")
    tuned.train(ROWS, max_steps=1, sample_max_new_tokens=0, background=False)
    panel = TrainPanel(namespace={"tuned": tuned, "rows": ROWS})
    press(panel, "choose_data", choice="var:rows")
    press(panel, "choose_model", choice="var:tuned")
    assert panel.start["copy_gb"] == pytest.approx(tuned.weights.base_bytes / 1e9)
    press(panel, "fresh_copy")
    copy = panel.model
    assert copy is not tuned and copy.trained is None and panel.start["choice"] == "base"
    assert panel.model_state["choice"] == "copy:tuned" and "copy:tuned" in ids(panel.choices["models"])
    assert "tuned.fresh_copy()" in panel.code["python"]
    press(panel, "choose_model", choice="var:tuned")
    press(panel, "choose_model", choice="copy:tuned")
    assert panel.model is copy and panel.model_state["stage"] == "ready"
    panel.close()


# -- options ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("learning_rate", "-1", "must be above 0"),
        ("max_steps", "0", "must be at least 1"),
        ("max_steps", "many", "must be a whole number"),
        ("lora_r", "5000", "must be at most 1024"),
        ("lora_dropout", "1", "must be below 1"),
    ],
)
def test_a_wrong_value_stands_below_its_field(panel: TrainPanel, name: str, value: str, message: str) -> None:
    press(panel, "set", values={name: value})
    assert panel.form["problems"] == {name: message} and panel.config is None
    press(panel, "set", values={name: ""})
    assert panel.form["problems"] == {} and panel.config.changed == {}


def test_an_option_the_method_cannot_honour_is_refused_by_name(panel: TrainPanel) -> None:
    press(panel, "set", values={"lora_r": "8"})
    press(panel, "choose_method", name="full")
    assert "lora_r" in panel.form["unsupported"] and list(panel.form["problems"]) == ["lora_r"]
    press(panel, "reset")
    assert panel.form["problems"] == {}


def test_a_contradiction_is_said_once_both_fields_are_right_alone() -> None:
    config, problems = build("lora", {"assistant_only_loss": "true", "loss_on": "all"}, {})
    assert config is None and "loss_on" in problems[""]


def test_every_option_but_the_method_is_in_the_form_with_a_title_of_its_own() -> None:
    fields = form_fields()
    assert [f["name"] for f in fields] == [field.name for field in config_fields() if field.name != "method"]
    assert len({f["title"] for f in fields}) == len(fields)


def test_a_default_of_the_method_is_what_an_empty_field_means_and_can_be_changed(panel: TrainPanel) -> None:
    methods.register(methods.get("lora").replace(name="packed", defaults=(("packing", True),)))
    try:
        press(panel, "choose_method", name="packed")
        assert panel.form["resolved"]["packing"] is True and panel.config.packing and panel._chosen.options == {}
        press(panel, "set", values={"packing": False})
        assert not panel.config.packing and panel._chosen.options == {"packing": False}
        press(panel, "set", values={"packing": True})
        assert panel.config.packing and panel._chosen.options == {}
    finally:
        methods.unregister("packed")


def test_advanced_changes_are_counted(panel: TrainPanel) -> None:
    press(panel, "set", values={"seed": "1", "weight_decay": "0.01", "max_steps": "3"})
    assert panel.form["changed_advanced"] == 1  # weight_decay is its default, max_steps is a simple field


# -- estimate, plan, hardware ----------------------------------------------------------------------------------------


def of_the_run(estimate: dict[str, Any]) -> float:
    """Return what a run takes, without what the process holds already, which is another amount at any moment."""
    return sum(gb for name, gb in estimate["lines"] if name != "this process besides the weights")


def test_plan_and_estimate_follow_the_options(panel: TrainPanel) -> None:
    press(panel, "choose_data", choice="var:data")
    assert panel.plan == [] and panel.estimate == {"stage": "none"}
    press(panel, "choose_model", choice="var:model")
    press(panel, "start_from", choice="base")  # the model has been trained by other tests
    press(panel, "set", values={"max_steps": "7"})
    plan = {row["label"]: row["value"] for row in panel.plan}
    assert plan["Steps"] == "7 steps of 8 rows" and plan["Learning rate"].startswith("0.0005")
    trains = next(row for row in panel.plan if row["label"] == "Trains")
    assert trains["value"].startswith("adapters on 14 layers of 7 kinds (q_proj, ")
    assert trains["reason"] == "frozen: embeddings (train_embeddings trains them), norms"
    press(panel, "set", values={"target_modules": "attention"})
    trains = next(row for row in panel.plan if row["label"] == "Trains")
    assert trains["value"] == "adapters on 8 layers of 4 kinds (q_proj, k_proj, v_proj, o_proj)"
    assert trains["reason"].startswith("frozen: gate_proj, up_proj, down_proj (not in target_modules), ")
    press(panel, "set", values={"target_modules": ""})
    found = panel.estimate
    assert found["stage"] == "ready" and found["low_gb"] <= found["expected_gb"] <= found["high_gb"]
    assert abs(sum(gb for _, gb in found["lines"]) - found["expected_gb"]) < 0.01
    before = of_the_run(found)
    press(panel, "choose_method", name="full")
    assert of_the_run(panel.estimate) > before


PAIR = {"prompt": "Say 3.", "chosen": "The number is 3.", "rejected": "No."}


@pytest.mark.parametrize(
    ("method", "rows", "values", "held"),
    [
        ("lora", ROWS, {}, None),
        ("lora", ROWS, {}, "auto"),
        ("lora", ROWS, {"packing": True, "max_length": "128"}, None),
        ("cpt", [{"text": f"Document {n}. " * (4 + 9 * n)} for n in range(9)], {"max_length": "64"}, None),
        ("cpt", [{"text": "A long one. " * 40}] * 5, {"max_length": "64", "packing": False}, None),
        ("kto", [PAIR] * 5, {}, None),
        ("dpo", [PAIR] * 5, {}, None),
    ],
)
def test_the_plan_has_the_steps_that_training_takes(
    model: Model, method: str, rows: list[dict[str, Any]], values: dict[str, Any], held: str | None
) -> None:
    """Packs, windows and a pair's two answers are what an epoch goes through, not rows."""
    panel = TrainPanel(model, Dataset.from_list(rows), namespace={})
    press(panel, "choose_eval", how=held or "none")
    press(panel, "choose_method", name=method)
    batch = {"per_device_train_batch_size": "1", "gradient_accumulation_steps": "1"}
    press(panel, "set", values={"num_train_epochs": "1", "sample_max_new_tokens": "0", **batch, **values})
    plan = {row["label"]: row for row in panel.plan}
    assert "1 passes" in plan["Steps"]["reason"], plan["Steps"]
    press(panel, "start")
    assert panel.run is not None, panel.error
    panel.run.wait()
    steps = panel.run.total_steps
    assert plan["Steps"]["value"].startswith(f"{steps} steps of 1 "), (plan["Steps"], panel.run.error)
    assert plan["Warm-up"]["value"].startswith(f"{min(5, steps // 10)} step")
    assert panel.settle(120)
    panel.close()


def test_steps_that_follow_from_packs_are_not_guessed(panel: TrainPanel, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("no rows")

    press(panel, "choose_data", choice="var:data")
    press(panel, "choose_model", choice="var:model")
    press(panel, "set", values={"num_train_epochs": "1", "packing": True})
    before = {row["label"]: row["value"] for row in panel.plan}
    assert before["Steps"] == "about 1 step of 8 packs", "a tenth is held back at random, so the rest is not known"
    monkeypatch.setattr(_machine, "estimate", broken)
    press(panel, "set", values={"max_length": "64"})
    plan = {row["label"]: row["value"] for row in panel.plan}
    assert plan["Steps"] == plan["Warm-up"] == plan["Checkpoint"] == "known once the rows are counted"
    press(panel, "set", values={"max_steps": "9"})
    assert {row["label"]: row["value"] for row in panel.plan}["Steps"] == "9 steps of 8 packs"


def test_an_estimate_that_fails_is_a_card(panel: TrainPanel, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise ZeroDivisionError("no rows")

    monkeypatch.setattr(_machine, "estimate", broken)
    press(panel, "choose_data", choice="var:data")
    press(panel, "choose_model", choice="var:model")
    assert "ZeroDivisionError" in panel.estimate["error"]["what"]


def test_hardware_lists_what_was_found(panel: TrainPanel) -> None:
    devices = {device["kind"]: device for device in panel.hardware["devices"]}
    assert devices["cpu"]["usable"] and devices[panel.hardware["recommended"]]["usable"]
    assert all(device["usable"] or device["reason"] for device in devices.values())


# -- start -----------------------------------------------------------------------------------------------------------


def test_start_trains_what_the_form_says(panel: TrainPanel) -> None:
    started: list[Any] = []
    panel.on_start(started.append)
    press(panel, "choose_data", choice="var:data")
    press(panel, "choose_model", choice="var:model")
    press(panel, "set", values={"max_steps": "2", "learning_rate": "1e-3", "sample_max_new_tokens": "0"})
    wanted = panel.config
    press(panel, "start")
    assert started == [panel.run] != [None], panel.error
    panel.run.wait()
    assert (panel.run.status, panel.run.config) == ("succeeded", wanted)
    wait_for(panel, "run_state", lambda state: state["stage"] == "ended")
    wait_for(panel, "model_state", lambda state: state.get("trained") == [panel.run.id, 2])
    assert panel.run_state == {"stage": "ended", "id": panel.run.id, "status": "succeeded"}


def test_the_form_goes_on_after_a_training_of_the_whole_model(tiny_model_dir: Path) -> None:
    own = TrainPanel(shadownb.load(str(tiny_model_dir), dtype="float32"), Dataset.from_list(ROWS), namespace={})
    press(own, "choose_method", name="full")
    press(own, "set", values={"max_steps": "1", "sample_max_new_tokens": "0"})
    press(own, "start")
    own.run.wait()
    wait_for(own, "model_state", lambda state: state.get("trained") == [own.run.id, 1])
    assert own.settle(120) and own.error == {}
    rows = {row["name"]: row for row in own.methods}
    assert rows["full"]["blocked"] is None and rows["full"]["share"]["share"] == 1
    own.close()


def test_a_start_that_is_refused_is_a_card_and_can_be_repeated(
    panel: TrainPanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(*_: Any, **__: Any) -> None:
        raise BusyError("The model is in use.", fix="Wait for it.")

    monkeypatch.setattr(Model, "train", busy)
    press(panel, "choose_data", choice="var:data")
    press(panel, "choose_model", choice="var:model")
    press(panel, "start")
    assert panel.error["what"] == "The model is in use." and panel.run_state == {"stage": "none"}
    press(panel, "dismiss")
    assert panel.error == {}


def test_start_without_data_says_what_is_missing(panel: TrainPanel) -> None:
    press(panel, "start")
    assert panel.error["code"] == "data" and panel.run is None


# -- copy as code ----------------------------------------------------------------------------------------------------


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What train was asked for, instead of training."""
    seen: list[tuple[Any, ...]] = []

    def spy(
        model: Model,
        dataset: Any,
        method: str = "lora",
        background: Any = None,
        eval_dataset: Any = None,
        start: str | None = None,
        **fields: Any,
    ):
        held = eval_dataset.fingerprint if isinstance(eval_dataset, Dataset) else eval_dataset
        config = shadownb.TrainConfig(method=method, **fields)
        data = dataset if isinstance(dataset, Dataset) else Dataset.from_list(dataset)
        begins = start or ("base" if model.trained is None else "trained")
        seen.append((model.name, data.fingerprint, held, begins, config))

    monkeypatch.setattr(Model, "train", spy)
    return seen


@pytest.fixture
def shell() -> Iterator[InteractiveShell]:
    made = InteractiveShell.instance()
    made.run_line_magic("load_ext", "shadownb")
    yield made
    made.run_line_magic("unload_ext", "shadownb")
    InteractiveShell.clear_instance()


OPTIONS = {
    "learning_rate": "1e-4",
    "max_steps": "5",
    "target_modules": "q_proj, v_proj",
    "packing": True,
    "sample_prompts": "a: b\n#c",
}


SOURCES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("var:data", {"how": "none"}),
    ("var:rows", {"how": "auto"}),
    ("var:frame", {"how": "share", "share": 0.25}),
    ("file", {"how": "data", "choice": "var:data"}),
    ("sample:support-triage", {"how": "data", "choice": "sample:support-triage:heldout"}),
)


def faces() -> Iterator[Any]:
    """Yield all combinations. A path is loaded twice, so of these every second is left to ``--full``."""
    for place, (data, evaluation) in enumerate(SOURCES):
        for model_choice, face in itertools.product(("var:model", "path"), ("python", "magic")):
            rare = model_choice == "path" and (face == "magic") == bool(place % 2)
            yield pytest.param(
                face, model_choice, data, evaluation, marks=pytest.mark.full if rare else (),
                id=f"{data}-{model_choice}-{face}",
            )  # fmt: skip


@pytest.mark.parametrize(("face", "model_choice", "data", "evaluation"), faces())
def test_the_code_does_the_same_as_the_panel(
    model: Model, tiny_model_dir: Path, tmp_path: Path, calls: list[Any], shell: InteractiveShell,
    face: str, model_choice: str, data: str, evaluation: dict[str, Any],
) -> None:  # fmt: skip
    path = tmp_path / 'with "quotes" and spaces.jsonl'
    Dataset.from_list(ROWS[:7]).save(path)
    namespace = {"model": model, "data": Dataset.from_list(ROWS), "rows": ROWS[:9]}
    namespace["frame"] = pd.DataFrame({"prompt": ["a", "b", "c"], "completion": ["1", "2", "3"]})
    panel = TrainPanel(namespace=namespace)
    press(panel, "choose_data", choice=f"file:{path}" if data == "file" else data)
    press(panel, "choose_model", choice=f"path:{tiny_model_dir}" if model_choice == "path" else model_choice)
    press(panel, "load_model")
    press(panel, "choose_eval", **evaluation)
    press(panel, "set", values=OPTIONS)
    press(panel, "start")
    assert len(calls) == 1, panel.error
    shell.user_ns.update(namespace)
    result = shell.run_cell(panel.code[face])
    assert result.success, panel.code[face]
    assert len(calls) == 2 and calls[0] == calls[1], panel.code[face]
    panel.close()


# -- how columns are read ------------------------------------------------------------------------------------------------

FRAGEN = "frage,antwort,notiz,id\n" + "".join(f"Sage {n}.,Die Zahl ist {n}.,etwas langes,{n}\n" for n in range(6))


def columns_of(panel: TrainPanel) -> dict[str, tuple[str, str | None, bool]]:
    """Each column: what it stands for, what of it is not read, whether that refuses rows."""
    return {
        column["name"]: (
            column["target"],
            column["unread"] and column["unread"]["kind"],
            bool(column["unread"] and column["unread"]["refuses"]),
        )
        for column in panel.data_state["columns"]
    }


def test_columns_are_mapped_in_the_panel_and_in_its_code(panel: TrainPanel, model: Model, tmp_path: Path) -> None:
    path = tmp_path / "fragen.csv"
    path.write_text(FRAGEN, encoding="utf-8")
    press(panel, "choose_data", choice=f"file:{path}")
    assert panel.data_state["stage"] == "failed" and "frage" in panel.data_state["error"]["what"]
    assert list(columns_of(panel)) == ["frage", "antwort", "notiz", "id"] and "prompt" in panel.data_state["targets"]
    press(panel, "map_column", column="frage", target="prompt")
    assert (panel.data_state["stage"], panel.data_state["format"]) == ("ready", "prompt")  # rows that only ask
    press(panel, "map_column", column="antwort", target="completion")
    assert panel.data_state["stage"] == "failed" and panel.data_state["bad_count"] == 6
    assert columns_of(panel)["notiz"] == ("", "text", True) and columns_of(panel)["id"] == ("", "metadata", False)
    press(panel, "map_column", column="notiz", target="ignore")
    assert (panel.data_state["stage"], panel.data_state["valid"], panel.data_state["format"]) == (
        "ready",
        6,
        "instruction",
    )
    assert columns_of(panel)["notiz"] == ("ignore", "ignored", False)
    assert panel.data_state["preview"][0][0] == {"role": "user", "text": "Sage 0."}

    press(panel, "choose_model", choice="var:model")
    press(panel, "choose_eval", how="data", choice="var:rows")  # which has none of these columns
    assert panel.eval_state["rows"] == len(ROWS)
    press(panel, "choose_eval", how="data", choice=f"file:{path}")
    code = panel.code["python"]
    mapped = 'columns={"frage": "prompt", "antwort": "completion"}, ignore=["notiz"]'
    assert f"shadownb.Dataset.load({json.dumps(str(path))}, {mapped})" in code
    assert f"eval_dataset=shadownb.Dataset.load({json.dumps(str(path))}).read_like({mapped})" in code
    made: dict[str, Any] = {"model": model}
    exec(code.split("run = ")[0], made)  # the lines that open model and data
    assert made["data"].canonical_rows() == panel.dataset.canonical_rows()
    options = yaml.safe_load(panel.code["magic"].partition("\n")[2])
    assert options["columns"] == {"frage": "prompt", "antwort": "completion"} and options["ignore"] == ["notiz"]

    press(panel, "map_column", column="notiz", target="")
    assert panel.data_state["stage"] == "failed" and panel.dataset is None and "ignore" not in panel.code["python"]
    press(panel, "choose_data", choice="var:data")
    assert "columns=" not in panel.code["python"], "other data, other columns"


def test_a_dataset_keeps_how_it_was_read_until_a_column_is_mapped(model: Model) -> None:
    rows = [{"frage": f"{n}?", "completion": f"{n}!", "label": 1, "messages_id": "a"} for n in range(4)]
    data = Dataset.from_list(rows, columns={"frage": "prompt"}, ignore=["label"])
    panel = TrainPanel(model, data, namespace={"own": data, "model": model})
    panel.settle()
    assert columns_of(panel)["frage"] == ("prompt", None, False) and columns_of(panel)["label"][0] == "ignore"
    press(panel, "map_column", column="label", target="")
    assert panel.data_state["format"] == "unpaired_preference"
    assert 'own.read_as(columns={"frage": "prompt"})' in panel.code["python"]
    panel.close()


def test_what_other_libraries_hold_is_offered_and_trained_with_the_copied_code(model: Model) -> None:
    import datasets

    held = datasets.Dataset.from_list(ROWS)
    panel = TrainPanel(namespace={"held": held, "splits": datasets.DatasetDict({"train": held}), "model": model})
    panel.settle()
    assert {"var:held"} == {one for one in ids(panel.choices["data"]) if one.startswith("var:")}
    press(panel, "choose_data", choice="var:held")
    press(panel, "choose_model", choice="var:model")
    assert panel.data_state["valid"] == len(ROWS) and "shadownb.Dataset.from_datasets(held)" in panel.code["python"]
    panel.close()
