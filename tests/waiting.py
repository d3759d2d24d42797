"""Wait for what happens elsewhere: a condition, and a coroutine beside a loop that runs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any


def wait_for(done: Callable[[], Any], seconds: float = 60.0) -> Any:
    """Return what ``done`` returns as soon as it is true."""
    end = time.monotonic() + seconds
    while not (value := done()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)
    return value


def run_async(work: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine to its end in a thread of its own: after browser tests the main thread has a loop that runs."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()
