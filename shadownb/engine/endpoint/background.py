"""A coroutine in a thread and loop of its own, so that whoever waits for it can stop it, also where a loop runs already."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError, Future
from typing import Any

_LOOK_SECONDS = 0.05  # between two looks at whether to stop


class Background:
    """Runs ``work()`` at once."""

    def __init__(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._done: Future[None] = Future()
        self._started = threading.Event()
        self._stop: Callable[[], Any] = lambda: None
        self._thread = threading.Thread(target=self._run, args=(work,), name="shadownb-endpoint")
        self._thread.start()

    @property
    def ended(self) -> bool:
        """Whether nothing of it runs any more."""
        return self._done.done()

    def cancel(self) -> None:
        """Stop it; it ends soon."""
        self._started.wait()
        with contextlib.suppress(RuntimeError):  # its loop is closed
            self._stop()

    def wait(self, should_stop: Callable[[], bool] | None = None) -> bool:
        """Return when it has ended, and whether it was stopped before. Raises what it raised."""
        try:
            while not self._ended_within(_LOOK_SECONDS):
                # An interpreter that shuts down waits for this thread, which shall not wait for a server.
                if (should_stop is not None and should_stop()) or not threading.main_thread().is_alive():
                    self.cancel()
                    self._thread.join()
        except BaseException:  # Ctrl-C, or what should_stop raised
            self.cancel()
            self._thread.join()
            raise
        self._thread.join()
        try:
            self._done.result()
        except CancelledError:
            return True
        return False

    def _ended_within(self, seconds: float) -> bool:
        with contextlib.suppress(TimeoutError, CancelledError):
            self._done.exception(seconds)
        return self._done.done()

    def _run(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            asyncio.run(self._cancellable(work))
        except asyncio.CancelledError:
            self._done.cancel()
        except BaseException as error:
            self._done.set_exception(error)
        else:
            self._done.set_result(None)
        finally:
            self._started.set()

    async def _cancellable(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        assert task is not None
        self._stop = lambda: loop.call_soon_threadsafe(task.cancel)
        self._started.set()
        await work()
