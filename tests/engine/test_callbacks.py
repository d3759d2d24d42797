"""Callbacks of transformers' Trainer are called by our loop, obeyed, and end no run by failing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from transformers import EarlyStoppingCallback, TrainerCallback

import shadownb as snb
from shadownb.errors import ConfigError, RunError
from tests.engine.methods_data import OPTIONS, chats, stop_after

SHORT: dict[str, Any] = {**OPTIONS, "max_steps": 6, "save_steps": 6, "lora_r": 4, "background": False}
JUDGED: dict[str, Any] = {**SHORT, "eval_dataset": chats(4), "eval_steps": 3}
EVENTS = ("on_train_begin", "on_step_end", "on_log", "on_evaluate", "on_save", "on_train_end")


class Noting(TrainerCallback):
    """Notes what it is told, and does ``ask`` with the control at one step."""

    def __init__(self, ask: str = "", at: int = 0) -> None:
        self.seen: list[tuple[str, int]] = []
        self.told: dict[str, Any] = {}
        self._ask, self._at = ask, at

    def note(self, moment: str, state: Any, control: Any, told: dict[str, Any]) -> None:
        self.seen.append((moment, state.global_step))
        self.told |= told
        self.state = state
        if moment == "on_step_end" and state.global_step == self._at:
            setattr(control, self._ask, True)

    def of(self, moment: str) -> list[int]:
        return [step for name, step in self.seen if name == moment]


for event in EVENTS:
    setattr(Noting, event, lambda self, args, state, control, _=event, **told: self.note(_, state, control, told))


@pytest.fixture
def model(home: Path, byte_model_dir: Path) -> Any:
    return snb.load(str(byte_model_dir), dtype="float32", max_length=256)


def test_they_are_called_in_the_trainers_order_and_change_nothing(model: Any) -> None:
    plain = model.train(chats(), **JUDGED)
    noting = Noting()
    run = model.train(chats(), start="base", callbacks=[noting], logging_steps=2, **JUDGED)
    assert run.checkpoint_at().manifest["trained_sha256"] == plain.checkpoint_at().manifest["trained_sha256"]
    step = [
        ("on_step_end", 1),
        ("on_step_end", 2),
        ("on_log", 2),
        ("on_step_end", 3),
        ("on_log", 3),
        ("on_evaluate", 3),
    ]
    assert noting.seen[:8] == [("on_train_begin", 0), *step, ("on_step_end", 4)]
    assert noting.seen[-4:] == [("on_log", 6), ("on_evaluate", 6), ("on_save", 6), ("on_train_end", 6)]
    assert noting.told["model"] is model.module and noting.told["processing_class"] is model.tokenizer
    assert noting.told["metrics"]["eval_loss"] == run.eval_loss and noting.state.epoch == 3.0
    losses = [row["loss"] for row in noting.state.log_history if "loss" in row]
    assert losses == run.losses() and noting.state.max_steps == 6
    assert snb.runs.load(run.id).folder.spec["callbacks"] == ["Noting"]


@pytest.mark.parametrize(
    ("ask", "moment", "steps"),
    [
        ("should_save", "on_save", [2, 6]),
        ("should_evaluate", "on_evaluate", [2, 3, 6]),
        ("should_log", "on_log", [2, 3, 6]),
    ],
)
def test_what_they_ask_for_is_done(model: Any, ask: str, moment: str, steps: list[int]) -> None:
    noting = Noting(ask, 2)
    logging = {"logging_steps": 3} if ask == "should_log" else {}
    held_out = SHORT if ask == "should_log" else JUDGED
    run = model.train(chats(), callbacks=[noting], **{**held_out, **logging})
    assert noting.of(moment) == steps
    if ask == "should_save":
        assert [found.step for found in run.checkpoints()] == [2, 6]
    if ask == "should_evaluate":
        assert [row["step"] for row in run.eval_metrics] == steps


def test_a_stop_that_was_asked_for_is_an_end(model: Any) -> None:
    run = model.train(chats(), callbacks=[Noting(), Noting("should_training_stop", 4)], **SHORT)
    assert (run.status, run.step, run.state.note) == ("succeeded", 4, "stopped early: Noting asked for it")
    assert run.checkpoint_at().step == 4 and model.trained == (run.id, 4)


def test_transformers_own_early_stopping_stops(model: Any) -> None:
    """With a threshold that nothing reaches every evaluation after the first is one without improvement."""
    patience = EarlyStoppingCallback(early_stopping_patience=2, early_stopping_threshold=100.0)
    run = model.train(chats(), callbacks=[patience], **{**JUDGED, "eval_steps": 1})
    assert (run.status, run.step) == ("succeeded", 3)
    assert "EarlyStoppingCallback" in run.state.note


class Raising(TrainerCallback):
    def __init__(self, moment: str) -> None:
        self.calls = 0

        def fails(args: Any, state: Any, control: Any, **told: Any) -> None:
            self.calls += 1
            raise ValueError("no such server")

        setattr(self, moment, fails)


@pytest.mark.parametrize("moment", ["on_step_end", "on_log", "on_evaluate", "on_save", "on_train_end"])
def test_one_that_fails_is_named_and_left_out(model: Any, moment: str) -> None:
    raising, noting = Raising(moment), Noting()
    run = model.train(chats(), callbacks=[raising, noting], **JUDGED)
    assert (run.status, run.step, raising.calls) == ("succeeded", 6, 1)
    (told,) = [warning for warning in run.state.warnings if warning["code"] == "callback-failed"]
    assert f"Raising.{moment} failed at step" in told["what"] and "no such server (test_callbacks.py" in told["what"]
    assert noting.seen[-1] == ("on_train_end", 6), "the others are called as before"


def test_one_that_fails_at_the_beginning_ends_the_run_before_anything_is_trained(model: Any) -> None:
    with pytest.raises(RunError, match=r"Raising.on_train_begin failed: ValueError: no such server"):
        model.train(chats(), callbacks=[Raising("on_train_begin")], **SHORT)
    assert model.weights.kind is None
    assert model.train(chats(), **SHORT).status == "succeeded"


class Epochs(TrainerCallback):
    def on_epoch_end(self, *args: Any, **told: Any) -> None:
        raise AssertionError


class Asking(TrainerCallback):
    """Asks the model that is trained."""

    def __init__(self, model: Any) -> None:
        self.model, self.said = model, []

    def on_step_end(self, args: Any, state: Any, control: Any, **told: Any) -> None:
        self.said.append(self.model.generate("Colour number 3?", max_new_tokens=2, temperature=0.0))


def test_an_event_that_never_comes_is_told(model: Any) -> None:
    run = model.train(chats(), callbacks=[Epochs()], **SHORT)
    assert [w["what"] for w in run.state.warnings if w["code"] == "callback-unheard"] == [
        "Epochs.on_epoch_end will not be called."
    ]


def test_one_may_ask_the_model_that_is_trained(model: Any) -> None:
    plain = model.train(chats(), **SHORT)
    asking = Asking(model)
    run = model.train(chats(), callbacks=[asking], start="base", **SHORT)
    assert len(asking.said) == 6 and run.losses() == plain.losses()


@pytest.mark.parametrize(
    ("callbacks", "more", "message"),
    [
        ([print], {}, r"callbacks\[0\]=<built-in function print> is not a TrainerCallback"),
        ([Noting], {}, r"callbacks\[0\]=<class .*Noting'> is not a TrainerCallback"),
        (Noting(), {}, r"is not a list"),
        ([Noting()], {"executor": "process"}, r"callbacks=\[Noting\] cannot be called in a worker process"),
    ],
)
def test_what_cannot_be_called_is_refused_before_anything_starts(
    model: Any, callbacks: Any, more: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        model.train(chats(), callbacks=callbacks, **SHORT, **more)
    assert not snb.runs.list()


def test_a_resume_says_that_they_are_gone_or_takes_them(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        stop_after(patch, 2)
        run = model.train(chats(), callbacks=[Noting()], **SHORT)
    with monkeypatch.context() as patch:
        stop_after(patch, 4)
        run.resume(model).wait(timeout=60)
    assert [w["what"] for w in run.state.warnings] == ["The run goes on without its callbacks (Noting)."]
    noting = Noting()
    with pytest.raises(ConfigError, match=r"cannot be called in a worker process"):
        run.resume(model, callbacks=[noting], executor="process")
    run.resume(model, callbacks=[noting]).wait(timeout=60, raise_on_failure=True)
    assert noting.of("on_step_end") == [5, 6] and len(run.state.warnings) == 1
