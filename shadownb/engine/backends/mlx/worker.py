"""The one thread of this process that computes with MLX.

MLX gives each thread that computes a stream with a thread of its own, which stays until the process ends, and an array that was not
evaluated yet can be evaluated in its own thread alone ("There is no Stream(cpu, 0) in current thread"). Chats, streams and runs
come from threads of their own, dozens in a session. So all of it is computed here: whoever wants something hands over a function
and waits. The gate stays with those who wait; nothing in this thread ever waits for it.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")

# A Ctrl-C that comes just before the wait begins does not end it; it is seen at the next look.
_LOOK_SECONDS = 0.5


class _Job(Generic[T]):
    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._done = threading.Event()
        self._result: T
        self._error: BaseException | None = None
        self.given_up = False

    def compute(self) -> None:
        try:
            self._result = self._work()
        except BaseException as error:  # of whoever waits
            self._error = error
        finally:
            del self._work  # or the arrays that it names would live until the next job
            self._done.set()

    def wait(self) -> T:
        try:
            while not self._done.wait(_LOOK_SECONDS):
                pass
        except BaseException:  # Ctrl-C: nobody may take the weights while this still computes with them
            self.given_up = True
            self._done.wait()
            raise
        if self._error is not None:
            raise self._error
        return self._result


_jobs: queue.SimpleQueue[_Job[Any]] = queue.SimpleQueue()
_starting = threading.Lock()
_thread: threading.Thread | None = None
_current: _Job[Any] | None = None


def here() -> bool:
    """Return whether this is the thread that computes."""
    return threading.current_thread() is _thread


def run(work: Callable[[], T]) -> T:
    """Return what a function returns, or raise what it raises, computed in the thread; in that thread itself at once."""
    global _thread
    if here():
        return work()
    with _starting:
        if _thread is None or not _thread.is_alive():  # a fork has none
            # A daemon: it computes only while somebody who is none waits for it, so it is idle when the interpreter ends.
            _thread = threading.Thread(target=_serve, name="shadownb-mlx", daemon=True)
            _thread.start()
    job = _Job(work)
    _jobs.put(job)
    return job.wait()


def given_up() -> bool:
    """Return whether whoever waits for what is computed now was interrupted; for loops that can end early."""
    return _current is not None and _current.given_up


def _serve() -> None:
    global _current
    while True:
        _current = _jobs.get()
        _current.compute()
        _current = None
