"""A run that is killed after the third of eight groups of answers, on any backend."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import shadownb as snb
from shadownb.engine.objectives.policy import rollouts as policy_rollouts
from shadownb.engine.runs import Run
from tests.engine.methods_data import curve

_KILLED = """
import os, signal
import shadownb as snb
from shadownb.engine.objectives.policy.kept import KeptAnswers
from tests.policy.conftest import OPTIONS, ROWS
scored, done = KeptAnswers.scored, []
def dying(self, prompt, scores):
    scored(self, prompt, scores)
    done.append(prompt)
    if len(done) == {dies_at}:
        os.kill(os.getpid(), signal.SIGKILL)
KeptAnswers.scored = dying
model = snb.load({folder!r}, backend={backend!r}, max_length=256, dtype="float32")
model.train(ROWS, background=False, **{{**OPTIONS, **{options!r}}})
"""
EIGHT = {"reward_fns": ["tests.policy.scorers:vowels"], "per_device_train_batch_size": 8, "max_steps": 2, "beta": 0.1}


def same_result(one: Run, other: Run) -> None:
    assert curve(one) == curve(other)
    assert one.completions() == other.completions()
    assert one.checkpoint_at().manifest["trained_sha256"] == other.checkpoint_at().manifest["trained_sha256"]


def goes_on(folder: Path, backend: str, straight: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kill a run inside its second batch, resume it, and compare it with one that was never killed."""
    script = _KILLED.format(folder=str(folder), backend=backend, dies_at=8 + 3, options=EIGHT)
    before = {run.id for run in snb.runs.list()}
    killed = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=dict(os.environ), check=False
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    run = snb.runs.load(next(run.id for run in snb.runs.list() if run.id not in before))
    assert (run.status, run.step) == ("interrupted", 1)
    kept = run.path / "samples" / "answering-000001.jsonl"
    there = [json.loads(line) for line in kept.read_text().splitlines()]
    assert sum("scores" in entry for entry in there) == 3
    asked: list[Any] = []
    score = policy_rollouts.Rollouts._scores
    monkeypatch.setattr(policy_rollouts.Rollouts, "_scores", lambda *a: asked.append(a[1].id) or score(*a))
    run.resume().wait(timeout=120)
    assert run.status == "succeeded", run.error or run.traceback()
    assert len(asked) == 5, "what was scored before is not scored again"
    same_result(run, straight)
    after = [json.loads(line) for line in kept.read_text().splitlines()]
    assert after[: len(there)] == there, "finished answers were found again"
