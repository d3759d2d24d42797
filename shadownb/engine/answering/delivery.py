"""How an answer reaches whoever asked: by the recorder's own delivery, or straight to the client."""

from __future__ import annotations

from typing import Protocol

from shadownb.engine.capture.dialects import WireError


class Delivery(Protocol):
    """Takes an answer piece by piece."""

    @property
    def started(self) -> bool:
        """Whether the client has seen anything."""

    async def start(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """Begin the answer."""

    async def push(self, piece: bytes) -> None:
        """Take the next piece."""

    async def end(self) -> None:
        """The answer is complete."""

    async def fail(self, error: WireError) -> None:
        """The answer will not come, or not come whole."""
