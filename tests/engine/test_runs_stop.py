"""A stop is obeyed within a step plus a second, measured; and at once while data, model or reference are prepared."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

import shadownb as snb
from shadownb.engine.backends.torch.adapters import pissa
from shadownb.engine.runs import Run, commands
from tests.engine.conftest import until
from tests.engine.methods_data import pairs

OPTIONS = {"background": True, "sample_max_new_tokens": 0}


def seconds_to_obey(run: Run) -> float:
    """Stop a run and return the seconds from the command to the end of the run, its checkpoint included."""
    run.stop()
    run.wait(timeout=60)
    assert run.status == "stopped", run.traceback()
    line = run.folder.commands.read_text().splitlines()[-1]
    return float(run.state.ended_at - json.loads(line)["time"])


def longest_step(run: Run) -> float:
    times = [m["time"] for m in run.metrics]
    return max(after - before for before, after in itertools.pairwise(times))


def test_while_training(tiny: Any, rows: list[Any]) -> None:
    run = tiny.train(rows, max_steps=5000, per_device_train_batch_size=40, **OPTIONS)
    until(run, lambda s: s.step >= 4)
    took = seconds_to_obey(run)
    assert took < longest_step(run) + 1


def test_while_a_step_waits_for_an_answer(tiny: Any, rows: list[Any]) -> None:
    run = tiny.train(rows, max_steps=5000, **OPTIONS)
    until(run, lambda s: s.step >= 2)
    with tiny.gate.inference():  # as a long answer holds the weights
        assert seconds_to_obey(run) < 1
    assert tiny.trained == (run.id, run.step)
    assert run.checkpoint_at().step == run.step


def test_while_evaluating_waits_for_an_answer(tiny: Any, rows: list[Any]) -> None:
    options = {**OPTIONS, "max_tokens_per_forward": 64}
    run = tiny.train(rows, max_steps=5000, eval_steps=1, eval_dataset=rows * 20, **options)
    until(run, lambda s: s.phase["name"] == "evaluating")
    with tiny.gate.inference():
        assert seconds_to_obey(run) < 1


def test_while_preparing_data(tiny: Any, rows: list[Any]) -> None:
    run = tiny.train(rows * 1000, max_steps=5000, **OPTIONS)
    until(run, lambda s: s.phase["name"] == "preparing data")
    assert seconds_to_obey(run) < 1
    assert run.total_steps is None, "all of the data was prepared before the stop was obeyed"


def test_while_preparing_the_model(tiny: Any, rows: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    closest, layers = pissa.closest, []

    def stopping(*args: Any) -> Any:
        layers.append(args)
        commands.send(snb.runs.latest().folder.commands, "stop", save=True)
        return closest(*args)

    monkeypatch.setattr(pissa, "closest", stopping)
    run = tiny.train(rows, max_steps=5000, init_lora_weights="pissa", **OPTIONS).wait(timeout=60)
    assert (run.status, run.step) == ("stopped", 0), run.traceback()
    assert len(layers) == 1
    assert tiny.adapter is None
    monkeypatch.undo()
    run.resume()
    until(run, lambda s: s.step >= 1)


def test_while_computing_the_reference(tiny: Any) -> None:
    run = tiny.train(pairs(2000), method="dpo", max_steps=5000, max_tokens_per_forward=64, **OPTIONS)
    until(run, lambda s: s.phase["name"] == "computing reference")
    assert seconds_to_obey(run) < 1
    assert run.step == 0
    assert run.checkpoints() == []


def test_an_answer_comes_between_the_pieces_of_the_reference(tiny: Any) -> None:
    run = tiny.train(pairs(2000), method="dpo", max_steps=5000, max_tokens_per_forward=64, **OPTIONS)
    until(run, lambda s: s.phase["name"] == "computing reference")
    with tiny.gate.inference(timeout=60):
        assert run.state.phase["name"] == "computing reference"
    done = run.state.phase["done"]
    until(run, lambda s: s.phase["name"] == "computing reference" and s.phase["done"] > done)
    assert seconds_to_obey(run) < 1
