"""Options of an objective that is a file outside of the package are options of a training like any other."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Optional

import pytest
import yaml
from pydantic import BaseModel, Field

import shadownb as snb
from shadownb import methods
from shadownb._verbs import verbs_for
from shadownb._verbs.options import ConfigOption
from shadownb.cli import ShellFrontEnd
from shadownb.engine import capabilities, registry
from shadownb.engine.config_fields import config_fields
from shadownb.engine.config_objectives import _TAKEN, table_of
from shadownb.engine.estimate import estimate
from shadownb.engine.models import Model
from shadownb.engine.objectives.supervised import Supervised
from shadownb.errors import ConfigError
from shadownb.magics import NotebookFrontEnd
from shadownb.panels import _form
from tests.engine.methods_data import chats, stop_after

OPTIONS: dict[str, Any] = {"max_steps": 4, "save_steps": 2, "lora_r": 4, "learning_rate": 1e-3, "background": False}


@pytest.fixture(autouse=True)
def weighted() -> Iterator[str]:
    registry.register("objective", "toy_weighted", "tests.ports.toy_objectives:Weighted")
    methods.register(methods.get("lora").replace(name="weighted", objective="toy_weighted"))
    yield "weighted"
    methods.unregister("weighted")
    registry.unregister("objective", "toy_weighted")


def test_a_run_has_them_and_goes_on_with_them(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, heavy = (
        model.train(chats(), method="weighted", start="base", toy_weight=weight, **OPTIONS) for weight in (1.0, 3)
    )
    assert heavy.losses()[0] == pytest.approx(3 * plain.losses()[0], rel=1e-5)
    with monkeypatch.context() as patch:
        stop_after(patch, 2)
        run = model.train(chats(), method="weighted", start="base", toy_weight=3, **OPTIONS)
    assert (run.status, run.step) == ("stopped", 2)
    run = snb.runs.load(run.id)
    assert run.config.toy_weight == 3.0 and "toy_weight" in run.config.model_fields_set
    assert run.config.changed["toy_weight"] == 3.0 and "toy_words" not in run.config.changed
    run.resume(model).wait(timeout=60, raise_on_failure=True)
    assert run.losses() == heavy.losses()
    assert run.state.record["config"]["toy_weight"] == 3.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"toy_wieght": 2.0}, r"toy_wieght=2.0 is not a training option. Did you mean 'toy_weight'"),
        ({"toy_weight": 11}, r"toy_weight=11: input should be less than or equal to 10"),
        ({"toy_shape": "step"}, r"toy_shape='step': input should be 'flat' or 'steep'"),
        (
            {"beta": 0.5},
            r"beta=0.5 has no effect: weighted on torch does not use it "
            r"\(it is for dpo, kto, grpo, rloo, reinforce_pp, distill, sdft\)",
        ),
        ({"method": "lora", "toy_weight": 2}, r"toy_weight=2.0 has no effect: lora .* \(it is for weighted\)"),
        ({"method": "dpo", "desirable_weight": 2.0}, r"desirable_weight=2.0 has no effect: dpo .*it is for kto"),
    ],
)
def test_what_is_none_of_the_method_is_refused_by_name(model: Any, options: dict[str, Any], message: str) -> None:
    from tests.engine.methods_data import pairs

    rows = pairs() if options.get("method") == "dpo" else chats()
    with pytest.raises(ConfigError, match=message):
        model.train(rows, **{"method": "weighted", **OPTIONS, **options})
    assert not snb.runs.list()


def test_another_methods_default_is_no_word_of_it(home: Path) -> None:
    config = snb.TrainConfig(method="weighted", beta=0.1)
    assert config == snb.TrainConfig(method="weighted") and config.beta == 0.1
    assert "beta" not in config.to_dict()
    with pytest.raises(AttributeError):
        _ = config.betta


def test_a_config_is_the_same_in_all_its_forms() -> None:
    config = snb.TrainConfig(method="weighted", toy_weight=2, toy_words=["a", "b"], toy_shape="steep")
    assert snb.TrainConfig.from_yaml(config.to_yaml()) == config == snb.TrainConfig(**config.to_dict())
    assert snb.TrainConfig.from_yaml(config.to_yaml(only_changed=True)) == config
    assert config.replace(toy_weight=3).toy_weight == 3.0 and config.replace(toy_weight=3) != config
    assert len({config, config.replace(toy_weight=3), snb.TrainConfig(**config.to_dict())}) == 2
    wide = methods.register(methods.get("weighted").replace(name="heavy", defaults=(("toy_weight", 5.0),)))
    try:
        assert (
            snb.TrainConfig(method="heavy").toy_weight == 5.0
            and "toy_weight" not in snb.TrainConfig(method="heavy").changed
        )
        assert _form.method_defaults("heavy")["toy_weight"] == 5.0
    finally:
        methods.unregister(wide.name)


def test_forms_flags_and_help_show_them() -> None:
    field = next(field for field in config_fields() if field.name == "toy_weight")
    assert (field.kind, field.maximum, field.help) == ("float", 10, "How much longer answers count (weighted).")
    train = verbs_for(ShellFrontEnd).commands["train"]
    shown = train.get_help(train.make_context("train", [], resilient_parsing=True))
    assert "--toy-weight" in shown and "How much longer answers count" in shown and "Objective:" in shown
    typed = train.make_context("train", ["rows", "--method", "weighted", "--toy-weight", "2", "--toy-words", "a"])
    assert (typed.params["toy_weight"], typed.params["toy_words"]) == (2, ("a",))
    form = {row["name"]: row for row in _form.form_fields()}
    assert form["toy_shape"]["choices"] == ["flat", "steep"] and form["toy_words"]["advanced"]
    built, problems = _form.build("weighted", {"toy_weight": "2", "toy_words": "a\nb"}, {})
    assert built is not None and (built.toy_weight, built.toy_words) == (2.0, ("a", "b")) and not problems
    assert "10" in _form.build("weighted", {"toy_weight": "12"}, {})[1]["toy_weight"]
    assert capabilities.table()["weighted"]["toy_weight"] and not capabilities.table()["lora"]["toy_weight"]
    registry.unregister("objective", "toy_weighted")
    try:
        assert "--toy-weight" not in train.get_help(train.make_context("train", [], resilient_parsing=True))
    finally:
        registry.register("objective", "toy_weighted", "tests.ports.toy_objectives:Weighted")


def test_an_estimate_takes_them(model: Any) -> None:
    data = snb.Dataset.from_list(chats())
    assert estimate(model, snb.TrainConfig(method="weighted", toy_weight=2, max_steps=3), data).expected_gb > 0


def test_a_process_that_knows_nothing_of_it_reads_the_run(model: Any) -> None:
    run = model.train(chats(), method="weighted", toy_weight=2, **OPTIONS)
    code = (
        "import shadownb as snb, json\n"
        f"run = snb.runs.load({run.id!r})\n"
        "config = run.config\n"
        "print(json.dumps([config.toy_weight, config.changed.get('toy_weight'), config.to_dict()['toy_shape'],"
        " run.status, len(snb.runs.list())]))\n"
        "str(snb.runs.diff([run.id, run.id]))\n"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert said.returncode == 0, said.stderr
    assert json.loads(said.stdout) == [2.0, 2.0, "flat", "succeeded", 1]
    assert yaml.safe_load((run.path / "config.yaml").read_text())["toy_weight"] == 2.0


class Required(BaseModel):
    needed: int = Field(description="Nobody knows how many.")


class Nested(BaseModel):
    table: dict[str, float] = {}


class Twice(BaseModel):
    learning_rate: float = 0.1


class Other(BaseModel):
    toy_shape: float = 1.0
    beta: float = 0.04


class Words(BaseModel):
    words: tuple[str, ...] = ()


class Numbered(BaseModel):
    level: Literal[1, 2] = 1


class Strangers(BaseModel):
    """What people write who never saw a table of ours."""

    decay: Optional[float] = None  # noqa: UP045
    terms: list[str] = Field(default_factory=list)
    loud: bool = False


class Broken(Supervised):
    """An objective whose table is set by the test."""

    options = Required


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (Required, "'needed' of the objective 'broken' cannot be used: it has no default"),
        (Nested, r"'table' of .* a dict\[str, float\] can be neither"),
        (Words, "'words' of .* every training has something of that name"),
        (Numbered, r"'level' of .* can be neither"),
        (Twice, "'learning_rate' of .* every training has something of that name"),
    ],
)
def test_a_table_that_cannot_be_shown_is_refused_where_it_is_used(
    table: type[BaseModel], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Broken, "options", table)
    registry.register("objective", "broken", f"{__name__}:Broken")
    methods.register(methods.get("lora").replace(name="broken", objective="broken"))
    try:
        with pytest.raises(ConfigError, match=message):
            table_of("broken")
        with pytest.raises(ConfigError, match=message):
            capabilities.check(snb.TrainConfig(method="broken", needed=1))
        assert snb.TrainConfig(method="lora").method == "lora", "and nobody else is kept from anything"
        assert not {"needed", "words", "level", "table"} & {field.name for field in config_fields()}
    finally:
        methods.unregister("broken")
        registry.unregister("objective", "broken")


def test_a_table_as_strangers_write_it_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Broken, "options", Strangers)
    registry.register("objective", "strange", f"{__name__}:Broken")
    methods.register(methods.get("lora").replace(name="strange", objective="strange"))
    try:
        found = {field.name: (field.kind, field.optional, field.default) for field in config_fields()}
        assert found["decay"] == ("float", True, None)
        assert (found["terms"], found["loud"]) == (("list", False, []), ("bool", False, False))
        config = snb.TrainConfig(method="strange", decay=0.5, terms=["a"], loud=True)
        assert snb.TrainConfig.from_yaml(config.to_yaml()) == config and hash(config) == hash(config.replace())
        train = verbs_for(ShellFrontEnd).commands["train"]
        typed = train.make_context(
            "train", ["rows", "--decay", "none", "--terms", "a", "--terms", "b", "--loud"]
        ).params
        assert (typed["decay"], typed["terms"], typed["loud"]) == (None, ("a", "b"), True)
        assert snb.TrainConfig(method="strange", terms=list(typed["terms"])).terms == ["a", "b"]
    finally:
        methods.unregister("strange")
        registry.unregister("objective", "strange")


def test_two_objectives_may_have_an_option_of_one_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Broken, "options", Other)
    registry.register("objective", "other", f"{__name__}:Broken")
    methods.register(methods.get("lora").replace(name="other", objective="other"))
    try:
        assert [snb.TrainConfig(method=name).beta for name in ("dpo", "other")] == [0.1, 0.04]
        assert "beta" not in snb.TrainConfig(method="other", beta=0.04).changed
        assert _form.method_defaults("other")["beta"] == 0.04
        found = {field.name: field for field in config_fields()}
        assert (found["toy_shape"].kind, found["toy_shape"].listed) == ("str", ())
        assert found["beta"].help.endswith("(dpo, kto, grpo, rloo, reinforce_pp, distill, sdft, other).")
        assert snb.TrainConfig(method="other", toy_shape="2").toy_shape == 2.0
    finally:
        methods.unregister("other")
        registry.unregister("objective", "other")


def test_no_option_takes_the_name_of_something_that_a_verb_or_a_call_has() -> None:
    """It would be typed into the other one, in silence."""
    train = verbs_for(NotebookFrontEnd).commands["train"]
    own = {str(param.name) for param in train.params if not isinstance(param, ConfigOption)}
    own |= set(inspect.signature(Model.train).parameters) - {"self", "fields", "method"}
    assert own <= _TAKEN, own - _TAKEN
