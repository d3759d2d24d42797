"""Write the golden curves anew: fifty steps of loss and gradient norm of every method, one file a method.

    python -m tests.engine.golden_write            # all
    python -m tests.engine.golden_write lora dpo   # some

Do this when a change is meant to change training, and say in the commit which curves moved and why.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from shadownb.engine import methods, objectives
from shadownb.engine.runs import Run
from tests.engine.methods_data import CASES, curve
from tests.tiny_models import byte_llama


def has_a_curve(method: str) -> bool:
    """Whether a method's loss falls as it learns. Where the model answers, one token that rounding turns makes another run."""
    return objectives.get(methods.get(method).objective).judged_by_loss


FOLDER = Path(__file__).with_name("golden")
STEPS = 50
NAMES = [name for name, case in CASES.items() if name == case.method and has_a_curve(name)]


def train(name: str, base: Path) -> Run:
    """Train a method as its golden curve was trained: its default rate, dropout where it has one."""
    case = CASES[name]
    run = case.train(case.load(base), max_steps=STEPS, save_steps=STEPS)
    assert run.status == "succeeded", run.error or run.traceback()
    return run


def content(name: str, run: Run) -> dict[str, Any]:
    """Return what is kept of a run."""
    return {
        "method": name,
        "loss": [float(f"{loss:.6g}") for loss, _ in curve(run)],
        "grad_norm": [float(f"{norm:.6g}") for _, norm in curve(run)],
    }


def main(names: list[str]) -> None:
    """Train and write."""
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SHADOWNB_HOME"] = str(Path(folder) / "home")
        base = byte_llama(Path(folder) / "byte-llama")
        for name in names or NAMES:
            text = json.dumps(content(name, train(name, base)))
            (FOLDER / f"{name}.json").write_text(text.replace('], "', '],\n "') + "\n", encoding="utf-8")
            print(name, text[:80])


if __name__ == "__main__":
    main(sys.argv[1:])
