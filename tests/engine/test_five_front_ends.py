"""One config, five faces: API, panel form, %shadow option, command-line flag and YAML key are the same set."""

from __future__ import annotations

import inspect

import click
import pytest
import yaml

from shadownb import magics
from shadownb._verbs import verbs_for
from shadownb._verbs.front_end import FrontEnd
from shadownb._verbs.options import ConfigOption
from shadownb._verbs.train import read_yaml
from shadownb.cli import ShellFrontEnd
from shadownb.engine.config import TrainConfig
from shadownb.engine.config_fields import config_fields
from shadownb.engine.config_objectives import option_names
from shadownb.engine.models import Model
from shadownb.panels import TrainPanel, _code, _form

API = set(option_names())
FRONT_ENDS = [magics.NotebookFrontEnd, ShellFrontEnd]


def train_options(front_end: type[FrontEnd]) -> dict[str, click.Option]:
    """Return the options of ``train`` by the flag a user types."""
    params = verbs_for(front_end).commands["train"].params
    return {flag: param for param in params if isinstance(param, click.Option) for flag in param.opts}


@pytest.mark.parametrize("front_end", FRONT_ENDS)
def test_flags_are_the_config_fields(front_end: type[FrontEnd]) -> None:
    generated = {flag for flag, option in train_options(front_end).items() if isinstance(option, ConfigOption)}
    assert generated == {f"--{name.replace('_', '-')}" for name in API}


def test_panel_form_is_the_config_fields() -> None:
    # The method has a picker of its own in the panel.
    assert {field["name"] for field in _form.form_fields()} | {"method"} == API


def test_yaml_keys_are_the_config_fields() -> None:
    """A config writes every training's options and those of its method; the others of a file are known, too."""
    written = {
        name
        for method in ("lora", "dpo", "kto", "more_plus", "more", "grpo", "distill", "sdft")
        for name in yaml.safe_load(TrainConfig(method=method).to_yaml())
    }
    assert written == API
    every = yaml.safe_dump({field.name: field.default for field in config_fields()})
    assert set(read_yaml(every, ShellFrontEnd())) == API


def test_yaml_that_a_run_writes_is_accepted_and_equal() -> None:
    config = TrainConfig(
        max_steps=7,
        learning_rate=1e-3,
        sample_prompts=["a, b", "c"],
        target_modules="q_proj,v_proj",
    )
    assert TrainConfig(**read_yaml(config.to_yaml(), ShellFrontEnd())) == config


def test_the_magic_that_the_panel_copies_is_accepted() -> None:
    options = {"max_steps": 7, "learning_rate": 1e-3, "sample_prompts": ("a, b", "c"), "packing": True}
    choice = _code.Choice(
        data="sample:support-triage",
        model="alias:smollm2-135m",
        method="lora",
        options=options,
        eval_data=0.15,
        load_options={"dtype": "float32"},
        start="base",
    )
    first, _, body = _code.as_magic(choice).partition("\n")
    assert first == "%%shadow train"
    values = read_yaml(body, ShellFrontEnd())
    assert {name: values[name] for name in ("model", "dataset", "eval_dataset", "start", "dtype")} == {
        "model": "smollm2-135m",
        "dataset": "support-triage",
        "eval_dataset": 0.15,
        "start": "base",
        "dtype": "float32",
    }
    assert TrainConfig(**{k: v for k, v in values.items() if k in API}) == TrainConfig(**options)


@pytest.mark.parametrize("front_end", FRONT_ENDS)
def test_what_a_run_starts_from_is_an_argument_on_every_face(front_end: type[FrontEnd]) -> None:
    assert "start" in inspect.signature(Model.train).parameters and "start" not in API
    assert "--start" in train_options(front_end) and read_yaml("start: base", ShellFrontEnd()) == {"start": "base"}
    assert "start" in TrainPanel.class_trait_names(sync=True)
    choice = _code.Choice(data="var:rows", model="var:model", method="lora", options={}, start="trained")
    assert 'start="trained"' in _code.as_python(choice) and "start: trained" in _code.as_magic(choice)


@pytest.mark.parametrize("front_end", FRONT_ENDS)
@pytest.mark.parametrize("field", config_fields(), ids=lambda field: field.name)
def test_help_choices_and_kind_come_from_the_field(front_end: type[FrontEnd], field: object) -> None:
    from shadownb.engine.config_fields import ConfigField

    assert isinstance(field, ConfigField)
    option = train_options(front_end)[f"--{field.name.replace('_', '-')}"]
    assert (option.help or "").startswith(field.help)
    assert option.multiple == (field.kind == "list")
    assert bool(option.is_bool_flag) == (field.kind == "bool")
    if field.choices:
        assert isinstance(option.type, click.Choice)
        assert tuple(option.type.choices) == field.choices


@pytest.mark.parametrize("field", config_fields(), ids=lambda field: field.name)
def test_a_typed_default_is_the_default(field: object) -> None:
    """Typing the default of any option gives the config that leaving it out gives."""
    from shadownb.engine.config_fields import ConfigField

    assert isinstance(field, ConfigField)
    if field.default is None and field.kind == "bool":
        pytest.skip("an unset switch cannot be typed")
    flag = f"--{field.name.replace('_', '-')}"
    if field.kind == "bool":
        words = [flag if field.default else flag.replace("--", "--no-", 1)]
    elif field.kind == "list":
        words = [part for value in field.default for part in (flag, value)]
    else:
        words = [flag, "none" if field.default is None else str(field.default)]
    assert parsed(words) == TrainConfig()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--max-steps", "40"], {"max_steps": 40}),
        (["--max_steps", "40"], {"max_steps": 40}),
        (["--learning-rate=2e-4"], {"learning_rate": 2e-4}),
        (["--eval-steps", "10"], {"eval_steps": 10}),
        (["--eval-steps", "0.25"], {"eval_steps": 0.25}),
        (["--packing", "--no-use-rslora"], {"packing": True}),
        (
            ["--sample-prompts", "a, b", "--sample-prompts", "c"],
            {"sample_prompts": ("a, b", "c")},
        ),
        (
            ["--target-modules", "q_proj,v_proj"],
            {"target_modules": ("q_proj", "v_proj")},
        ),
        (
            ["--lr-scheduler-type", "cosine_with_min_lr"],
            {"lr_scheduler_type": "cosine_with_min_lr"},
        ),
        (["--no-assistant-only-loss"], {"loss_on": "all"}),
    ],
)
def test_typed_values_reach_the_config(words: list[str], expected: dict[str, object]) -> None:
    config = parsed(words)
    for name, value in expected.items():
        assert getattr(config, name) == value
        assert type(getattr(config, name)) is type(value)


def parsed(words: list[str]) -> TrainConfig:
    """Return the config that typed flags make."""
    from shadownb._verbs.options import given

    with verbs_for(ShellFrontEnd).commands["train"].make_context("train", words, obj=ShellFrontEnd()):
        return TrainConfig(**given(API))
