"""What is assumed of trl, held against the installed version: this fails where trl changes, and says what."""

from __future__ import annotations

import dataclasses
import inspect
from pathlib import Path
from typing import Any

import pytest
import transformers
import trl

from shadownb.engine.backends.trl import known, options, trainer
from shadownb.errors import MethodError, MissingDependencyError

ROOT = Path(trl.__file__).parent
USABLE = [name for name in known.trainers() if not known.unusable(name)]


def test_the_version_is_a_known_one_and_others_are_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    known.check_version()
    monkeypatch.setattr(known.metadata, "version", lambda name: "1.17.3")
    with pytest.raises(MethodError, match=r"trl 1\.17\.3 is not a tested version; trl 1\.16 is"):
        known.check_version()

    def missing(name: str) -> str:
        raise known.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(known.metadata, "version", missing)
    with pytest.raises(MissingDependencyError, match="trl is not installed"):
        known.check_version()


def test_every_trainer_is_known_and_every_known_one_is_there() -> None:
    assert set(known.trainers()) == set(known.TRAINERS), "say in known.TRAINERS what data a new trainer wants"
    classes = {
        match
        for file in ROOT.rglob("*_trainer.py")
        for match in [known._class_of(file, "Trainer")]
        if match is not None and file.parent.name not in known._NOT_OWN
    }
    assert {found.trainer for found in known.trainers().values()} == classes


@pytest.mark.parametrize("name", USABLE)
def test_a_trainer_takes_what_it_is_given(name: str) -> None:
    found, here = known.found(name), known.TRAINERS[name]
    kind, config = found.trainer_class(), found.config_class()
    assert issubclass(kind, transformers.Trainer) and issubclass(config, transformers.TrainingArguments)
    taken = inspect.signature(kind.__init__).parameters
    wanted = {"model", "args", "train_dataset", "eval_dataset", "processing_class", "callbacks"}
    wanted |= {"reward_funcs"} if here.judged else set()
    wanted |= {"teacher_model"} if here.taught else set()
    assert wanted <= set(taken) or "kwargs" in taken
    unjudged = here.judged or taken.get("reward_funcs") is None
    assert unjudged, "it takes reward_funcs, which nobody gives it"
    names = {field.name for field in dataclasses.fields(config)}
    assert "max_length" in names or here.rows in ("prompts", "messages"), "max_length would be ignored"
    source = inspect.getsource(inspect.getmodule(kind))  # type: ignore[arg-type]
    for column in here.columns:
        assert f'"{column}"' in source


@pytest.mark.parametrize("name", USABLE)
def test_its_options_are_its_own_or_refused_with_a_reason(name: str) -> None:
    found = known.found(name)
    table, refused = options.table(found), options.refused(found)
    assert not set(table.model_fields) & set(refused)
    assert all(reason for reason in refused.values())
    leaks = [
        field for field in table.model_fields if any(word in field for word in ("hub", "vllm", "wandb", "push", "url"))
    ]
    assert not leaks, "an option that reaches out of this machine"
    table()  # has defaults, and they are valid


def test_telemetry_has_one_place_that_is_overridden() -> None:
    places = {
        file.relative_to(ROOT).as_posix() for file in ROOT.rglob("*.py") if "send_telemetry" in file.read_text("utf-8")
    }
    assert places == {"trainer/base_trainer.py"}
    for name in USABLE:
        kind = known.found(name).trainer_class()
        assert "_send_telemetry" in dir(kind)
        assert trainer.led(kind, object())._send_telemetry is trainer._Led._send_telemetry  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "name",
    [
        "_save_checkpoint", "_load_from_checkpoint", "_load_optimizer_and_scheduler", "_load_rng_state", "_load_scaler",
        "create_scheduler", "prediction_step", "get_train_dataloader", "get_eval_dataloader",
    ],
)  # fmt: skip
def test_what_is_overridden_is_called_by_transformers(name: str) -> None:
    assert callable(getattr(transformers.Trainer, name))
    source = inspect.getsource(transformers.Trainer)
    assert source.count(f"self.{name}(") >= 1, "nobody calls it any more, so it is another method's work now"


def test_the_trainer_calls_back_where_the_run_takes_and_gives_the_weights() -> None:
    source = inspect.getsource(transformers.Trainer._run_epoch)
    moments = [
        "on_step_begin",
        "self.training_step(",
        "on_pre_optimizer_step",
        "on_step_end",
        "_maybe_log_save_evaluate",
    ]
    places = [source.index(moment) for moment in moments]
    assert places == sorted(places)
    assert "on_substep_end" in source


def test_a_reference_is_copied_in_no_other_way_than_is_prevented() -> None:
    """A trainer that copies the whole model has to do so by ``create_reference_model``, or is refused."""
    for name in USABLE:
        source: Any = inspect.getsource(inspect.getmodule(known.found(name).trainer_class()))  # type: ignore[arg-type]
        assert "deepcopy(model)" not in source and "deepcopy(self.model)" not in source, name
