"""Recorder: what the routes know of the store. Begins exchanges, and says when they are committed."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any

from starlette.datastructures import Headers

from shadownb.engine.capture import wire
from shadownb.engine.capture.call import Call
from shadownb.engine.capture.dialects import Dialect
from shadownb.engine.capture.exchange import Exchange
from shadownb.engine.capture.sessions import Conversations, Retries, conversation_of, is_sampled, session_of, trace_of
from shadownb.engine.capture.writer import Writer
from shadownb.engine.ports.capture_store import CaptureStore


class Recorder:
    """Gives each call its session, parent and retry, and hands it to the writer.

    Attributes
    ----------
    active
        Calls that are going on now.
    passed
        Calls that sampling left out.
    refused
        Requests that were answered 4xx before they were calls.
    """

    def __init__(self, writer: Writer, store: CaptureStore[Call], sample: float) -> None:
        self._writer = writer
        self._store = store
        self._sample = sample
        self._retries = Retries()
        self._conversations = Conversations(store)
        self.active = self.passed = self.refused = 0

    def begin(self, dialect: Dialect, headers: Headers, body: bytes, request: dict[str, Any], route: str) -> Exchange:
        """Return a new exchange for a request that has been read."""
        exchange = Exchange(dialect, body, request, route, headers=wire.kept(headers.items()))
        exchange.retry_of = self._retries.see(exchange.id, headers, body)
        exchange.session = session_of(headers, request)
        previous = request.get("previous_response_id") if dialect.name == "responses" else None
        if isinstance(previous, str) and previous.isprintable() and previous:
            # Committed before the client could know its id, so it is there if it was recorded.
            earlier = self._store.find_response(previous)
            exchange.kept = earlier is not None or self._sample >= 1
            if earlier is not None:
                exchange.parent = earlier.id
                exchange.session = exchange.session or earlier.session
            exchange.session = exchange.session or trace_of(headers)
        else:
            exchange.session = exchange.session or trace_of(headers)
            exchange.kept = is_sampled(self._sample, self._store.id, exchange.session, dialect, request)
        conversation = conversation_of(request) if dialect.name == "responses" else None
        if conversation is not None and exchange.parent is None:
            exchange.parent = self._conversations.before(conversation)
        if not exchange.kept:
            self.passed += 1
        return exchange

    def turns_before(self, exchange: Exchange) -> list[dict[str, Any]]:
        """Return the turns that an exchange goes on from and does not repeat."""
        return self._store.history.up_to(exchange.parent)

    def submit(self, exchange: Exchange) -> asyncio.Future[None]:
        """Hand in the exchange as it is now; the future is done when it is in the store (or could not be put there,
        which the writer counts)."""
        exchange.ended_s = time.perf_counter() - exchange.clock
        loop = asyncio.get_running_loop()
        committed: asyncio.Future[None] = loop.create_future()
        if not exchange.kept:
            committed.set_result(None)
            return committed

        def set_done() -> None:
            if not committed.done():
                committed.set_result(None)

        def done(error: Exception | None) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended; nobody waits any more
                loop.call_soon_threadsafe(set_done)

        self._writer.put(exchange, done)
        answered = exchange.status is None and (exchange.http_status or 0) < 400
        if answered and (conversation := conversation_of(exchange.request)):
            self._conversations.went_on(conversation, exchange.id)
        return committed
