"""What a cell shows while it waits for a load, a run or a comparison, what is saved of it, and what an interrupt does."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import nbclient
import nbformat
import pytest

import shadownb as snb
from tests.engine.conftest import until
from tests.notebook.kernel import Kernel

ROWS = """
rows = [{"messages": [{"role": "user", "content": f"Colour {i}?"}, {"role": "assistant", "content": f"C{i % 7}"}]}
        for i in range(40)]
"""
LONG = "max_steps=100000, save_steps=100000, sample_max_new_tokens=0, lora_r=4"


@pytest.fixture
def ready(kernel: Kernel, byte_model_dir: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    monkeypatch.setenv("SHADOWNB_HOME", str(home))
    code = f"import shadownb as snb\n{ROWS}\nif 'model' not in dir():\n    model = snb.load({str(byte_model_dir)!r})"
    loaded = kernel.run(code)
    assert loaded.status == "ok", loaded
    return kernel


def interrupt_later(kernel: Kernel) -> threading.Thread:
    """Interrupt the kernel once the newest run has made a step while a cell waits for it."""
    known = {run.id for run in snb.runs.list()}

    def work() -> None:
        run = None
        pause = threading.Event()
        while run is None:  # a foreground run begins with the cell
            started = [r for r in snb.runs.list() if r.id not in known or r.is_active]
            run = started[0] if started else None
            pause.wait(0.02)
        before = run.step
        until(run, lambda state: state.step > before + 2)
        kernel.manager.interrupt_kernel()

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_a_wait_is_one_output_that_ends_as_the_picture(ready: Kernel) -> None:
    ready.run("run = model.train(rows, max_steps=40, sample_max_new_tokens=0, lora_r=4)")
    waited = ready.run("run.wait()\nrun")
    assert waited.status == "ok" and not waited.stdout and not waited.results
    assert len(waited.displays) == 1, [d.get("text/plain") for d in waited.displays]
    assert len(waited.displays) == 1, "the line, the picture after it and the run itself are one output"
    assert waited.updates, "it was drawn anew"
    assert "image/png" in waited.updates[-1]
    assert "finished, step 40 of 40" in waited.updates[-1]["text/plain"]
    assert ready.run("run.wait()").displays[0]["text/plain"] == waited.updates[-1]["text/plain"]


def test_the_line_says_how_far_it_is_and_is_no_flood(ready: Kernel) -> None:
    ready.run(f"run = model.train(rows, {LONG})")
    seconds = 4
    waited = ready.run(f"try: run.wait(timeout={seconds})\nexcept TimeoutError: pass")
    lines = [data["text/plain"] for data in (*waited.displays, *waited.updates)]
    training = [line for line in lines if "training" in line]
    assert any("steps  loss " in line and "tokens/s" in line and line.endswith(" left") for line in training), lines
    assert len(lines) <= 3 * seconds
    assert lines[-1].startswith("Nobody waits any more at step "), "a line that is left does not say that it trains"
    ready.run("run.discard(); run.wait(timeout=60)")


def test_a_panel_in_the_same_cell_is_enough(ready: Kernel) -> None:
    code = "run = model.train(rows, max_steps=20, sample_max_new_tokens=0, lora_r=4)\nsnb.RunPanel(run)._ipython_display_()"
    shown = ready.run(f"{code}\nrun.wait()")
    widget, still = shown.displays
    assert "application/vnd.jupyter.widget-view+json" in widget
    assert "application/vnd.jupyter.widget-view+json" not in still


def test_a_load_says_what_it_does_and_what_it_has_loaded(ready: Kernel, byte_model_dir: Path) -> None:
    loaded = ready.run(f"other = snb.load({str(byte_model_dir)!r}, dtype='float32')")
    assert len(loaded.displays) == 1
    lines = [data["text/plain"] for data in (*loaded.displays, *loaded.updates)]
    assert lines[0].startswith(f"Loading {byte_model_dir.name}: ")
    assert lines[-1] == f"Loaded {byte_model_dir.name}: 0.1 million weights, float32 on cpu"


def test_a_comparison_counts_its_answers(ready: Kernel) -> None:
    compared = ready.run("_ = snb.compare(model, rows[:4], lambda output, expected, prompt: 0.0, max_new_tokens=2)")
    lines = [data["text/plain"] for data in (*compared.displays, *compared.updates)]
    assert "of 8 answers" in lines[0] and lines[-1] == "Compared base and tuned on 4 rows", compared


def test_waiting_in_a_thread_shows_the_same(ready: Kernel) -> None:
    code = "run = model.train(rows, max_steps=20, sample_max_new_tokens=0, lora_r=4)\n"
    code += "import threading\nthread = threading.Thread(target=run.wait)\nthread.start()\nthread.join()"
    waited = ready.run(code)
    (line,) = waited.displays
    assert "finished, step 20 of 20" in (waited.updates or [line])[-1]["text/plain"]


def test_what_is_saved_does_not_depend_on_the_time_it_took(
    byte_model_dir: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setenv("SHADOWNB_HOME", str(tmp_path / "home"))
    cells = [
        f"import shadownb as snb\n{ROWS}\nmodel = snb.load({str(byte_model_dir)!r}, dtype='float32')",
        "run = model.train(rows, max_steps=30, sample_max_new_tokens=0, lora_r=4)",
        "run.wait();",
        "again = model.train(rows, max_steps=30, sample_max_new_tokens=0, lora_r=4, background=False, start='trained')",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbclient.NotebookClient(notebook, timeout=240, kernel_name="python3", store_widget_state=False).execute()
    loaded, started, waited, foreground = (cell.outputs for cell in notebook.cells)
    assert [output.data["text/plain"] for output in loaded if output.output_type == "display_data"] == [
        f"Loaded {byte_model_dir.name}: 0.1 million weights, float32 on cpu"
    ]
    assert started == []
    for outputs in (waited, foreground):
        (output,) = outputs
        assert "finished, step 30 of 30" in output.data["text/plain"] and output.data["image/png"]


# -- interrupts --------------------------------------------------------------------------------------------------------


def test_interrupting_a_wait_is_raised_and_the_run_goes_on(ready: Kernel) -> None:
    ready.run(f"run = model.train(rows, {LONG})")
    run = snb.runs.latest()
    thread = interrupt_later(ready)
    waited = ready.run("run.wait()\nprint('half-trained and shipped')")
    thread.join()
    assert waited.status == "error", "or Run All goes on with the next cell"
    assert waited.error is not None and waited.error["ename"] == "KeyboardInterrupt"
    assert len(waited.error["traceback"]) == 1, "no way through the engine's modules"
    said = waited.stdout.strip().splitlines()
    assert len(said) == 1 and "goes on" in said[0] and "run.stop()" in said[0], waited.stdout
    assert waited.updates[-1]["text/plain"].startswith("Interrupted at step ")
    before = run.step
    until(run, lambda state: state.step > before)
    ready.run("run.discard(); run.wait(timeout=60)")


def test_saving_a_run_that_goes_on_says_which_step(ready: Kernel) -> None:
    ready.run(f"run = model.train(rows, {LONG})")
    run = snb.runs.latest()
    until(run, lambda state: state.step > 2)
    saved = ready.run("model.save('half')")
    assert "ShadowWarning: Saved step " in saved.stderr and f"run {run.id} is running" in saved.stderr
    trained = json.loads(ready.run("print(open('half/shadownb.json').read())").stdout)["trained"]
    assert trained["run"] == run.id and trained["status"] == "running" and trained["total_steps"] == 100000
    assert f"Saved step {trained['step']} of 100000" in saved.stderr
    ready.run("run.discard(); run.wait(timeout=60)")


@pytest.mark.parametrize(
    "code",
    [
        f"model.train(rows, background=False, {LONG})",
        f"model.train(rows, background=False, executor='process', {LONG})",
        "%shadow train model rows --no-background --max-steps 100000 --sample-max-new-tokens 0 --lora-r 4",
    ],
    ids=["thread", "process", "magic"],
)
def test_interrupting_a_foreground_run_stops_and_saves_it(ready: Kernel, code: str) -> None:
    thread = interrupt_later(ready)
    waited = ready.run(code)
    thread.join()
    run = snb.runs.latest()
    assert waited.error is not None and waited.error["ename"] == "KeyboardInterrupt", waited
    assert run.status == "stopped" and run.result() is not None
    assert f"shadownb.runs.load({run.id!r}).resume() goes on" in waited.stdout


def test_interrupting_a_comparison_is_raised_and_leaves_the_weights(ready: Kernel) -> None:
    ready.run("began = __import__('threading').Event()")
    asked = "snb.compare(model, rows * 50, lambda output, expected, prompt: 0.0, max_new_tokens=200, batch_rows=4)"
    interrupt = "import os, signal, threading; threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()"
    compared = ready.run(f"{interrupt}\n{asked}\nprint('went on')")
    assert compared.error is not None and compared.error["ename"] == "KeyboardInterrupt", compared
    assert ready.value("(model.gate.holder, model.gate.waiting)") == "(None, 0)"
    assert ready.run("model.generate('Colour 1?', max_new_tokens=2)").status == "ok"
