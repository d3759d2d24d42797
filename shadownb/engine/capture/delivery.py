"""Delivery: hands an answer to the client piece by piece, and its end only when the call is in the store.

What "the end" is depends on the body. Of a stream of events it is the event that ends it (``[DONE]`` and the like), so
that no client can take an answer for complete that a kill would lose; of any other body it is the last piece. Which of the two a
body is its first bytes say: streams come as ``application/json`` and ``text/plain``, and JSON as ``text/event-stream``.
"""

from __future__ import annotations

import asyncio

from starlette.types import Send

from shadownb.engine.capture.call import Status
from shadownb.engine.capture.dialects import WireError
from shadownb.engine.capture.encodings import Decoder, NotDecoded, decoder
from shadownb.engine.capture.exchange import Exchange
from shadownb.engine.capture.recorder import Recorder
from shadownb.engine.capture.sse import EndWatch, begins_as_stream
from shadownb.engine.capture.wire import send_json

_MOST_INFLATED = 1 << 24
_MOST_HELD = 1 << 20  # bytes of a body that is no stream


class Delivery:
    """The answer of one exchange on its way to the client."""

    def __init__(self, exchange: Exchange, send: Send, recorder: Recorder) -> None:
        self._exchange = exchange
        self._send = send
        self._recorder = recorder
        self._start: dict[str, object] | None = None
        self._sent_start = False
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._watch = EndWatch(exchange.dialect.end_marks, exchange.dialect.end_types, exchange.dialect.end_fields)
        self._inflate: Decoder | None = None
        self._beginning: bytes | None = None  # what came of a body of which it is not known whether it is a stream
        self._stored_frames = -1  # how many pieces the store has; -1: the call is not there
        self._committing = False

    @property
    def started(self) -> bool:
        """Whether the client has seen anything."""
        return self._sent_start

    async def start(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """Begin the answer; a stream's head goes out at once, any other with the first piece that goes out."""
        named = {name: value.decode("latin-1") for name, value in headers}
        self._exchange.http_status = status
        kind = named.get(b"content-type", "").partition(";")[0].strip().lower()
        said = kind == "text/event-stream"
        self._exchange.sse = said
        self._beginning = b"" if said or (status < 400 and self._exchange.request.get("stream") is True) else None
        self._exchange.encoding = named.get(b"content-encoding", "").strip().lower().replace("identity", "")
        if self._exchange.encoding and self._beginning is not None:
            self._inflate = decoder(self._exchange.encoding, _MOST_INFLATED)
        told = [(b"x-shadownb-call", self._exchange.id.encode())] if self._exchange.kept else []
        self._start = {"type": "http.response.start", "status": status, "headers": [*headers, *told]}
        if said:
            await self._send_start()

    async def push(self, piece: bytes) -> None:
        """Take the next piece; it goes out at once unless it may be the end."""
        if not piece:
            return
        self._exchange.add(piece)
        plain = b""
        if self._beginning is not None:
            plain = self._plain(piece)
            self._beginning += plain
            is_stream = begins_as_stream(self._beginning)
            if is_stream is None:
                self._held.append(piece)
                self._held_bytes += len(piece)
                return
            self._exchange.sse = is_stream
            plain, self._beginning = self._beginning, None
            if is_stream:
                await self._release()
        elif self._exchange.sse:
            plain = self._plain(piece)
        await self._go_on(piece, plain)

    async def _go_on(self, piece: bytes, plain: bytes) -> None:
        if not self._exchange.sse:
            self._held.append(piece)
            self._held_bytes += len(piece)
            if self._held_bytes > _MOST_HELD:
                await self._release(keep=1)
            return
        if not self._watch.complete:
            self._watch.feed(plain)
        if self._watch.begun and self._stored_frames < 0:
            self._held.append(piece)
            if self._watch.complete:
                await self._commit()
                await self._release()
            return
        await self._pass_on(piece)

    async def end(self) -> None:
        """The answer is complete as far as its sender is concerned."""
        if self._stored_frames != len(self._exchange.frames):
            await self._commit()
        await self._release()
        await self._send_start()
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def fail(self, error: WireError, *, status: Status = "error") -> None:
        """The answer will not come, or not come whole: say so if that is still possible, else leave it unfinished."""
        if self._exchange.http_status is None:
            self._exchange.http_status = error.status
        if (stored := self.abandon(status, error.message)) is not None:
            await stored
        if not self._sent_start:
            await send_json(self._send, error.status, self._exchange.dialect.error(error))

    def abandon(self, status: Status, message: str) -> asyncio.Future[None] | None:
        """Record that the answer ends here; the client gets nothing more. Where the end was handed in already, that stands.

        The record is handed in before this returns; wait for the future to know that it is stored.
        """
        if self._committing:
            return None
        self._committing = True
        self._exchange.status = status
        self._exchange.error = {"message": message}
        return self._recorder.submit(self._exchange)

    # -- inside ---------------------------------------------------------------------------------------------------

    async def _commit(self) -> None:
        self._committing = True
        frames = len(self._exchange.frames)
        await self._recorder.submit(self._exchange)
        self._stored_frames = frames

    async def _release(self, *, keep: int = 0) -> None:
        while len(self._held) > keep:
            piece = self._held.pop(0)
            self._held_bytes -= len(piece)
            await self._pass_on(piece)

    async def _pass_on(self, piece: bytes) -> None:
        await self._send_start()
        await self._send({"type": "http.response.body", "body": piece, "more_body": True})

    async def _send_start(self) -> None:
        if not self._sent_start and self._start is not None:
            self._sent_start = True
            await self._send(self._start)

    def _plain(self, piece: bytes) -> bytes:
        if self._inflate is None:
            return piece
        try:
            # What the answer inflates to beyond this is not looked at: then its end is that of its bytes.
            return self._inflate.feed(piece)
        except NotDecoded:
            return b""
