"""The front's ASGI application: who may ask, which route it is, which model is meant; then that model answers."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from starlette.datastructures import Headers

from shadownb._version import __version__
from shadownb.engine.answering.local import Spent, wire_error
from shadownb.engine.capture import wire
from shadownb.engine.capture.dialects import Dialect, WireError, by_path, dialect
from shadownb.engine.serving import embedding
from shadownb.engine.serving.direct import Direct, as_json
from shadownb.engine.serving.measured import Measured, Served
from shadownb.engine.serving.openapi import description
from shadownb.engine.serving.places import Places
from shadownb.engine.serving.remembered import Remembered
from shadownb.errors import ShadowError, did_you_mean

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from shadownb.engine.serving.engine import Embeds, Engine

_log = logging.getLogger("shadownb.serving")
_GET = ("/models", "/health", "/metrics", "/openapi.json")
_OTHERS = ("/embeddings", "/messages/count_tokens")


class Front:
    """Serves every dialect.

    Parameters
    ----------
    engines
        By the model names that they answer to.
    embedders
        The same for embeddings.
    health
        Returns why requests cannot be answered now; empty where they can.
    """

    def __init__(
        self,
        guard: wire.Guard,
        engines: Mapping[str, Engine],
        embedders: Mapping[str, Embeds],
        places: Places,
        measured: Measured,
        *,
        max_body: int,
        health: Any,
    ) -> None:
        self._guard, self._engines, self._embedders = guard, engines, embedders
        self._places, self._measured, self._max_body, self._health = places, measured, max_body, health
        self._remembered = Remembered()
        self._created = int(time.time())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        headers = Headers(scope=scope)
        path = scope["path"]
        while path.startswith("/v1/"):  # Anthropic's client adds /v1 to its base URL, OpenAI's does not
            path = path[3:]
        route = path if self._is_known(path) else "other"
        served = Served(f"req_{secrets.token_hex(12)}", time.time(), route, "")
        direct = Direct(send, _shape_of(path, headers), served)
        read = False

        async def tracked() -> Any:
            nonlocal read
            message = await receive()
            read = read or not message.get("more_body", False)
            return message

        try:
            await self._dispatch(scope["method"], path, headers, tracked, direct, served)
        except WireError as error:
            if not direct.started:
                if not read:  # a client that is still writing cannot read why it was refused
                    await wire.drain(receive, headers, known=error.status not in (401, 403))
                await direct.fail(error)
        except ShadowError as error:
            if not direct.started:
                await direct.fail(wire_error(error))
        except asyncio.CancelledError:
            served.status, served.error = 499, "stopped"
            raise
        except Exception as error:
            # A defect of ours. The type says enough for a report; a message could quote a conversation.
            _log.error("serve: %s at %s", type(error).__name__, served.route)
            if not direct.started:
                await direct.fail(WireError(500, "The server failed internally.", code="internal"))
        finally:
            if served.route not in ("/health", "/metrics"):
                self._measured.done(served)

    async def _dispatch(
        self, method: str, path: str, headers: Headers, receive: Receive, direct: Direct, served: Served
    ) -> None:
        if path == "/health" and method == "GET":
            self._guard.check_origin(headers)
            await self._tell_health(direct)
            return
        self._guard.check(headers)
        spoken = _spoken(path)
        if method == "GET" and spoken is None:
            await self._look(path, direct)
        elif method == "POST" and spoken is not None:
            await self._ask(spoken, headers, receive, direct, served)
        elif method == "POST" and path in _OTHERS:
            await self._other(path, headers, receive, direct, served)
        else:
            raise self._nothing_at(method, path)

    @staticmethod
    def _is_known(path: str) -> bool:
        return _spoken(path) is not None or path in (*_GET, *_OTHERS) or path.startswith("/models/")

    def _nothing_at(self, method: str, path: str) -> WireError:
        if self._is_known(path):
            return WireError(405, f"{method} is not possible at {path[:200]}.", code="method_not_allowed")
        return WireError(404, f"There is nothing at {path[:200]}.", code="not_found")

    # -- answers ------------------------------------------------------------------------------------------------------

    async def _ask(self, spoken: Dialect, headers: Headers, receive: Receive, direct: Direct, served: Served) -> None:
        request = await self._request(headers, receive)
        if request is None:
            served.status, served.error = 499, "client_gone"
            return
        spoken.validate(request)
        served.stream = bool(request.get("stream"))
        engine = self._engine(request.get("model"))
        served.model = engine.name
        history = self._remembered.before(request) if spoken.name == "responses" else []
        spent = Spent(first_piece=served.first)
        answering = engine.answer(spoken, request, history, direct, place=self._places.one(), spent=spent)
        work: asyncio.Future[Any] = asyncio.ensure_future(answering)
        gone = asyncio.ensure_future(_client_gone(receive))
        try:
            await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                work.cancel()
                served.status, served.error = 499, "client_gone"
                await asyncio.gather(work, return_exceptions=True)
                return
            choices = work.result()
        except asyncio.CancelledError:
            work.cancel()
            raise
        finally:
            gone.cancel()
            served.prompt_tokens, served.completion_tokens = spent.prompt_tokens, spent.completion_tokens
        if spoken.name == "responses" and choices and spent.id and request.get("store") is not False:
            said = spoken.messages(request)[spoken.leading(request) :]
            self._remembered.keep(spent.id, [*history, *said, choices[0].message()])

    async def _request(self, headers: Headers, receive: Receive) -> dict[str, Any] | None:
        sent = await wire.read_body(receive, headers, self._max_body)
        return None if sent is None else wire.parse_object(wire.plain_body(sent, headers, self._max_body))

    def _engine(self, name: Any) -> Engine:
        found = self._engines.get(name) if isinstance(name, str) else None
        if found is None:
            known = ", ".join(self._engines)
            raise WireError(
                404, f"There is no model {str(name)[:100]!r} here.{did_you_mean(str(name)[:100], list(self._engines))} "
                f"Models: {known}.", param="model", code="model_not_found",
            )  # fmt: skip
        return found

    async def _other(self, path: str, headers: Headers, receive: Receive, direct: Direct, served: Served) -> None:
        request = await self._request(headers, receive)
        if request is None:
            served.status, served.error = 499, "client_gone"
            return
        if path == "/embeddings":
            asked = embedding.asked(request, self._embedders)
            served.model = asked.embedder.name
            async with self._places.one():
                content = await asyncio.to_thread(embedding.answer, asked)
            served.prompt_tokens = content["usage"]["prompt_tokens"]
        else:
            spoken = dialect("messages")
            spoken.validate({"max_tokens": 1, **request})
            engine = self._engine(request.get("model"))
            served.model = engine.name
            content = {"input_tokens": await asyncio.to_thread(engine.count_tokens, spoken, request)}
        await _send(direct, 200, content)

    # -- looking ------------------------------------------------------------------------------------------------------

    async def _look(self, path: str, direct: Direct) -> None:
        if path == "/models":
            names = (*self._engines, *self._embedders)
            await _send(direct, 200, {"object": "list", "data": [self._model(name) for name in names]})
        elif path.startswith("/models/"):
            name = path.removeprefix("/models/")
            if name not in self._engines and name not in self._embedders:
                self._engine(name)
            await _send(direct, 200, self._model(name))
        elif path == "/metrics":
            self._measured.active.set(self._places.active)
            self._measured.waiting.set(self._places.queued)
            body = self._measured.text()
            await direct.start(200, [(b"content-type", b"text/plain; version=0.0.4; charset=utf-8")])
            await direct.push(body)
            await direct.end()
        elif path == "/openapi.json":
            await _send(direct, 200, description(__version__, list(self._engines), list(self._embedders)))
        else:
            raise self._nothing_at("GET", path)

    def _model(self, name: str) -> dict[str, Any]:
        engine = self._engines.get(name)
        told = {"engine": engine.engine} if engine is not None else {"engine": "embeddings"}
        return {"id": name, "object": "model", "created": self._created, "owned_by": "shadownb", **told}

    async def _tell_health(self, direct: Direct) -> None:
        why = self._health()
        content = {"status": "unavailable", "reason": why} if why else {"status": "ok"}
        await _send(direct, 503 if why else 200, content)


def _spoken(path: str) -> Dialect | None:
    found = by_path(path) if path.startswith("/") else None
    return None if found is None or found.name == "gemini" else found


def _shape_of(path: str, headers: Headers) -> Dialect:
    """Return the dialect in which a refusal on this path is said."""
    spoken = _spoken(path)
    anthropic = path.startswith("/messages") or "anthropic-version" in headers
    return spoken if spoken is not None else dialect("messages" if anthropic else "chat")


async def _send(direct: Direct, status: int, content: Any) -> None:
    body, headers = as_json(content)
    await direct.start(status, headers)
    await direct.push(body)
    await direct.end()


async def _client_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
