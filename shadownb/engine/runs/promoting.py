"""Another checkpoint than the last as a run's result: ``promoted.json`` in its folder.

The journal has one writer, the trainer, so what somebody chooses afterwards stands beside it. It holds until the run goes on:
what a later attempt ends with is newer than the choice.
"""

from __future__ import annotations

import json
from pathlib import Path

from shadownb.engine.disk import write_atomically
from shadownb.engine.runs.folder import RunFolder
from shadownb.engine.runs.journal import JournalReader

NAME = "promoted.json"


def promoted(folder: RunFolder) -> str | None:
    """Return the folder name of the checkpoint that was made the result after the run's newest attempt, or None."""
    try:
        found = json.loads((folder.path / NAME).read_text(encoding="utf-8"))
        name, attempts = str(found["checkpoint"]), int(found["attempts"])
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
    ):  # one that cannot be read chooses nothing: the run's own result stands
        return None
    there = Path(name).name == name and (folder.checkpoints / name).is_dir()
    return name if there and attempts == _attempts(folder) else None


def promote(folder: RunFolder, checkpoint: str) -> None:
    """Make a checkpoint, by the name of its folder, what the run is loaded with."""
    content = {"checkpoint": checkpoint, "attempts": _attempts(folder)}
    write_atomically(folder.path / NAME, json.dumps(content))


def _attempts(folder: RunFolder) -> int:
    return sum(event["type"] == "attempt" for event in JournalReader(folder.events))
