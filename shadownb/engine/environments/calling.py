"""Calls into one environment: always from the same thread, beside those of others, each with a limit of seconds.

A connection to a database, or an event loop, belongs to the thread that made it, so an environment keeps its thread for as long
as it lives. A call that hangs in Python is ended; one that hangs elsewhere (in a socket, a sleep) cannot be: its thread, a daemon,
is left behind together with the environment, which is not used again.
"""

from __future__ import annotations

import contextlib
import contextvars
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from shadownb.engine.scoring.limits import GRACE, Stopped, raise_in

T = TypeVar("T")


class Late(Exception):
    """A call took longer than it may; ``ended`` says whether it has ended since."""

    def __init__(self, seconds: float, *, ended: bool) -> None:
        super().__init__(f"took longer than {seconds:g} s")
        self.ended = ended


@dataclass
class Pending(Generic[T]):
    """A call on its way."""

    hand: Hand
    call: Callable[[], T]
    limit: float
    done: threading.Event
    began: float | None = None
    value: Any = None
    error: BaseException | None = None

    def result(self, stopped: Callable[[], bool] = lambda: False) -> T:
        """Return what it gave.

        Raises
        ------
        Late
            It took longer than its limit.
        Exception
            What it raised.
        """
        while not self.done.wait(0.05):
            if (self.began is not None and time.monotonic() - self.began > self.limit) or stopped():
                raise Late(self.limit, ended=self.hand.end(self))
        if self.error is not None:
            raise self.error
        found: T = self.value
        return found


class Hand:
    """The thread of one environment."""

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[Pending[Any] | None] = queue.SimpleQueue()
        self._context = contextvars.copy_context()
        self._thread = threading.Thread(target=self._work, name="environment", daemon=True)
        self._thread.start()
        self.lost = False

    def begin(self, call: Callable[[], T], limit: float) -> Pending[T]:
        """Have something called as soon as the calls before it are done."""
        pending = Pending(self, call, limit, threading.Event())
        self._calls.put(pending)
        return pending

    def end(self, pending: Pending[Any]) -> bool:
        """End a call that takes too long; returns whether it has ended, else this hand is lost."""
        raise_in(self._thread)
        ended = pending.done.wait(GRACE)
        self.lost = self.lost or not ended
        return ended

    def close(self) -> None:
        """Let the thread end, once it is free."""
        self._calls.put(None)

    def _work(self) -> None:
        while True:
            with contextlib.suppress(Stopped):  # it may come when the call has just returned
                if not self._next():
                    return

    def _next(self) -> bool:
        pending = self._calls.get()
        if pending is None:
            return False
        try:
            pending.began = time.monotonic()
            pending.value = self._context.run(pending.call)
        except BaseException as error:  # of the environment's own code; whoever waits is told
            pending.error = error
        finally:
            pending.done.set()
        return True
