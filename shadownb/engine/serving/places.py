"""Places: how many requests are answered at once, how many may wait, and what those hear who find no room."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from shadownb.engine.capture.dialects import WireError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Places:
    """Room for ``at_once`` requests, and for ``waiting`` that wait; used in one event loop.

    Attributes
    ----------
    active, queued
        How many are answered and how many wait, now.
    turned_away
        How many found no room so far.
    """

    def __init__(self, at_once: int, waiting: int) -> None:
        self._room = asyncio.Semaphore(at_once)
        self._at_once, self._most = at_once, waiting
        self._seconds = 1.0  # that a request takes, as far as the last ones tell
        self.active = self.queued = self.turned_away = 0
        self.closing = False

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """Hold a place, after those who came before. Raises :class:`WireError` 429 or 503 where there is no room."""
        if self.closing:
            raise TurnedAway(503, "The server is being stopped.", 5, code="stopping")
        if self._room.locked() and self.queued >= self._most:
            self.turned_away += 1
            text = f"{self.active} requests are being answered and {self.queued} wait, which is all there is room for."
            raise TurnedAway(429, text, self._wait(), code="rate_limit_exceeded")
        self.queued += 1
        try:
            await self._room.acquire()
        finally:
            self.queued -= 1
        self.active += 1
        began = asyncio.get_running_loop().time()
        try:
            yield
        finally:
            self.active -= 1
            self._room.release()
            self._seconds += 0.2 * (asyncio.get_running_loop().time() - began - self._seconds)

    def _wait(self) -> int:
        """Return in how many seconds there should be room."""
        return max(1, min(120, round(self._seconds * (self.queued + 1) / self._at_once)))


class TurnedAway(WireError):
    """A refusal for want of room; ``retry_after`` are seconds."""

    def __init__(self, status: int, message: str, retry_after: int, *, code: str) -> None:
        super().__init__(status, message, code=code)
        self.retry_after = retry_after
