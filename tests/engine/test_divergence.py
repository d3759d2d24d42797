"""Training that makes the model worse than it began: it is seen, told, and ends at the last good checkpoint."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

import shadownb as snb
from shadownb.engine.runs.divergence import DivergenceWatch
from shadownb.errors import DivergedError
from tests.engine.methods_data import chats, sha

# AdamW moves every weight by the rate in each step, at first: after two steps of 1.0 nothing is left of the tiny model.
WILD: dict[str, Any] = {
    "method": "full",
    "max_steps": 12,
    "per_device_train_batch_size": 4,
    "gradient_accumulation_steps": 2,
    "learning_rate": 1.0,
    "lr_scheduler_type": "constant",
    "sample_max_new_tokens": 0,
    "background": True,
}


CLIMB = [1.5, 1.2, 0.9, 0.6, 0.4, 0.4, 0.9, 1.8, 3.1, 4.4, 5.2, 6.0]


def seen(losses: list[float], rows_per_step: int = 16) -> tuple[int | None, int]:
    """Return (step at which divergence is seen, last good step) of a list of losses, told at every step and once."""
    watch = DivergenceWatch(rows_per_step)
    told = [step for step, loss in enumerate(losses, start=1) if watch.look(step, loss)]
    assert told == ([] if watch.diverged_at is None else [watch.diverged_at])
    return watch.diverged_at, watch.good_step


def test_the_reported_case_is_seen_within_its_three_steps() -> None:
    assert seen([10.8, 611.0, 3482.0]) == (2, 1)


def test_a_slow_climb_is_seen_and_the_last_good_step_lies_before_it() -> None:
    diverged, good = seen(CLIMB)
    assert (diverged, good) == (10, 7)


def test_a_fall_back_to_the_beginning_is_no_divergence_but_worse_than_it_is() -> None:
    learned = [3.0, 2.0, 1.0, 0.5, 0.1, 0.1, 0.1]
    assert seen([*learned, 2.9, 2.9, 2.9, 2.9])[0] is None
    assert seen([*learned, 3.5, 3.5, 3.5, 3.5])[0] == 10


@pytest.mark.parametrize("rows_per_step", [1, 2, 8])
def test_rows_of_very_different_difficulty_are_no_divergence(rows_per_step: int) -> None:
    draw = random.Random(0)
    for _ in range(50):
        singles = [
            draw.choice((0.8, 1.3, 1.6, 1.9, 2.2, 2.6, 3.0, 4.7, *[15.5] * (draw.random() < 0.1))) for _ in range(2000)
        ]
        means = [sum(singles[n : n + rows_per_step]) / rows_per_step for n in range(0, len(singles), rows_per_step)]
        assert seen(means, rows_per_step)[0] is None


def test_a_run_that_goes_wrong_at_once_is_judged_by_its_first_rows() -> None:
    # SmolLM2's shape at random, every weight trained at a rate of 1.0: nothing is gross, and nothing comes back
    assert seen([11.82, 17.64, 21.75, 52.13, 57.91, 26.96, 47.0, 32.92], rows_per_step=8) == (6, 1)


def test_one_bad_step_is_no_divergence() -> None:
    assert seen([1.5, 1.4, 1.3, 9.0, 1.2, 1.1, 1.0])[0] is None


def test_single_rows_are_believed_only_when_eight_in_a_row_are_beyond_anything() -> None:
    assert seen([1.0] * 8 + [90.0] * 7 + [1.0] * 9, rows_per_step=1)[0] is None
    assert seen([1.0] * 8 + [90.0] * 8, rows_per_step=1)[0] == 16


def test_the_state_goes_on_after_a_resume() -> None:
    losses = CLIMB
    for cut in range(len(losses) - 1):
        watch = DivergenceWatch(16)
        for step, loss in enumerate(losses[:cut], start=1):
            watch.look(step, loss)
        watch = DivergenceWatch(16, watch.state_dict())
        for step, loss in enumerate(losses[cut:], start=cut + 1):
            watch.look(step, loss)
        assert watch.diverged_at == 10


def test_a_run_stops_and_the_model_is_as_before(tiny_model_dir: Path, home: Path) -> None:
    model = snb.load(str(tiny_model_dir), max_length=256, dtype="float32")
    run = model.train(chats(), **WILD, save_steps=1)
    with pytest.raises(DivergedError, match=r"Training has diverged: the loss is .* at step") as caught:
        run.wait(timeout=120, raise_on_failure=True)
    assert run.status == "failed" and run.step < 12
    assert "learning_rate=1" in caught.value.why and "learning_rate=0.1" in caught.value.fix
    metrics = run.metrics
    assert metrics[-1]["step"] == run.step and metrics[-1]["loss"] > 2 * metrics[0]["loss"]  # the curve shows it
    # What a resume, load() and chat go on from are weights from before the loss climbed.
    kept = [checkpoint.step for checkpoint in run.checkpoints()]
    assert kept == [1] and model.trained == (run.id, 1)
    assert sha(snb.load(run.id, dtype="float32")) == sha(model)


def test_without_a_good_checkpoint_the_model_is_the_base(tiny_model_dir: Path, home: Path) -> None:
    model = snb.load(str(tiny_model_dir), max_length=256, dtype="float32")
    run = model.train(chats(), **WILD, save_steps=6)
    run.wait(timeout=120, raise_on_failure=False)
    assert run.status == "failed" and run.state.error["code"] == "diverged"
    assert run.checkpoints() == [] and model.trained is None and model.adapter is None


def test_continue_goes_on_and_says_so(tiny_model_dir: Path, home: Path) -> None:
    model = snb.load(str(tiny_model_dir), max_length=256, dtype="float32")
    run = model.train(chats(), **{**WILD, "max_steps": 6}, on_divergence="continue")
    run.wait(timeout=120, raise_on_failure=True)
    assert run.status == "succeeded" and run.step == 6
    told = [warning for warning in run.state.warnings if warning["code"] == "diverged"]
    assert len(told) == 1 and "on_divergence" in told[0]["fix"]


def test_the_last_good_checkpoint_outlives_newer_ones(tiny_model_dir: Path, home: Path, monkeypatch: Any) -> None:
    """A loss that climbs slowly passes more checkpoints than are kept before it is seen."""
    from shadownb.engine.runs.loop import Loop

    climbing = iter([1.5, 1.0, 0.5, 0.5, 1.2, 2.4, 3.6, 4.8, 6.0, 7.2, 8.4])
    computed = Loop.compute

    def scripted(self: Loop, *args: Any) -> float:
        computed(self, *args)
        return next(climbing)

    monkeypatch.setattr(Loop, "compute", scripted)
    model = snb.load(str(tiny_model_dir), max_length=256, dtype="float32")
    run = model.train(chats(), **{**WILD, "learning_rate": 1e-4}, save_steps=1, save_total_limit=2)
    run.wait(timeout=120, raise_on_failure=False)
    assert run.state.error["code"] == "diverged" and run.step == 11
    assert model.trained == (run.id, 5) and [checkpoint.step for checkpoint in run.checkpoints()] == [5]
