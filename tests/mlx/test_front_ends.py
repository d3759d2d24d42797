"""``backend="mlx"`` on every face: a panel, the command line, a magic and a notebook; what it cannot do is shown in the picker."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest

import shadownb as snb
from shadownb import cli
from tests.engine.methods_data import chats
from tests.panels.panel_driver import press

ROOT = Path(__file__).parents[2]


def test_the_command_line_trains_and_answers(
    byte_model_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text("\n".join(json.dumps(row) for row in chats()), encoding="utf-8")
    options = tmp_path / "options.yaml"
    options.write_text("backend: mlx\nmax_length: 256\nmax_steps: 2\nsample_max_new_tokens: 0\n", encoding="utf-8")
    assert cli.main(["train", str(byte_model_dir), str(rows), "--config", str(options)]) == 0
    assert snb.runs.latest().folder.spec["model"]["backend"] == "mlx"
    flags = ["--backend", "mlx", "--max-length", "256", "--max-steps", "2", "--sample-max-new-tokens", "0"]
    assert cli.main(["train", str(byte_model_dir), str(rows), *flags]) == 0
    run = snb.runs.latest()
    assert run.status == "succeeded" and run.folder.spec["model"]["backend"] == "mlx"
    assert run.state.record["actual_setup"]["optimizer"] == "mlx.AdamW"
    assert "mlx-lm" in run.state.record["versions"], "who reads the record later can tell what computed it"
    capsys.readouterr()
    assert cli.main(["generate", run.id, "Hello", "--max-new-tokens", "3", "--temperature", "0"]) == 0
    assert cli.main(["methods", "--model", run.id]) == 0
    assert "is not there on backend mlx" in " ".join(capsys.readouterr().out.split())
    assert cli.main(["methods"]) == 0
    listed = capsys.readouterr().out
    assert "torch, mlx" in listed and "not mlx: it trains adapters of another kind" in listed
    assert snb.methods.backends("grpo") == {"torch": None, "mlx": None}


def test_the_train_panel_loads_with_it_and_says_what_is_not_there(byte_model_dir: Path) -> None:
    panel = snb.TrainPanel(dataset=snb.Dataset(chats()))
    try:
        assert panel.settle(120)
        assert {"torch", "mlx"} <= set(panel.hardware["backends"])
        press(panel, "choose_model", choice=f"path:{byte_model_dir}")
        press(panel, "load_options", backend="mlx")
        before = {method["name"]: method.get("blocked") for method in all_methods(panel)}
        assert "backend mlx" in before["miss"] and not before["lora"], "it is known before the model is loaded"
        press(panel, "load_model")
        assert panel.model_state["stage"] == "ready" and panel.model_state["backend"] == "mlx"
        blocked = {method["name"]: method.get("blocked") for method in all_methods(panel)}
        assert not blocked["lora"] and "backend mlx" in blocked["miss"]
        assert 'backend="mlx"' in panel.code["python"] and any("backend: mlx" in text for text in panel.code.values())
        assert "backend" in panel.form["unsupported"]["report_to"] or "mlx" in panel.form["unsupported"]["report_to"]
    finally:
        panel.close()


def all_methods(panel: Any) -> list[dict[str, Any]]:
    found = panel.methods
    return found if isinstance(found, list) else [method for part in found.values() for method in part]


def test_the_quickstart_runs_with_it(byte_model_dir: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Every cell under nbval, with few steps; SmolLM2 itself with --full."""
    real = request.config.getoption("--full")
    notebook = nbformat.read(ROOT / "notebooks" / "00_quickstart.ipynb", as_version=4)
    base = "smollm2-135m" if real else str(byte_model_dir)
    changes = {
        'snb.load("smollm2-135m")': f'snb.load({base!r}, backend="mlx", dtype="float32", max_length=512)',
        "max_steps=120": f"max_steps={2 if real else 4}",
        "held_out.head(24)": "held_out.head(2)",
        "snb.compare(model, held_out,": "snb.compare(model, held_out.head(2),",
        "max_new_tokens=48": "max_new_tokens=8",
        'temperature=0))\nsnb.ChatPanel': 'temperature=0, max_new_tokens=8))\nsnb.ChatPanel',
    }  # fmt: skip
    seen = set()
    for cell in notebook.cells:
        for old, new in changes.items():
            if old in cell.source:
                seen.add(old)
                cell.source = cell.source.replace(old, new)
    assert seen == set(changes), "the quickstart has changed"
    more = [
        'assert model.backend_name == "mlx" and run.status == "succeeded"',
        f'%shadow load {base} --backend mlx --dtype float32',
        '%shadow generate model "Hello" --max-new-tokens 3',
    ]  # fmt: skip
    notebook.cells += [nbformat.v4.new_code_cell(source) for source in more]
    for cell in notebook.cells:
        if "tuned at least" in cell.source:  # so few steps teach nothing
            cell.metadata["tags"] = []
    file = tmp_path / "quickstart.ipynb"
    nbformat.write(notebook, file)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--nbval-lax", "--nbval-current-env", "-p", "no:cacheprovider",
         "--nbval-cell-timeout=600", str(file)],
        cwd=tmp_path, capture_output=True, text=True, timeout=900, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:]
