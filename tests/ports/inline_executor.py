"""An executor as another package would bring it: one file, which trains in the thread that calls ``train``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from shadownb.engine.ports.executor import Attempt
from shadownb.engine.runs.executors import FolderExecutor
from shadownb.engine.runs.folder import RunFolder
from shadownb.engine.runs.job import execute
from shadownb.engine.runs.journal import Journal

TARGET = f"{__name__}:InlineExecutor"


class InlineExecutor(FolderExecutor):
    """Trains before ``submit`` returns."""

    where = "the thread that called"
    shares_memory = True
    takes_functions = True

    def __init__(self) -> None:
        self._training: dict[str, Any] = {}

    def submit(self, folder: Path, attempt: Attempt, model: Any | None) -> None:
        run = RunFolder(folder)
        journal = Journal(run.events)
        self._training[run.id] = model
        try:
            execute(run, attempt, journal, model)
        finally:
            del self._training[run.id]
            journal.close()

    def model_of(self, run_id: str) -> Any | None:
        return self._training.get(run_id)
