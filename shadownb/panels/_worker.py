"""A panel's threads: a writer that handles commands in order, and a second one for what takes long.

A thread starts with the first job and ends when there is nothing left, so an idle panel holds none.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from shadownb.engine.live import quiet

Job = Callable[[], Any]


class Worker:
    """Runs jobs one after the other.

    Parameters
    ----------
    name
        Name of the thread, for debuggers.
    on_error
        Called with what a job raised, on the worker's thread; a job that fails never stops those behind it.
    """

    def __init__(self, name: str, on_error: Callable[[BaseException], None]) -> None:
        self._name = name
        self._on_error = on_error
        self._jobs: deque[tuple[str | None, Job]] = deque()
        self._later: deque[tuple[str | None, Job]] = deque()
        self._changed = threading.Condition()
        self._running = False

    def submit(self, job: Job, *, key: str | None = None, later: bool = False) -> None:
        """Queue a job and return at once; it replaces a waiting one with the same ``key``.

        A job for ``later`` begins when nothing else waits.
        """
        with self._changed:
            if key is not None:
                self._drop(key)
            (self._later if later else self._jobs).append((key, job))
            if not self._running:
                self._running = True
                threading.Thread(target=self._work, name=self._name, daemon=True).start()

    def cancel(self, key: str) -> None:
        """Drop a waiting job; one that has begun goes on."""
        with self._changed:
            self._drop(key)

    def wait(self, timeout: float | None = None) -> bool:
        """Block until no job is left; return whether that was so within ``timeout`` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._running, timeout)

    def _drop(self, key: str) -> None:
        self._jobs = deque(item for item in self._jobs if item[0] != key)
        self._later = deque(item for item in self._later if item[0] != key)

    def _work(self) -> None:
        while True:
            with self._changed:
                if not self._jobs and not self._later:
                    self._running = False
                    self._changed.notify_all()
                    return
                _, job = (self._jobs or self._later).popleft()
            try:
                with quiet():  # the panel shows what its jobs do; a line would land in whichever cell runs
                    job()
            except BaseException as error:
                # Whatever it is must reach the user: nobody else looks at this thread.
                self._on_error(error)


class Background:
    """Runs long jobs on a thread of their own and hands each result to a panel's writer.

    Parameters
    ----------
    name
        Name of the thread, for debuggers.
    writer
        Runs what is done with the results.
    """

    def __init__(self, name: str, writer: Worker) -> None:
        self._writer = writer
        self._worker = Worker(name, writer._on_error)
        self._latest: dict[str, int] = {}

    def submit(
        self,
        key: str,
        job: Job,
        then: Callable[[Any], None],
        failed: Callable[[Exception], None],
        *,
        later: bool = False,
    ) -> None:
        """Queue a job and return at once.

        Parameters
        ----------
        key
            What the job is for. A newer job for the same replaces a waiting one, and the result of one that has begun
            already is dropped.
        then, failed
            Called on the writer thread with what ``job`` returned or raised.
        later
            Whether every other job goes before it.
        """
        number = self._latest[key] = self._latest.get(key, 0) + 1

        def deliver(receive: Callable[[Any], None], value: Any) -> None:
            self._writer.submit(lambda: receive(value) if self._latest[key] == number else None)

        def work() -> None:
            try:
                value = job()
            except Exception as error:
                deliver(failed, error)
            else:
                deliver(then, value)

        self._worker.submit(work, key=key, later=later)

    def cancel(self, key: str) -> None:
        """Drop a waiting job, and the result of one that has begun."""
        self._latest[key] = self._latest.get(key, 0) + 1
        self._worker.cancel(key)

    def wait(self, timeout: float | None = None) -> bool:
        """Block until no job is left and every result is handed over; False if that took over ``timeout`` seconds."""
        return self._worker.wait(timeout) and self._writer.wait(timeout)
