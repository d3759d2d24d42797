"""Which checkpoint is a run's result."""

from __future__ import annotations

from shadownb.engine.runs import checkpoints
from shadownb.engine.runs.checkpoints import Checkpoint
from shadownb.engine.runs.folder import RunFolder
from shadownb.engine.runs.journal import JournalReader
from shadownb.errors import CheckpointError


def result_of(folder: RunFolder, *, verified: bool = True) -> Checkpoint:
    """Return the checkpoint that a run ended with, or the newest valid one of a run that broke off.

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
