"""The thread executor: one run at a time in a background thread of this process, others wait in line, visibly.

One at a time, because accelerate's state belongs to the whole process. The thread ends when the line is empty.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shadownb.engine.ports.executor import Attempt, Launch
from shadownb.engine.runs.commands import STOPS, CommandReader
from shadownb.engine.runs.control import end_unstarted
from shadownb.engine.runs.executors.base import FolderExecutor
from shadownb.engine.runs.folder import RunFolder
from shadownb.engine.runs.job import execute
from shadownb.engine.runs.journal import Journal

if TYPE_CHECKING:
    from shadownb.engine.loaded.model import LoadedModel

_LOOK_SECONDS = 0.2  # between looks for a stop of a run that still waits


@dataclass
class _Job:
    folder: RunFolder
    attempt: Attempt
    journal: Journal
    model: LoadedModel
    commands: CommandReader


class _Line:
    """The jobs of this process, first come first served."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[_Job] = deque()
        self._current: _Job | None = None
        self._trainer: threading.Thread | None = None
        self._watcher: threading.Thread | None = None

    def add(self, job: _Job) -> None:
        with self._lock:
            ahead = len(self._waiting) + (self._current is not None)
            job.journal.append("phase", name="queued", done=0, total=None, unit="", message=f"{ahead} ahead")
            self._waiting.append(job)
            if self._trainer is None:
                self._trainer = threading.Thread(target=self._train, name="shadownb-train", daemon=True)
                self._trainer.start()
            elif self._watcher is None:
                self._watcher = threading.Thread(target=self._watch, name="shadownb-queue", daemon=True)
                self._watcher.start()

    def _train(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._trainer = self._current = None
                    return
                job = self._current = self._waiting.popleft()
            try:
                execute(job.folder, job.attempt, job.journal, job.model)
            finally:
                job.journal.close()

    def _watch(self) -> None:
        """Obey a stop of a run that waits; the training thread is busy with another one."""
        pause = threading.Event()
        while True:
            pause.wait(_LOOK_SECONDS)
            with self._lock:
                for job in list(self._waiting):
                    stop = next((command for command in job.commands.poll() if command["kind"] in STOPS), None)
                    if stop is not None:
                        self._waiting.remove(job)
                        end_unstarted(job.journal, stop, "while waiting in line")
                        job.journal.close()
                if not self._waiting:
                    self._watcher = None
                    return

    def find(self, run: str | Path) -> _Job | None:
        """Return the job of a run's folder, or of its id."""
        with self._lock:
            jobs = [*self._waiting, *([self._current] if self._current else [])]
            return next((job for job in jobs if run in (job.folder.id, job.folder.path)), None)


class ThreadExecutor(FolderExecutor):
    """Trains in this process's training thread, each run after those before it."""

    where = "a thread"
    shares_memory = True
    takes_functions = True

    def __init__(self) -> None:
        self._line = _Line()

    def submit(self, folder: Path, attempt: Attempt, model: Any | None) -> None:
        """Put a run in line."""
        assert model is not None
        run = RunFolder(folder)
        self._line.add(
            _Job(run, attempt, Journal(run.events), model, CommandReader(run.commands, attempt.commands_from))
        )

    def holds(self, folder: Path, launch: Launch) -> bool:
        """Whether it is trained or waits in line, here or in the process that launched it."""
        return self._line.find(folder) is not None or super().holds(folder, launch)

    def model_of(self, run_id: str) -> Any | None:
        """Return the model that a run of this process trains or waits to."""
        job = self._line.find(run_id)
        return job.model if job is not None else None
