"""The proxy's ASGI application: checks who asks, finds the route, and serves it by the upstream or the local model."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from shadownb.engine.answering.local import LocalModel, Spent
from shadownb.engine.capture import routes, wire
from shadownb.engine.capture.delivery import Delivery
from shadownb.engine.capture.dialects import WireError, dialect
from shadownb.engine.capture.exchange import Exchange
from shadownb.engine.capture.recorder import Recorder
from shadownb.engine.capture.upstream import Upstream
from shadownb.errors import ShadowError

_LONGEST_FEEDBACK = 1 << 16
_log = logging.getLogger("shadownb.capture")


class CaptureApp:
    """Serves the recorded routes and those that only pass through."""

    def __init__(
        self,
        guard: wire.Guard,
        recorder: Recorder,
        upstream: Upstream | None,
        local: LocalModel | None,
        max_body: int,
        counters: Callable[[], dict[str, Any]],
    ) -> None:
        self._guard = guard
        self._recorder = recorder
        self._upstream = upstream
        self._local = local
        self._max_body = max_body
        self._counters = counters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        # Anthropic's client adds /v1 to its base URL, OpenAI's does not: both get along with either form.
        path = scope["path"]
        headers = Headers(scope=scope)
        shape = routes.shape_of(path, is_anthropic="anthropic-version" in headers)
        started = read = False
        route: routes.Route | None = None

        async def tracked_send(message: Any) -> None:
            nonlocal started
            started = True
            await send(message)

        async def tracked_receive() -> Any:
            nonlocal read
            message = await receive()
            read = read or not message.get("more_body", False)
            return message

        try:
            self._guard.check(headers)
            query = self._guard.without_token(scope["query_string"])
            if headers.get("upgrade", "").lower() == "websocket":
                raise WireError(
                    501,
                    "Realtime sessions over a websocket are neither recorded nor passed on. Connect to the provider itself for "
                    "these, or use its HTTP routes here.",
                    code="websocket_not_supported",
                )
            if path == routes.COUNTERS and scope["method"] == "GET":
                await wire.send_json(send, 200, self._counters())
                return
            if path == routes.FEEDBACK and scope["method"] == "POST":
                body = await wire.read_body(tracked_receive, headers, _LONGEST_FEEDBACK)
                if body is not None:
                    await wire.send_json(send, 200, await self._recorder.give_feedback(wire.parse_object(body)))
                return
            route = routes.find(scope["method"], path)
            if route.dialect is not None:
                await self._record(route, headers, query, tracked_receive, tracked_send)
            else:
                await self._pass(route, scope["method"], query, headers, tracked_receive, tracked_send)
        except WireError as error:
            self._recorder.refused += 1
            if not started:
                if not read:  # a client that is still writing cannot read why it was refused
                    await wire.drain(receive, headers, known=error.status not in (401, 403))
                await wire.send_json(
                    send, error.status, shape.error(error), hang_up=not read and error.status in (401, 403, 408)
                )
        except Exception as error:
            # A defect of ours. The type says enough for a report; a message could quote a conversation.
            # A path is the client's, and may hold anything.
            where = route.dialect.name if route is not None and route.dialect is not None else "another route"
            _log.error("capture: %s while serving %s", type(error).__name__, where)
            if not started:
                await wire.send_json(
                    send, 500, shape.error(WireError(500, "The capture failed internally.", code="internal"))
                )

    async def _record(self, route: routes.Route, headers: Headers, query: bytes, receive: Receive, send: Send) -> None:
        speaks = route.dialect
        assert speaks is not None
        sent = await wire.read_body(receive, headers, self._max_body)
        if sent is None:
            return
        body = wire.plain_body(sent, headers, self._max_body)
        request = wire.parse_object(body)
        if route.model is not None and not request.get("model"):  # the path names it
            request = {**request, "model": route.model}
        speaks.validate(request)
        is_local = self._serves_locally(request.get("model"))
        if is_local and speaks.name == "gemini":
            raise WireError(
                404,
                "A local model does not speak Gemini's dialect; OpenAI's and Anthropic's it does.",
                code="not_found",
            )
        exchange = self._recorder.begin(speaks, headers, body, request, "local" if is_local else "upstream")
        exchange.path, exchange.at_host = route.path, route.at_host
        exchange.sent_body = sent if sent is not body else None
        delivery = Delivery(exchange, send, self._recorder)
        if is_local:
            assert self._local is not None
            answering = self._answer_locally(self._local, exchange, delivery)
        else:
            assert self._upstream is not None
            answering = self._upstream.relay(exchange, headers, query, delivery)
        self._recorder.active += 1
        work: asyncio.Future[Any] = asyncio.ensure_future(answering)
        gone = asyncio.ensure_future(_client_gone(receive))
        try:
            await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                work.result()
            else:
                work.cancel()
                delivery.abandon("client_gone", "The client closed the connection.")
                await asyncio.gather(work, return_exceptions=True)
        except asyncio.CancelledError:
            work.cancel()
            delivery.abandon("cut", "The capture was stopped.")
            raise
        except Exception as error:
            delivery.abandon("error", f"The capture failed inside: {type(error).__name__}.")
            raise
        finally:
            gone.cancel()
            self._recorder.active -= 1

    async def _answer_locally(self, local: LocalModel, exchange: Exchange, delivery: Delivery) -> None:
        if exchange.request.get("previous_response_id") and exchange.parent is None:
            text = "There is no recorded answer with this previous_response_id."
            await delivery.fail(WireError(404, text, param="previous_response_id", code="not_found"))
            return
        exchange.spent = Spent()
        before = self._recorder.turns_before(exchange)
        await local.answer(exchange.dialect, exchange.request, before, delivery, spent=exchange.spent)

    async def _pass(
        self, route: routes.Route, method: str, query: bytes, headers: Headers, receive: Receive, send: Send
    ) -> None:
        body = await wire.read_body(receive, headers, self._max_body)
        if body is None:
            return
        if await self._pass_locally(route.path, headers, body, send):
            return
        if self._upstream is None:
            raise WireError(404, f"A local model has nothing at {route.path}.", code="not_found")
        self._recorder.count_passed(route.group)
        watch = self._recorder.watch(method, route.path, wire.plain_body(body, headers, self._max_body))
        await self._upstream.pass_through(method, route, query, headers, body, send, watch)

    async def _pass_locally(self, path: str, headers: Headers, body: bytes, send: Send) -> bool:
        """Answer by the local model where it is meant; returns whether it was."""
        local = self._local
        if local is None:
            return False
        mine = [{"id": name, "object": "model", "created": 0, "owned_by": "local"} for name in local.names[:1]]
        if path == "/models":
            theirs = await self._upstream.models(headers) if self._upstream else []
            await wire.send_json(send, 200, {"object": "list", "data": [*mine, *theirs]})
            return True
        if path.startswith("/models/") and path.removeprefix("/models/") in local.names:
            await wire.send_json(send, 200, mine[0])
            return True
        if path == "/messages/count_tokens":
            request = wire.parse_object(body)
            if self._serves_locally(request.get("model")):
                try:
                    tokens = await asyncio.to_thread(local.count_tokens, dialect("messages"), request)
                except ShadowError as error:
                    raise WireError(400, error.what, code=error.code) from None
                await wire.send_json(send, 200, {"input_tokens": tokens})
                return True
        return False

    def _serves_locally(self, model: Any) -> bool:
        """Whether the local model answers: alone it answers to every name, beside an upstream to its own."""
        if self._local is None:
            return False
        return self._upstream is None or model in self._local.names


async def _client_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
