"""The thread executor: one run at a time in a background thread of this process, others wait in line, visibly.

One at a time, because accelerate's state belongs to the whole process. The thread ends when the line is empty.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shadownb.engine.ports.executor import Attempt, Launch
from shadownb.engine.runs.executors.base import FolderExecutor
from shadownb.engine.runs.folder import RunFolder
from shadownb.engine.runs.job import execute
from shadownb.engine.runs.journal import Journal
from shadownb.engine.runs.turns import LOOK_SECONDS, Turn, Waiter

if TYPE_CHECKING:
    from shadownb.engine.loaded.model import LoadedModel


@dataclass
class _Job:
    folder: RunFolder
    journal: Journal
    model: LoadedModel
    waiter: Waiter


class _Line:
    """The jobs of this process: one at a time, each when its turn on its device has come."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[_Job] = []
        self._current: _Job | None = None
        self._trainer: threading.Thread | None = None
        self._watcher: threading.Thread | None = None

    def add(self, job: _Job) -> None:
        with self._lock:
            self._waiting.append(job)
            self._tell()
            if self._trainer is None:
                self._trainer = threading.Thread(target=self._train, name="shadownb-train", daemon=True)
                self._trainer.start()
            elif self._watcher is None:
                self._watcher = threading.Thread(target=self._watch, name="shadownb-queue", daemon=True)
                self._watcher.start()

    def _train(self) -> None:
        pause = threading.Event()
        while True:
            with self._lock:
                # Before commands are looked at: a run that is paused in its first moment begins all the same, and pauses with its
                # weights in place, as it does in a worker.
                job, turn = self._next()
                if job is not None:
                    self._tell()
                else:
                    self._obey()
                    if not self._waiting:
                        self._trainer = None
                        return
            if job is None or turn is None:
                pause.wait(LOOK_SECONDS)
                continue
            try:
                execute(job.folder, turn.attempt, job.journal, job.model, turn=turn)
            finally:
                with self._lock:
                    self._current = None
                job.journal.close()

    def _next(self) -> tuple[_Job | None, Turn | None]:
        """Take the job whose turn it is, if there is one."""
        for job in self._waiting:
            if (turn := job.waiter.take()) is not None:
                self._waiting.remove(job)
                self._current = job
                return job, turn
        return None, None

    def _watch(self) -> None:
        """Obey commands to runs that wait; the training thread is busy with another one."""
        pause = threading.Event()
        while True:
            pause.wait(LOOK_SECONDS)
            with self._lock:
                self._obey()
                if not self._waiting:
                    self._watcher = None
                    return

    def _obey(self) -> None:
        for job in list(self._waiting):
            job.waiter.obey()
            if job.waiter.stopped:
                self._waiting.remove(job)
                job.journal.close()
        self._tell()

    def _tell(self) -> None:
        for place, job in enumerate(self._waiting):
            job.waiter.tell(place + (self._current is not None))

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
        journal = Journal(run.events)
        try:
            self._line.add(_Job(run, journal, model, Waiter(run, attempt, journal)))
        except BaseException:
            journal.close()
            raise

    def holds(self, folder: Path, launch: Launch) -> bool:
        """Whether it is trained or waits in line, here or in the process that launched it."""
        return self._line.find(folder) is not None or super().holds(folder, launch)

    def model_of(self, run_id: str) -> Any | None:
        """Return the model that a run of this process trains or waits to."""
        job = self._line.find(run_id)
        return job.model if job is not None else None
