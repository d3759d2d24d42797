"""Calls that may hang: a limit of seconds that holds in any thread, without signals, and leaves as little behind as can be."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import ctypes
import inspect
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

T = TypeVar("T")

SIDE_BY_SIDE = 16
"""Calls of an async scorer that wait at the same time: what a provider of judges takes from one key without refusing."""
GRACE = 1.0
"""Seconds in which a call that is told to stop has to end."""


class Stopped(BaseException):
    """Raised inside a call that took too long; no ``except Exception`` of it holds it up."""


def finished(given: Any, timeout: float | None = None) -> Any:
    """Return a value, waited for where it is awaitable; from any thread, also one whose event loop is running.

    Raises
    ------
    TimeoutError
        It took longer than ``timeout`` seconds and was cancelled.
    """
    if not inspect.isawaitable(given):
        return given
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(asyncio.wait_for(_awaited(given), timeout))
    return _elsewhere(lambda: asyncio.run(asyncio.wait_for(_awaited(given), timeout)))


def together(calls: Sequence[Callable[[], Awaitable[Any]]], timeout: float | None) -> list[Any]:
    """Return what async calls give, :data:`SIDE_BY_SIDE` at a time; in place of each that failed, its exception."""

    async def everything() -> list[Any]:
        free = asyncio.Semaphore(SIDE_BY_SIDE)

        async def one(call: Callable[[], Awaitable[Any]]) -> Any:
            async with free:
                try:
                    return await asyncio.wait_for(call(), timeout)
                except Exception as error:
                    return error

        return await asyncio.gather(*map(one, calls))

    found: list[Any] = finished(everything())
    return found


def each(calls: Sequence[Callable[[], T]], timeout: float | None, *, late: Callable[[bool], T]) -> list[T]:
    """Return what calls give, one after the other, with ``late(ended)`` in place of each that takes longer than ``timeout``.

    A call that hangs in Python is ended. One that hangs elsewhere (in a socket, a sleep, a lock) cannot be: its thread is left
    behind, a daemon, and the calls after it are not made, so that there is never more than one.
    """
    if timeout is None:
        return [call() for call in calls]
    found: list[T] = []
    while len(found) < len(calls):
        work = _Work(calls[len(found) :])
        work.start()
        while work.wait(timeout):
            pass
        found += work.found
        if work.error is not None:
            raise work.error
        if len(found) == len(calls):
            break
        ended = work.stop()
        found.append(late(True))
        if not ended:
            found += [late(False)] * (len(calls) - len(found))
    return found


class _Work(threading.Thread):
    """Makes calls one by one; whoever waits sees each that is done."""

    def __init__(self, calls: Sequence[Callable[[], Any]]) -> None:
        super().__init__(name="scorer", daemon=True)
        self._calls, self._context = calls, contextvars.copy_context()
        self._changed, self._given_up = threading.Condition(), False
        self.found: list[Any] = []
        self.error: BaseException | None = None

    def run(self) -> None:
        # Twice: the exception may come when the call has just returned.
        with contextlib.suppress(Stopped):
            self._make_calls()

    def _make_calls(self) -> None:
        try:
            for call in self._calls:
                value = self._context.run(call)
                with self._changed:
                    if self._given_up:
                        return
                    self.found.append(value)
                    self._changed.notify_all()
        except Stopped:
            pass
        except BaseException as error:
            with self._changed:
                self.error = error
                self._changed.notify_all()

    def wait(self, timeout: float) -> bool:
        """Wait for the present call; return whether it came in time and another is being made."""
        with self._changed:
            before = len(self.found)
            if before < len(self._calls) and self.error is None:
                self._changed.wait_for(lambda: len(self.found) > before or self.error is not None, timeout)
            in_time = len(self.found) > before
            self._given_up = not in_time
            return in_time and self.error is None and len(self.found) < len(self._calls)

    def stop(self) -> bool:
        """Have the present call end; return whether it has."""
        if self.is_alive():
            raise_in(self)
            self.join(GRACE)
        return not self.is_alive()


def raise_in(thread: threading.Thread) -> None:
    """Raise :class:`Stopped` in a thread, once it is at Python code again."""
    if thread.ident is not None:
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(Stopped))


async def _awaited(given: Awaitable[Any]) -> Any:
    return await given


def _elsewhere(call: Callable[[], Any]) -> Any:
    """Return what a call gives in a thread of its own, where no event loop runs."""
    outcome: list[Any] = []
    failure: list[BaseException] = []

    def work() -> None:
        try:
            outcome.append(call())
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=work, name="scorer loop")
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return outcome[0]
