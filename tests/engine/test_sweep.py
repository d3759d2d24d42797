"""Sweeps: what is tried and told, trials given up early, failures counted, and the same table however often it is killed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import shadownb as snb
from shadownb.engine.sweeps import suggesting
from shadownb.engine.sweeps.space import Choices, Range, read
from shadownb.engine.sweeps.suggesting import Told, best_so_far, prunes, suggest
from shadownb.errors import BusyError, ConfigError, MissingDependencyError, RunError
from tests.engine.methods_data import chats
from tests.engine.sweep_script import OPTIONS, SPACE
from tests.waiting import wait_for

SHORT: dict[str, Any] = {**OPTIONS, "max_steps": 2, "eval_steps": 1, "lora_dropout": 0.0, "background": False}


@pytest.fixture
def model(home: Path, byte_model_dir: Path) -> Any:
    return snb.load(str(byte_model_dir), max_length=256, dtype="float32")


# -- what is tried -----------------------------------------------------------------------------------------------------


def test_a_space_is_read_as_lists_ranges_and_text() -> None:
    found = read(
        {"learning_rate": (1e-5, 1e-3, "log"), "lora_r": "4, 8", "warmup_ratio": "0 .. 0.3", "packing": "true,false"},
        {},
        "lora",
    )
    assert found == {
        "learning_rate": Range(1e-5, 1e-3, log=True), "lora_r": Choices((4, 8)), "warmup_ratio": Range(0, 0.3),
        "packing": Choices((True, False)),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("space", "fields", "said"),
    [
        ({}, {}, "names no options"),
        ({"lora_rank": [2]}, {}, "'lora_rank' is not a training option. Did you mean 'lora_r'?"),
        ({"lora_r": [2, 0]}, {}, "lora_r=0"),
        ({"lora_r": [2]}, {"lora_r": 8}, "lora_r is in space and given as 8"),
        ({"executor": ["thread", "process"]}, {}, "'executor' changes nothing that is learned"),
        ({"lora_r": [2, 2]}, {}, "has a value twice"),
        ({"learning_rate": (1e-3, 1e-5)}, {}, "is no range"),
        ({"learning_rate": (0, 1e-5, "log")}, {}, "is no range"),
        ({"learning_rate": 1e-4}, {}, "says no values"),
    ],
)
def test_a_space_that_means_nothing_is_refused(space: Any, fields: Any, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(space, fields, "lora")
    assert said in str(caught.value)


def test_suggestions_depend_on_seed_and_earlier_trials_alone_and_come_once() -> None:
    space = read({"learning_rate": (1e-5, 1e-1, "log"), "lora_r": [2, 4]}, {}, "lora")

    def draw(seed: int, trials: int, told: list[Told]) -> list[Told]:
        for number in range(len(told), trials):
            found = suggest(space, "tpe", seed, number, told, minimize=True, startup=3)
            assert found is not None
            told = [*told, Told(found, "succeeded", found["learning_rate"])]
        return told

    whole = draw(0, 8, [])
    assert draw(0, 8, draw(0, 5, [])) == whole, "one that goes on asks the same"
    assert draw(1, 8, []) != whole
    small = read({"lora_r": [2, 4, 8]}, {}, "lora")
    told: list[Told] = []
    while (params := suggest(small, "random", 0, len(told), told, minimize=True, startup=3)) is not None:
        told.append(Told(params, "succeeded", 1.0))
    assert sorted(each.params["lora_r"] for each in told) == [2, 4, 8]


def test_like_is_compared_with_like_at_the_same_step() -> None:
    """Luck at one step does not keep a trial, and a slow beginning does not end one: best so far is compared with best so far."""
    earlier = [Told({}, "succeeded", last, best_so_far(points, minimize=True)) for last, points in (
        (0.5, [(2, 3.0), (4, 1.0), (6, 0.5)]), (0.6, [(2, 3.2), (4, 1.2), (6, 0.6)]), (0.7, [(2, 2.8), (4, 1.1), (6, 0.7)]),
    )]  # fmt: skip
    options: dict[str, Any] = {"minimize": True, "startup": 3}
    noisy = best_so_far([(2, 2.0), (4, 5.0), (6, 0.65)], minimize=True)
    assert noisy == ((2, 2.0), (4, 2.0), (6, 0.65))
    assert prunes("median", noisy[:1], earlier, **options) is None
    assert prunes("median", noisy, earlier, **options) == 4
    assert prunes("median", ((2, 2.9), (4, 0.9)), earlier, **options) is None
    assert prunes("median", noisy, earlier[:2], **options) is None, "too few to compare with"


# -- the whole ---------------------------------------------------------------------------------------------------------


def told_of(values: dict[tuple[Any, Any], float]) -> list[Told]:
    return [Told({"a": a, "b": b}, "succeeded", value) for (a, b), value in values.items()]


def test_of_all_combinations_what_decided_everything_has_all_importance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    space = {"a": Choices((1, 2)), "b": Choices((3, 4))}
    assert suggesting.importance(space, told_of({(1, 3): 2.0, (1, 4): 2.0, (2, 3): 1.0, (2, 4): 1.0}), minimize=True) == {
        "a": 1.0, "b": 0.0,
    }  # fmt: skip
    both = suggesting.importance(space, told_of({(1, 3): 3.0, (1, 4): 2.0, (2, 3): 2.0, (2, 4): 1.0}), minimize=True)
    assert both == {"a": 0.5, "b": 0.5}
    lost = told_of({(1, 3): float("nan"), (1, 4): 2.0, (2, 3): 1.0, (2, 4): float("inf")})
    assert suggesting.importance(space, lost, minimize=True) == {}, "two that say nothing, and two that are too few"
    only_together = told_of({(1, 3): 1.0, (1, 4): 2.0, (2, 3): 2.0, (2, 4): 1.0})
    assert suggesting.importance(space, only_together, minimize=True) == {"a": 0.0, "b": 0.0}


def test_a_grid_needs_no_optuna_and_trials_are_runs_like_any_other(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingDependencyError, match="tpe"):
        model.sweep(chats(), {"learning_rate": (1e-4, 1e-2)}, budget=3, **SHORT)
    sweep = model.sweep(chats(), {"learning_rate": [1e-3, 1e-2], "lora_r": [2, 4]}, name="grid", **SHORT)
    assert (sweep.status, sweep.counts) == ("succeeded", {"succeeded": 4})
    assert sweep.spec["decisions"]["pruner"] == [
        "none",
        "Optuna, which would judge trials as they go, is not installed",
    ]
    table = sweep.table()
    assert [(row["learning_rate"], row["lora_r"]) for row in table] == [(1e-3, 2), (1e-3, 4), (1e-2, 2), (1e-2, 4)]
    runs = [snb.runs.load(row["run"]) for row in table]
    assert all(run.losses()[0] == pytest.approx(runs[0].losses()[0], abs=1e-5) for run in runs), (
        "each begins at the base"
    )
    assert {run.metrics[-1]["learning_rate"] for run in runs[:2]} != {
        run.metrics[-1]["learning_rate"] for run in runs[2:]
    }
    assert {run.trained_parameters for run in runs} == {runs[0].trained_parameters, 2 * runs[0].trained_parameters}
    assert [row["eval_loss"] for row in table] == [run.eval_loss for run in runs]
    best = min(table, key=lambda row: row["eval_loss"])
    assert sweep.best.id == best["run"] and model.trained == (best["run"], 2)
    assert sorted(run.id for run in snb.runs.search("tag:sweep:grid")) == sorted(run.id for run in runs)
    assert runs[2].folder.spec["sweep"] == {"name": "grid", "trial": 2}
    with pytest.raises(ConfigError, match="there is a sweep of this name"):
        model.sweep(chats(), {"lora_r": [2]}, name="grid", **SHORT)
    again = sweep.train_best(max_steps=3, background=False)
    assert (again.config.learning_rate, again.config.lora_r, again.step) == (best["learning_rate"], best["lora_r"], 3)


def test_failed_and_diverged_trials_are_counted_and_the_others_go_on(model: Any) -> None:
    options = {**SHORT, "max_steps": 12, "eval_steps": 12, "method": "full", "per_device_train_batch_size": 8}
    sweep = model.sweep(chats(), {"learning_rate": [1e-4, 10.0, 1e-3]}, sampler="grid", **options)
    assert sweep.status == "succeeded" and sweep.counts["succeeded"] == 2
    failed = sweep.table()[1]
    assert failed["state"] == "diverged" and failed["eval_loss"] is None and failed["error"]
    assert "1 diverged" in repr(sweep)
    with pytest.raises(RunError, match="is succeeded"):
        sweep.resume(model)


def test_what_no_trial_can_have_ends_the_sweep_with_the_reason(model: Any) -> None:
    with pytest.raises(ConfigError, match="has no such number"):
        model.sweep(chats(), {"lora_r": [2, 4]}, metric="eval_reward", name="none", **SHORT)
    sweep = snb.sweeps.load("none")
    assert (sweep.status, sweep.counts) == ("failed", {"failed": 1})
    for wrong in (
        {"budget": 0},
        {"budget": "soon"},
        {"sampler": "best"},
        {"start": "trained"},
        {"metric": "colour"},
        {"eval_dataset": None},
    ):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            model.sweep(chats(), {"lora_r": [2, 4]}, **{**SHORT, **wrong})
    assert snb.sweeps.list() == ["none"], "what is refused leaves nothing"


def test_it_is_stopped_in_a_trial_and_gone_on_with(model: Any) -> None:
    sweep = model.sweep(
        chats(),
        {"lora_r": [2, 4]},
        name="stopped",
        **{**SHORT, "max_steps": 3000, "eval_steps": 3000, "background": True},
    )
    wait_for(lambda: any(row["step"] for row in sweep.table()), 60)
    with pytest.raises(BusyError):
        model.sweep(chats(), {"lora_r": [2]}, **SHORT)
    with pytest.raises(BusyError):
        snb.sweeps.load("stopped").resume(model)
    sweep.stop().wait(timeout=60)
    assert (sweep.status, sweep.counts) == ("stopped", {"running": 1})
    run = snb.runs.load(sweep.table()[0]["run"])
    assert run.status == "stopped" and run.step > 0
    again = snb.sweeps.load("stopped").resume(model, background=True)
    wait_for(lambda: run.status == "running", 60)
    again.stop().wait(timeout=60)
    assert run.resumed and len(again.table()) == 1


def compared(sweep: Any) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name not in ("run", "seconds")} for row in sweep.table()]


def drive(byte_model_dir: Path, what: str, home: Path, *, until: int | None) -> None:
    """Begin the sweep, or go on with it; with ``until`` the process is killed in the trial after so many."""
    command = [sys.executable, "-m", "tests.engine.sweep_script", str(byte_model_dir), what]
    process = subprocess.Popen(
        command,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "SHADOWNB_HOME": str(home)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None and process.stdout.readline() == "running\n"
        if until is None:
            assert process.wait(timeout=240) == 0
            return
        sweep = snb.sweeps.load("eight")
        wait_for(
            lambda: (
                len(sweep.state.finished) >= until
                and any(row["state"] == "running" and row["step"] for row in sweep.table())
            ),
            240,
        )
    finally:
        process.kill()
        process.wait()


def test_killed_twice_it_comes_to_the_table_of_one_that_was_not(
    tmp_path: Path, byte_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    homes = {name: tmp_path / name for name in ("whole", "killed")}
    monkeypatch.setenv("SHADOWNB_HOME", str(homes["killed"]))
    drive(byte_model_dir, "begin", homes["killed"], until=2)
    assert snb.sweeps.load("eight").status == "interrupted"
    drive(byte_model_dir, "resume", homes["killed"], until=5)
    drive(byte_model_dir, "resume", homes["killed"], until=None)
    killed = snb.sweeps.load("eight")
    found, runs = compared(killed), [run.id for run in snb.runs.list()]
    monkeypatch.setenv("SHADOWNB_HOME", str(homes["whole"]))
    model = snb.load(str(byte_model_dir), max_length=256, dtype="float32")
    whole = model.sweep(chats(), SPACE, budget=8, name="eight", seed=3, background=False, **OPTIONS)
    assert len(found) == 8 and found == compared(whole)
    assert "pruned" in whole.counts, "else nothing is said of giving up"
    assert len(runs) == len(set(runs)) == 8, "no trial was started twice"
    assert whole.importance.keys() == {"learning_rate", "lora_r"}
