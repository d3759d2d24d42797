"""What came out of a run, read from its folder: which checkpoint is its result, those of its steps, its samples."""

from __future__ import annotations

import json
from typing import Any

from shadownb.engine.runs import checkpoints
from shadownb.engine.runs.checkpoints import Checkpoint
from shadownb.engine.runs.folder import RunFolder
from shadownb.engine.runs.journal import JournalReader
from shadownb.engine.runs.promoting import promoted
from shadownb.engine.runs.state import RunState
from shadownb.errors import CheckpointError, RunError

ASKED = "asked.json"
"""Beside the samples of a run: what each prompt's row expects, and what was answered before the first step."""


def result_of(folder: RunFolder, *, verified: bool = True) -> Checkpoint:
    """Return the checkpoint that was promoted, or that a run ended with, or the newest valid one of a run that broke off.

    Parameters
    ----------
    verified
        Whether every file is checked against its hash, as whoever loads it needs; that takes seconds for a whole model.

    Raises
    ------
    CheckpointError
        The run has no valid checkpoint.
    """
    read = checkpoints.opened if verified else checkpoints.described
    chosen = promoted(folder)
    if chosen is not None:
        return read(folder.checkpoints / chosen)
    named = None
    for event in JournalReader(folder.events):
        if event["type"] in ("attempt", "end"):
            named = event.get("result")
    if named is not None and (folder.checkpoints / named).is_dir():
        return read(folder.checkpoints / named)
    newest, skipped = checkpoints.newest_valid(folder.checkpoints, read)
    if newest is None:
        why = "; ".join(skipped) or "It was stopped before the first one, or discarded."
        raise CheckpointError(f"Run {folder.id} has no checkpoint.", why=why, fix="Start it again.")
    return newest


def checkpoint_at(folder: RunFolder, step: int | None) -> Checkpoint:
    """Return the checkpoint of a step, None for the newest. Raises CheckpointError where there is none."""
    found = checkpoints.list_checkpoints(folder.checkpoints)
    for checkpoint in reversed(found):
        if step is None or checkpoint.step == step:
            return checkpoint
    have = ", ".join(str(c.step) for c in found) or "none"
    raise CheckpointError(f"Run {folder.id} has no checkpoint of step {step}.", fix=f"Steps with one: {have}.")


def completions_of(folder: RunFolder, state: RunState, step: int | None) -> list[dict[str, Any]]:
    """Return the scored answers of a step, group by group; None for the newest.

    Raises
    ------
    RunError
        There are none of that step.
    """
    found = [event for event in state.completions if step is None or event["step"] == step]
    path = folder.samples / found[-1]["path"] if found else None
    if path is None or not path.is_file():
        have = ", ".join(str(event["step"]) for event in state.completions[-12:]) or "none"
        of = "" if step is None else f" of step {step}"
        raise RunError(f"Run {folder.id} has no scored answers{of}.", fix=f"Steps with some: {have}.")
    groups: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["groups"]
    return groups


def samples_of(folder: RunFolder, state: RunState) -> list[dict[str, Any]]:
    """Return what the fixed prompts were answered at each evaluation, as far as the files are there."""
    paths = [folder.samples / event["path"] for event in state.samples]
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths if path.is_file()]


def asked_of(folder: RunFolder) -> list[dict[str, Any]]:
    """Return what was asked at each evaluation: ``prompt``, ``expected`` and ``before`` (what the weights of the start
    answered), None where a row has no answer. Empty for runs of earlier versions.
    """
    try:
        found: list[dict[str, Any]] = json.loads((folder.samples / ASKED).read_text(encoding="utf-8"))["items"]
    except (OSError, ValueError, KeyError):
        return []
    return found
