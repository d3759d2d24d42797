"""An answer straight to the client, as ASGI messages."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from shadownb.engine.capture.dialects import Dialect, WireError
from shadownb.engine.serving.places import TurnedAway

if TYPE_CHECKING:
    from starlette.types import Send

    from shadownb.engine.serving.measured import Served


class Direct:
    """Sends what it is given, and notes status and error of the request."""

    def __init__(self, send: Send, dialect: Dialect, served: Served) -> None:
        self._send, self._dialect, self._served = send, dialect, served
        self.started = False

    async def start(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """Begin the answer."""
        self.started, self._served.status = True, status
        told = [*headers, (b"x-request-id", self._served.id.encode())]
        await self._send({"type": "http.response.start", "status": status, "headers": told})

    async def push(self, piece: bytes) -> None:
        """Send the next piece."""
        if piece:
            await self._send({"type": "http.response.body", "body": piece, "more_body": True})

    async def end(self) -> None:
        """End the answer."""
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def fail(self, error: WireError) -> None:
        """Say why there is no answer; one that has begun gets the error as its last event."""
        self._served.error = error.code or "error"
        content = self._dialect.error(error)
        if self.started:
            self._served.status = error.status
            event = b"event: error\n" if self._dialect.name in ("messages", "responses") else b""
            await self.push(event + b"data: " + json.dumps(content).encode() + b"\n\n")
            await self.end()
            return
        body = json.dumps(content, ensure_ascii=False).encode("utf-8", "replace")
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        if isinstance(error, TurnedAway):
            headers.append((b"retry-after", str(error.retry_after).encode()))
        await self.start(error.status, headers)
        await self.push(body)
        await self.end()


def as_json(content: Any) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    """Return a JSON body and its headers."""
    body = json.dumps(content, ensure_ascii=False).encode("utf-8", "replace")
    return body, [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
