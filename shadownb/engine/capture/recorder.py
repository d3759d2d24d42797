"""Recorder: what the routes know of the store. Begins exchanges, and says when they are committed."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from starlette.datastructures import Headers

from shadownb.engine.capture import wire
from shadownb.engine.capture.dialects import Dialect, WireError, dialect
from shadownb.engine.capture.encodings import decoded
from shadownb.engine.capture.exchange import Exchange
from shadownb.engine.capture.feedback import REWARD, tags_of
from shadownb.engine.capture.sessions import Conversations, Retries, conversation_of, is_sampled, session_of, trace_of
from shadownb.engine.capture.sse import begins_as_stream
from shadownb.engine.capture.store import CaptureStore
from shadownb.engine.capture.writer import Writer
from shadownb.engine.jsontext import dumps, loads, mended
from shadownb.errors import ConfigError, DataError


def _tags(headers: Headers) -> dict[str, str]:
    try:
        return tags_of(", ".join(map(_as_meant, headers.getlist(wire.TAGS))))
    except ConfigError as error:
        raise WireError(400, f"{wire.TAGS}: {' '.join(error.as_text().split(chr(10)))}", code="invalid_tags") from None


def _as_meant(value: str) -> str:
    """Return the text of a header that was written in UTF-8, as most are, and read as Latin-1, as HTTP has it."""
    with contextlib.suppress(UnicodeError):
        return value.encode("latin-1").decode("utf-8")
    return value


Watch = Callable[[int, str, bytes], Awaitable[None]]
"""Is given status, content encoding and bytes of an answer that passes through."""

_ANSWER = re.compile(r"/responses/([\w.:@~-]+)")
_CONVERSATION = re.compile(r"/conversations(?:/([\w.:@~-]+)/items)?")
_UNDER_WAY = ("queued", "in_progress")


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
    passed_through
        Requests that are no calls (files, batches, audio, ...), by the first part of their path.
    """

    def __init__(self, writer: Writer, store: CaptureStore, sample: float) -> None:
        self._writer = writer
        self._store = store
        self._sample = sample
        self._retries = Retries()
        self._conversations = Conversations(store)
        self.active = self.passed = self.refused = 0
        self.passed_through: Counter[str] = Counter()

    def begin(self, dialect: Dialect, headers: Headers, body: bytes, request: dict[str, Any], route: str) -> Exchange:
        """Return a new exchange for a request that has been read."""
        exchange = Exchange(dialect, body, request, route, headers=wire.kept(headers.items()))
        exchange.tags = _tags(headers)
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

    async def give_feedback(self, given: dict[str, Any]) -> dict[str, Any]:
        """Keep the score of a call that a client sends. Raises :class:`WireError` where it is none, or of no call."""
        given = mended(given)
        call = given.get("call") or given.get("response_id")
        if not isinstance(call, str):
            raise WireError(400, "'call' is missing: the id of a call or of its answer.", param="call", code="missing")
        # A name that is a key, or what is to be removed, is none any more, and is refused as such.
        name, note = (self._cleaned(given.get(field) or empty) for field, empty in (("name", REWARD), ("note", "")))
        try:
            score = await asyncio.to_thread(partial(self._store.score, call, given.get("score"), name=name, note=note))
        except DataError as error:
            raise WireError(404, error.what, param="call", code="not_found") from None
        except ConfigError as error:
            raise WireError(400, " ".join(error.as_text().split("\n")), code="invalid_value") from None
        return {"ok": True, **score.to_dict()}

    def _cleaned(self, text: Any) -> Any:
        return self._writer.redactor.text(text) if isinstance(text, str) else text

    def count_passed(self, group: str) -> None:
        """Count a request that only passes through."""
        self.passed_through[group] += 1

    def watch(self, method: str, path: str, body: bytes) -> Watch | None:
        """Return who has to see the answer to a request that only passes through; None where it tells nothing of a call."""
        if method == "GET" and (found := _ANSWER.fullmatch(path)):
            return partial(self._learn_answer, found[1])
        if method == "POST" and (found := _CONVERSATION.fullmatch(path)):
            return partial(self._learn_items, found[1], body)
        return None

    async def _learn_answer(self, response_id: str, status: int, encoding: str, body: bytes) -> None:
        """Put an answer that was made in the background into the record of its call, once it is fetched."""
        call = self._store.find_response(response_id)
        if call is None or status != 200 or call.finish_reason not in (None, *_UNDER_WAY):
            return
        speaks = dialect("responses")
        plain, left = decoded([(0.0, body)], encoding)
        data = b"".join(piece for _, piece in plain)
        streamed = begins_as_stream(data) is True
        try:
            facts = speaks.facts(data, streamed=streamed)
        except ValueError:
            return
        if left or not facts.whole or facts.finish_reason in _UNDER_WAY:
            return
        exchange = Exchange(
            speaks, call.request_body, call.request, call.route, id=call.id, session=call.session, parent=call.parent,
            retry_of=call.retry_of, headers=call.headers, started_at=call.started_at, http_status=200, sse=streamed,
        )  # fmt: skip
        exchange.tags = call.tags
        exchange.clock -= max(0.0, time.time() - call.started_at)
        exchange.add(data)
        await self.submit(exchange)
        self._store.history.forget()

    async def _learn_items(
        self, conversation: str | None, body: bytes, status: int, encoding: str, answer: bytes
    ) -> None:
        """Record what a client adds to a conversation that the provider keeps: the next answer rests on it."""
        if status >= 300:
            return
        plain, _ = decoded([(0.0, answer)], encoding)
        try:
            request, told = loads(body or b"{}"), loads(b"".join(piece for _, piece in plain))
        except ValueError:
            return
        named = conversation or (told.get("id") if isinstance(told, dict) else None)
        if not isinstance(named, str) or not isinstance(request, dict):
            return
        items = request.get("items") if isinstance(request.get("items"), list) else []
        given = {"input": items, "conversation": named}
        exchange = Exchange(
            dialect("responses"), dumps(given).encode("utf-8", "replace"), given, "upstream", session=named
        )
        exchange.parent = self._conversations.before(named)
        exchange.kept = is_sampled(self._sample, self._store.id, named, exchange.dialect, given)
        exchange.http_status, exchange.adds_only = status, True
        exchange.add(b"{}")
        await self.submit(exchange)

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
