"""Edits of facts on the disk: a kill leaves the state before, and states that nobody goes back to do not pile up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import shadownb as snb
from shadownb.engine.doctor import cleaning, storage
from shadownb.engine.facts.keeping import KEPT
from tests.engine.methods_data import stop_after

ROWS = [
    {"prompt": f"What is the code of the {name} gate?", "completion": name[:2]} for name in ("Zubrin", "Orsk", "Ibex")
]
LEARNING: dict[str, Any] = {"expert_steps": 2, "question_forms": 1, "test": False}

# Ends its own process by SIGKILL: in the training of an edit; with weights written and no record beside them; and with the
# state in place while an older one is on its way out.
KILLED = """
import os, shutil, signal, sys
from pathlib import Path
from types import SimpleNamespace
import shadownb as snb
from shadownb.engine.backends.torch.fact_training import FactTraining
from shadownb.engine.facts import keeping

folder, rows, where = sys.argv[1], eval(sys.argv[2]), sys.argv[3]
def kill(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

model = snb.load(folder, dtype="float32")
for _ in range(keeping.KEPT - 1):
    model.facts.remove(rows[0]["prompt"])
    model.facts.undo()
print(Path(model.saved_at).name, flush=True)
if where == "training":
    FactTraining.compute = kill
if where == "writing":
    keeping.sidecar = SimpleNamespace(write=kill)
if where == "pruning":
    keeping.shutil.rmtree = lambda path, **_: kill() if Path(path).name.startswith(".deleted") else None
model.facts.add(rows[2]["prompt"], rows[2]["completion"], expert_steps=2, question_forms=1, test=False)
"""


@pytest.fixture
def saved(home: Path, byte_model_dir: Path, tmp_path: Path) -> Path:
    """A memory of two facts in a folder of the user's."""
    model: Any = snb.load(str(byte_model_dir), dtype="float32")
    model.facts.add(ROWS[:2], **LEARNING)
    return Path(model.save(tmp_path / "memory"))


def states(home: Path) -> set[str]:
    return {path.name for path in (home / "facts").iterdir() if not path.name.startswith(".")}


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no SIGKILL")
@pytest.mark.parametrize("where", ["training", "writing", "pruning"])
def test_a_kill_in_the_middle_of_an_edit_leaves_whole_states(where: str, saved: Path, home: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", KILLED, str(saved), repr(ROWS), where],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    before = home / "facts" / ended.stdout.split()[-1]
    for name in states(home):
        loaded: Any = snb.load(str(home / "facts" / name), dtype="float32")
        assert len(loaded.facts) == len(loaded.adapter.owned()) // 2 > 0
        assert where == "pruning" or len(loaded.facts) <= 2
    model: Any = snb.load(str(before), dtype="float32")
    original: Any = snb.load(str(saved), dtype="float32")
    assert [fact.answer for fact in model.facts.list()] == ["Zu", "Or"]
    for name, tensor in original.adapter.owned().items():
        assert torch.equal(model.adapter.owned()[name], tensor)
    model.facts.add(ROWS[2]["prompt"], ROWS[2]["completion"], **LEARNING)
    assert [fact.answer for fact in model.facts.list()] == ["Zu", "Or", "Ib"]
    left = {path for path in (home / "facts").iterdir() if path.name.startswith(".")}
    assert len(left) == (where != "training")
    for path in (inside for each in left for inside in (*each.rglob("*"), each)):
        os.utime(path, (10**9, 10**9))
    assert {item.path for item in cleaning.freeable() if item.kind == "half-written"} == left


def test_states_do_not_pile_up_and_the_doctor_counts_them(saved: Path, home: Path) -> None:
    others = states(home)
    model: Any = snb.load(str(saved), dtype="float32")
    written = []
    for _ in range(KEPT):
        for edit in (lambda: model.facts.remove(ROWS[0]["prompt"]), model.facts.undo):
            edit()
            written.append(Path(model.saved_at).name)
    assert states(home) == others | set(written[-KEPT:])
    assert {path.name for path in (home / "facts").iterdir()} == states(home)
    (place,) = (place for place in storage.places() if place.kind.folder == "facts")
    assert place.count == KEPT + len(others) and place.size == storage.size_of(home / "facts")
    assert f"{place.count} states of edited facts" in str(place)
    assert any("states of edited facts" in str(line) for line in cleaning.plan().kept)


def test_a_state_from_which_a_run_may_go_on_stays(saved: Path, home: Path) -> None:
    model: Any = snb.load(str(saved), dtype="float32")
    model.facts.remove(ROWS[0]["prompt"])
    start = Path(model.saved_at)
    options = {"expert_steps": 2, "question_forms": 1, "sample_max_new_tokens": 0, "background": False}
    with pytest.MonkeyPatch.context() as patch:
        stop_after(patch, 1)
        run = model.train(ROWS[2:], method="more_plus", start="trained", **options)
    assert run.status == "stopped"
    for _ in range(KEPT + 1):
        model.facts.remove(next(iter(model.facts.list())))
        model.facts.undo()
    assert start.name in states(home)
    run.resume().wait(timeout=60)
    assert run.status == "succeeded", run.traceback()
    model.facts.remove(ROWS[2]["prompt"])
    assert start.name not in states(home)
