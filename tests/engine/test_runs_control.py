"""Stop, pause, resume, discard, queue: a run obeys from wherever it is, and nothing is left behind."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import Any

import pytest

import shadownb as snb
from shadownb.engine.backends.torch import adapters
from shadownb.errors import BusyError, RunError
from tests.engine.conftest import until

OPTIONS = {"background": True, "sample_max_new_tokens": 0, "lora_r": 4, "learning_rate": 1e-3}


def trained(model: Any) -> str:
    return adapters.digest({n: p for n, p in model.module.named_parameters() if "lora_" in n})


def test_a_blocking_run_trains_and_records_everything(tiny: Any, rows: list[Any]) -> None:
    run = tiny.train(rows, background=False, max_steps=8, eval_dataset="auto", sample_max_new_tokens=4, lora_r=4)
    assert run.status == "succeeded"
    assert [m["step"] for m in run.metrics] == list(range(1, 9))
    for name in (
        "loss",
        "learning_rate",
        "grad_norm",
        "epoch",
        "elapsed_s",
        "tokens",
        "tokens_per_s",
        "peak_memory_gb",
        "eta_s",
    ):
        assert all(name in m for m in run.metrics), name
    assert run.metrics[-1]["elapsed_s"] > 0
    assert run.metrics[-1]["eta_s"] == 0
    assert run.metrics[1]["eta_s"] is None, "an estimate before three steps is a guess"
    assert None not in [m["eta_s"] for m in run.metrics[2:]]
    assert [m["step"] for m in run.eval_metrics] == [2, 4, 6, 8]
    assert len(run.samples()) == 4
    assert len(run.samples()[0]["items"]) == 3
    assert run.checkpoint_at().final
    record = run.state.record
    assert record["config"]["lora_r"] == 4
    assert record["model"]["base_hash"] == tiny.base_hash
    assert set(record["decisions"]) >= {"packing", "optimizer", "gradient_checkpointing", "template"}
    assert tiny.trained == (run.id, 8)
    frame = run.to_frame()
    assert frame.loc[4, "eval_loss"] == run.eval_metrics[1]["eval_loss"]


def test_stop_saves_and_resume_goes_on(tiny: Any, rows: list[Any]) -> None:
    run = tiny.train(rows, max_steps=500, **OPTIONS)
    until(run, lambda s: s.step >= 3)
    run.stop()
    run.wait(timeout=120)
    assert run.status == "stopped", run.traceback()
    stopped_at = run.state.step
    assert 3 <= stopped_at < 500
    assert run.checkpoint_at().step == stopped_at
    assert tiny.trained == (run.id, stopped_at)
    run.resume()
    until(run, lambda s: s.step >= stopped_at + 2)
    run.stop().wait(timeout=120)
    assert run.resumed
    assert [m["step"] for m in run.metrics] == list(range(1, run.state.step + 1))
    elapsed = [m["elapsed_s"] for m in run.metrics]
    assert elapsed == sorted(elapsed), "time goes on counting where it was stopped"


def test_discard_puts_the_model_back(tiny: Any, rows: list[Any]) -> None:
    first = tiny.train(rows, background=False, max_steps=2, sample_max_new_tokens=0, lora_r=4)
    before = trained(tiny)
    run = tiny.train(rows, max_steps=500, **{**OPTIONS, "lora_r": 4})
    until(run, lambda s: s.step >= 2)
    run.discard().wait(timeout=120)
    assert run.status == "discarded"
    assert trained(tiny) == before
    assert tiny.trained == (first.id, 2)


def test_pause_frees_the_model_and_goes_on(tiny: Any, rows: list[Any]) -> None:
    run = tiny.train(rows, max_steps=500, **OPTIONS)
    until(run, lambda s: s.step >= 2)
    run.pause()
    paused_at = until(run, lambda s: s.status == "paused").step
    assert run.checkpoint_at().step == paused_at
    assert tiny.generate("Colour number 1?", max_new_tokens=3, temperature=0)
    elapsed = run.state.elapsed_s
    for elsewhere in ({"executor": "process"}, {"model": snb.load(tiny.source, max_length=256, dtype="float32")}):
        with pytest.raises(RunError, match="paused in a thread") as caught:
            run.resume(**elsewhere)
        assert caught.value.fix
    assert run.status == "paused"
    run.resume(tiny, executor="thread")
    until(run, lambda s: s.step >= paused_at + 2)
    assert run.state.elapsed_s >= elapsed
    assert run.state.attempt == 2
    run.pause()
    until(run, lambda s: s.status == "paused")
    run.stop()
    run.wait(timeout=120)
    assert run.status == "stopped"


def test_stop_from_another_process(tiny: Any, rows: list[Any]) -> None:
    run = tiny.train(rows, max_steps=5000, **OPTIONS)
    until(run, lambda s: s.step >= 1)
    subprocess.run([sys.executable, "-c", f"import shadownb as snb; snb.runs.attach({run.id!r}).stop()"], check=True)
    run.wait(timeout=120)
    assert run.status == "stopped"


def test_a_second_run_waits_in_line_and_can_be_stopped_there(tiny: Any, rows: list[Any]) -> None:
    first = tiny.train(rows, max_steps=5000, **OPTIONS)
    until(first, lambda s: s.step >= 1)
    second = tiny.train(rows, max_steps=3, **OPTIONS)
    third = tiny.train(rows, max_steps=3, **OPTIONS)
    assert second.status == third.status == "queued"
    third.stop()
    third.wait(timeout=60)
    assert third.status == "stopped"
    assert first.status == "running"
    first.stop()
    second.wait(timeout=60)
    assert second.status == "succeeded"
    assert second.parent == first.id


def test_a_run_paused_in_line_lets_others_pass_and_is_paused_once(tiny: Any, rows: list[Any]) -> None:
    first = tiny.train(rows, max_steps=5000, **OPTIONS)
    until(first, lambda s: s.step >= 1)
    held = tiny.train(rows, max_steps=3, **OPTIONS)
    held.pause()
    until(held, lambda s: s.status == "paused")
    first.stop().wait(timeout=120)
    assert tiny.train(rows, max_steps=1, **OPTIONS).wait(timeout=60).status == "succeeded"
    assert held.status == "paused" and not held.step
    held.resume().wait(timeout=60)
    assert held.status == "succeeded"
    assert [event["type"] for event in held.events()].count("paused") == 1


def test_a_run_stopped_in_line_hides_no_run_that_trains(tiny: Any, rows: list[Any]) -> None:
    first = tiny.train(rows, max_steps=5000, **OPTIONS)
    until(first, lambda s: s.step >= 1)
    tiny.train(rows, max_steps=3, **OPTIONS).stop().wait(timeout=60)
    assert tiny.active_run.id == first.id
    assert f"of run {first.id}" in tiny.answering
    with pytest.raises(BusyError, match=first.id):
        tiny.unload()
    with pytest.raises(BusyError, match=first.id):
        tiny.train(rows, max_steps=3, executor="process", **OPTIONS)
    first.discard().wait(timeout=120)
    assert tiny.active_run is None


def test_the_latest_run_is_the_one_launched_last(tiny: Any, rows: list[Any]) -> None:
    first = tiny.train(rows, max_steps=5000, **OPTIONS)
    until(first, lambda s: s.step >= 1)
    second = tiny.train(rows, max_steps=1, **OPTIONS)
    first.stop()  # the first command of a run makes a file in its folder
    second.wait(timeout=60)
    assert [run.id for run in snb.runs.list()] == [second.id, first.id]
    assert snb.runs.latest().id == second.id


def test_a_model_unloaded_while_a_worker_trains_stays_unloaded(tiny: Any, rows: list[Any]) -> None:
    run = tiny.train(rows, max_steps=2, executor="process", **OPTIONS)
    tiny.unload()
    run.wait(timeout=120)
    assert run.status == "succeeded"
    assert tiny.module is None


def test_what_a_worker_learnt_is_trained_on(tiny: Any, rows: list[Any]) -> None:
    worker = tiny.train(rows, max_steps=2, executor="process", **OPTIONS)
    until(worker, lambda s: s.status == "succeeded", timeout=120)
    run = tiny.train(rows, max_steps=1, **OPTIONS).wait(timeout=60)
    assert run.parent == worker.id


def test_a_worker_process_on_a_busy_model_is_refused(tiny: Any, rows: list[Any]) -> None:
    run = tiny.train(rows, max_steps=5000, **OPTIONS)
    with pytest.raises(BusyError, match=run.id):
        tiny.train(rows, max_steps=3, executor="process", **OPTIONS)
    run.discard().wait(timeout=120)


def test_stop_while_evaluating_and_sampling(tiny: Any, rows: list[Any]) -> None:
    options = {**OPTIONS, "sample_max_new_tokens": 400}
    for phase in ("sampling", "evaluating"):
        run = tiny.train(rows, max_steps=5000, eval_steps=1, eval_dataset=rows * 20, **options)
        until(
            run, lambda s, p=phase: s.phase["name"] == p and s.step
        )  # the base is asked for samples before the first step
        run.stop()
        run.wait(timeout=60)
        assert run.status == "stopped"
        assert run.checkpoint_at().step == run.state.step


def test_ended_runs_refuse_commands(tiny: Any, rows: list[Any]) -> None:
    run = tiny.train(rows, background=False, max_steps=2, sample_max_new_tokens=0)
    with pytest.raises(RunError, match="succeeded"):
        run.stop()
    with pytest.raises(RunError, match="all of its 2 steps"):
        run.resume()


def test_no_thread_is_left(tiny: Any, rows: list[Any]) -> None:
    run = tiny.train(rows, max_steps=3, **OPTIONS)
    run.wait(timeout=60)
    for thread in threading.enumerate():
        if thread.name.startswith(("shadownb-train", "journal-")):
            thread.join(timeout=60)
            assert not thread.is_alive(), thread.name


def test_early_stopping_and_the_best_checkpoint(tiny: Any, rows: list[Any]) -> None:
    run = tiny.train(
        rows,
        background=False,
        max_steps=60,
        learning_rate=0.5,
        eval_dataset="auto",
        eval_steps=1,
        early_stopping_patience=2,
        load_best_model_at_end=True,
        sample_max_new_tokens=0,
    )
    assert run.status == "succeeded"
    assert run.state.step < 60
    assert run.state.note
    best = min(run.eval_metrics, key=lambda m: m["eval_loss"])
    assert run.state.best["step"] == best["step"]
    assert tiny.trained == (run.id, best["step"])
    assert snb.load(run.id).trained == (run.id, best["step"])


def test_the_best_step_is_that_of_the_lowest_loss_whatever_the_threshold_of_patience(
    tiny: Any, rows: list[Any]
) -> None:
    options: dict[str, Any] = {
        "background": False,
        "learning_rate": 5e-3,
        "warmup_steps": 0,
        "eval_dataset": "auto",
        "eval_steps": 1,
        "early_stopping_threshold": 1e6,
        "load_best_model_at_end": True,
        "sample_max_new_tokens": 0,
    }
    patient = tiny.train(rows, max_steps=5, early_stopping_patience=50, **options)
    best = min(patient.eval_metrics, key=lambda m: m["eval_loss"])
    assert best["step"] > 1, "or the threshold would not show"
    assert tiny.trained == (patient.id, best["step"])
    assert patient.state.best["step"] == best["step"]
    run = snb.load(tiny.source, max_length=256, dtype="float32").train(
        rows, max_steps=5, early_stopping_patience=2, **options
    )
    assert [m["step"] for m in run.eval_metrics] == [1, 2, 3], "no improvement of a million in two evaluations"


def test_keep_last_and_keep_best(tiny: Any, rows: list[Any]) -> None:
    run = tiny.train(
        rows,
        background=False,
        max_steps=8,
        save_steps=1,
        save_total_limit=2,
        eval_dataset="auto",
        sample_max_new_tokens=0,
    )
    kept = [c.step for c in run.checkpoints()]
    assert set(kept) >= {7, 8}
    assert set(kept) <= {7, 8, run.state.best["step"]}


def test_stops_and_resumes_keep_no_more_checkpoints(tiny: Any, rows: list[Any]) -> None:
    run = tiny.train(rows, max_steps=5000, save_steps=5000, save_total_limit=1, **OPTIONS)
    for _ in range(3):
        step = run.step
        until(run, lambda s, step=step: s.step > step)
        run.stop().wait(timeout=120)
        assert [(c.step, c.final) for c in run.checkpoints()] == [(run.step, True)]
        run.resume()
    until(run, lambda s: s.attempt == 4)
    step = run.state.attempts[-1]["from_step"]
    run.pause()
    until(run, lambda s: s.status == "paused")
    assert [(c.step, c.final) for c in run.checkpoints()] == [(step, False), (run.step, False)]
    assert [c["final"] for c in run.state.checkpoints] == [False, False]
    run.stop().wait(timeout=120)
    assert [c["final"] for c in run.state.checkpoints] == [True]
