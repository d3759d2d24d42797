"""Commands to a run: ``commands.jsonl``, appended by anyone, obeyed by the trainer.

A command is only appended, so a panel's callback returns at once and another process can stop a run. Each has an id;
the trainer acknowledges it with a ``command`` event, and obeys one id once.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from pathlib import Path
from typing import Any, Literal

from shadownb.engine.disk import open_to_append
from shadownb.engine.runs.tail import appended

CommandKind = Literal["stop", "discard", "pause", "resume"]
STOPS = ("stop", "discard")


def send(path: Path, kind: str, **fields: Any) -> str:
    """Append a command and return its id. One write of one short line is atomic on a local file system."""
    command_id = uuid.uuid4().hex[:12]
    # The first line end closes what a killed sender may have left; empty lines mean nothing.
    line = "\n" + json.dumps({"id": command_id, "kind": kind, "time": time.time(), **fields}) + "\n"
    file = open_to_append(path)
    try:
        os.write(file, line.encode())
    finally:
        os.close(file)
    return command_id


def end_offset(path: Path) -> int:
    """Return the size of the command file; a new attempt reads from here, older commands are history."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


class CommandReader:
    """Reads commands from an offset on, each id once."""

    def __init__(self, path: Path, offset: int = 0) -> None:
        self.path = path
        self.offset = offset
        self._seen: set[str] = set()

    def poll(self) -> list[dict[str, Any]]:
        """Return the commands appended since the last call."""
        lines, self.offset = appended(self.path, self.offset)
        found = []
        for line in lines:
            try:
                command = json.loads(line)
            except ValueError:
                continue
            if not isinstance(command, dict) or not isinstance(command.get("id"), str) or "kind" not in command:
                continue
            if command["id"] not in self._seen:
                self._seen.add(command["id"])
                found.append(command)
        return found
