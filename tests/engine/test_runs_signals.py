"""Ctrl-C in a script stops and saves; a worker obeys a stop while it loads; a method from a cell works everywhere."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import shadownb as snb
from shadownb import methods
from tests.engine.conftest import until


def test_control_c_in_a_script_stops_and_saves(home: Path, tiny_model_dir: Path, rows: list[Any]) -> None:
    code = f"""
import json, shadownb as snb
model = snb.load({str(tiny_model_dir)!r}, max_length=256, dtype="float32")
print("ready", flush=True)
model.train(json.loads({json.dumps(rows)!r}), max_steps=5000, sample_max_new_tokens=0)
"""
    script = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert script.stdout is not None
    assert script.stdout.readline().strip() == "ready"
    while not list((home / "runs").glob("*/run.json")):
        assert script.poll() is None, script.communicate()[1]
    run = snb.runs.latest()
    until(run, lambda s: s.step >= 2)
    script.send_signal(signal.SIGINT)
    _, errors = script.communicate(timeout=60)
    assert "KeyboardInterrupt" in errors
    assert run.status == "stopped"
    assert run.checkpoint_at().step == run.state.step >= 2


def test_a_worker_obeys_a_stop_while_it_is_loading(tiny: Any, rows: list[Any]) -> None:
    run = tiny.train(rows, max_steps=5000, background=True, executor="process", sample_max_new_tokens=0)
    until(run, lambda s: s.launched["worker"] is not None)
    assert run.state.step == 0
    run.stop()
    run.wait(timeout=120)
    assert run.status == "stopped"
    assert run.state.step == 0
    assert not tiny.trained


def test_a_method_registered_in_a_cell_trains_in_a_worker_too(tiny: Any, rows: list[Any]) -> None:
    methods.register(methods.get("lora").replace(name="narrow", title="Narrow LoRA", default_learning_rate=3e-3))
    try:
        options: dict[str, Any] = {"method": "narrow", "max_steps": 3, "lora_r": 2, "sample_max_new_tokens": 0}
        run = tiny.train(rows, background=False, executor="process", **options)
        assert run.status == "succeeded"
        assert max(m["learning_rate"] for m in run.metrics) == 3e-3
    finally:
        methods.unregister("narrow")
    again = snb.runs.load(run.id)
    assert again.config.method == "narrow", "a record must be readable where nobody registered its method"
    assert again.config.resolved_learning_rate() == 3e-3
    assert not methods.known("narrow"), "reading a run changes no registry"


def test_kernels_with_a_shell_of_their_own_are_notebooks(home: Path) -> None:
    code = """
from shadownb.engine.runs.launch import in_notebook
assert not in_notebook(), "a script"
from ipykernel.zmqshell import ZMQInteractiveShell
assert not in_notebook(), "the package is loaded, but no shell runs"
class Shell(ZMQInteractiveShell):
    pass
Shell.instance()
assert in_notebook(), "as in Colab"
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_terminal_is_no_notebook(home: Path) -> None:
    code = """
import ipykernel.zmqshell
from IPython.terminal.interactiveshell import TerminalInteractiveShell
TerminalInteractiveShell.instance(simple_prompt=True)
from shadownb.engine.runs.launch import in_notebook
assert not in_notebook()
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
