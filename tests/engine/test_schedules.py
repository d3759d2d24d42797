"""The schedules of the learning rate: every name that can be given trains, and falls as its help says."""

from __future__ import annotations

import typing
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

import shadownb as snb
from shadownb.engine.config import TrainConfig
from shadownb.engine.config_options import Options
from shadownb.engine.runs.schedules import schedule

NAMES = typing.get_args(typing.get_type_hints(Options)["lr_scheduler_type"])
STEPS, PEAK = 20, 1e-3


def rates(model_dir: Path, rows: list[dict[str, Any]], name: str) -> list[float]:
    warmup = {} if name == "constant" else {"warmup_steps": 4}
    run = snb.load(str(model_dir), max_length=256, dtype="float32").train(
        rows[:4], background=False, lr_scheduler_type=name, learning_rate=PEAK, max_steps=STEPS, lora_r=2,
        per_device_train_batch_size=1, gradient_accumulation_steps=1, sample_max_new_tokens=0, **warmup,
    )  # fmt: skip
    found = run.series("learning_rate")[1]
    assert len(found) == STEPS
    return found


@pytest.mark.parametrize("name", NAMES)
def test_a_schedule_rises_to_the_peak_and_never_above(
    name: str, home: Path, byte_model_dir: Path, rows: list[dict[str, Any]]
) -> None:
    found = rates(byte_model_dir, rows, name)
    top = found.index(max(found))
    assert max(found) == pytest.approx(PEAK) and found[: top + 1] == sorted(found[: top + 1])
    after = found[top:]
    assert after == sorted(after, reverse=True)
    if name.startswith("constant"):
        assert after[-1] == PEAK
    elif name == "warmup_stable_decay":
        assert after.count(PEAK) >= STEPS - 4 - STEPS // 5 and after[-1] < PEAK / 2
    elif name == "inverse_sqrt":
        assert PEAK / 3 < after[-1] < PEAK / 2, "the root of 4 / 20"
    else:
        assert after[-1] < PEAK / 4


@pytest.mark.parametrize("warmup", [0, 1, 7])
@pytest.mark.parametrize("steps", [1, 2, 20, 333])
@pytest.mark.parametrize("name", NAMES)
def test_every_rate_is_that_of_transformers(name: str, steps: int, warmup: int) -> None:
    config = TrainConfig(lr_scheduler_type=name, warmup_steps=warmup)
    warmup, decay = config.resolved_warmup(steps), config.resolved_decay(steps)
    more = {"cosine_with_min_lr": {"min_lr_rate": 0.1}, "warmup_stable_decay": {"num_decay_steps": decay}}
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=PEAK)
    theirs = transformers.get_scheduler(name, optimizer, warmup, steps, more.get(name, {}))
    ours = schedule(name, PEAK, steps, warmup, decay=decay)
    for step in range(steps):
        assert ours(step) == theirs.get_last_lr()[0], step
        optimizer.step()
        theirs.step()


def test_no_clipping_norm_means_the_default_as_everywhere() -> None:
    assert TrainConfig(max_grad_norm=None).max_grad_norm == TrainConfig().max_grad_norm == 1.0
    assert TrainConfig.from_yaml("max_grad_norm: null").changed == {}
    assert TrainConfig(max_grad_norm=0).max_grad_norm == 0
