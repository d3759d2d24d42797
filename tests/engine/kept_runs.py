"""Small run folders of every method, kept as an earlier version wrote them: what is in ``kept/``, and how it is written.

    python -m tests.engine.kept_runs NAME     # writes kept/NAME.tar.xz, with the version at hand

An archive holds a home: the base, the data, and a run of each method that was stopped on its way. ``expected.json`` has what
the same run comes to when nothing stops it. Write a new one, under a new name, when the format of a run's folder changes, and
keep the old: people's runs are as old as that.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
import tarfile
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import shadownb as snb
from shadownb.engine.runs import Run
from tests.engine.methods_data import CASES, DATA
from tests.tiny_models import byte_llama_of

FOLDER = Path(__file__).with_name("kept")
# Format 1 is older than the methods whose model answers; tests/policy and tests/teaching have their resumes.
METHODS = sorted({case.method for case in CASES.values()} - {"grpo", "rloo", "reinforce_pp", "distill", "sdft"})
STEPS = 10
_HOME = "@HOME@"  # stands for the home's path in what names it
_NAMING = ("run.json", "events.jsonl")
OPTIONS: dict[str, Any] = {
    "max_steps": STEPS,
    "per_device_train_batch_size": 2,
    "gradient_accumulation_steps": 1,
    "eval_dataset": "auto",
    "eval_steps": 2,
    "save_steps": 1,
    "save_total_limit": 1,
    "sample_max_new_tokens": 4,
    "executor": "thread",
}
_SMALL = {"lora_r": 2, "lora_dropout": 0.1}
OWN: dict[str, dict[str, Any]] = {
    **{method: _SMALL for method in ("lora", "qlora", "dora", "dpo", "kto")},
    **{method: {"lora_r": 2} for method in ("miss", "shira", "adapter")},
    **{method: {"num_virtual_tokens": 2} for method in ("prompt", "ptuning")},
    "cpt": {**_SMALL, "max_length": 64},
}


def unpack(name: str, home: Path) -> dict[str, Any]:
    """Unpack an archive as a home, and return what is expected of its runs, by method."""
    with tarfile.open(FOLDER / f"{name}.tar.xz") as archive:
        archive.extractall(home, filter="data")
    for file in home.glob("runs/*/*"):
        if file.name in _NAMING:
            file.write_text(file.read_text(encoding="utf-8").replace(_HOME, str(home)), encoding="utf-8")
    return dict(json.loads((home / "expected.json").read_text(encoding="utf-8")))


def write(name: str) -> None:
    """Train every method twice, once to the end and once until it is stopped, and keep the second."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        os.environ["SHADOWNB_HOME"] = str(home)
        # Where the small model of the catalogue would lie, so that it has a name and not a place.
        base = byte_llama_of(home / "models" / "smollm2-135m", 16, 32, biases=True)
        expected: dict[str, Any] = {}
        for method in METHODS:
            whole = _train(method)
            expected[method] = {"loss": _losses(whole), "eval_loss": [row["eval_loss"] for row in whole.eval_metrics]}
            shutil.rmtree(whole.path)
            stopped = _train(method, stop_after=STEPS // 2)
            expected[method] |= {"run": stopped.id, "step": stopped.step, "status": stopped.status}
            print(f"{method}: {stopped}")
        _pack(name, home, expected, base)


def _train(method: str, stop_after: int | None = None) -> Run:
    case = CASES[method]
    model = snb.load("smollm2-135m", max_length=256, dtype="float32", quantize="4bit" if method == "qlora" else None)
    stopped = threading.Event()
    # So small a model is at its end before anybody can stop it.
    model.module.get_input_embeddings().register_forward_pre_hook(lambda *_: time.sleep(0.05) if stop_after else None)
    run: Run = model.train(DATA[case.data](), method=method, background=True, **OPTIONS, **OWN.get(method, {}))

    def look(state: Any) -> None:
        if stop_after and state.step >= stop_after and not stopped.is_set():
            stopped.set()
            run.stop()

    run.subscribe(look)
    return run.wait(timeout=120, raise_on_failure=True)


def _losses(run: Run) -> list[float]:
    return [row["loss"] for row in run.metrics]


def _pack(name: str, home: Path, expected: dict[str, Any], base: Path) -> None:
    for file in home.glob("runs/*/*"):
        if file.name in _NAMING:
            file.write_text(file.read_text(encoding="utf-8").replace(str(home), _HOME), encoding="utf-8")
    FOLDER.mkdir(exist_ok=True)
    with tarfile.open(FOLDER / f"{name}.tar.xz", "w:xz", preset=9) as archive:
        for part in (base, home / "datasets", home / "runs"):
            archive.add(part, part.relative_to(home), filter=_nobodys)
        content = json.dumps(expected, indent=1).encode()
        entry = tarfile.TarInfo("expected.json")
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))


def _nobodys(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Leave out locks, and who wrote a file."""
    if entry.name.endswith(".lock"):
        return None
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


if __name__ == "__main__":
    write(sys.argv[1])
