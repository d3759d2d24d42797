"""The upstream: one base URL and one key, fixed when the capture starts; nothing in a request can change either."""

from __future__ import annotations

import logging
import socket
import ssl
from typing import Any
from urllib.parse import quote

import httpx
from starlette.datastructures import Headers
from starlette.types import Send

from shadownb.engine.capture import wire
from shadownb.engine.capture.delivery import Delivery
from shadownb.engine.capture.dialects import WireError
from shadownb.engine.capture.exchange import Exchange
from shadownb.engine.capture.recorder import Watch
from shadownb.engine.capture.routes import Route
from shadownb.engine.capture.target import Target, WithoutKeys

_CONNECT_SECONDS = 15.0
_IDLE_CONNECTIONS = 64
_MOST_WATCHED = 1 << 25  # bytes of an answer that is read on its way
_HTTPX = logging.getLogger("httpx")


class Upstream:
    """Passes requests on and answers back, byte for byte."""

    def __init__(self, target: Target, timeout: float) -> None:
        self.target = target
        self._client = httpx.AsyncClient(
            timeout=httpx.Timeout(timeout, connect=_CONNECT_SECONDS, pool=None),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=_IDLE_CONNECTIONS),
            follow_redirects=False,
            # A proxy from the environment is the user's own choice, but never between two programs of this machine.
            trust_env=not target.is_loopback,
        )
        self._client.headers.clear()  # what the client did not send is not sent
        self._log = WithoutKeys(target)
        _HTTPX.addFilter(self._log)

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()
        _HTTPX.removeFilter(self._log)

    async def relay(self, exchange: Exchange, headers: Headers, query: bytes, delivery: Delivery) -> None:
        """Ask the upstream and deliver what it answers."""
        route = Route(exchange.path or exchange.dialect.path, at_host=exchange.at_host)
        body = exchange.request_body if exchange.sent_body is None else exchange.sent_body
        try:
            answer = await self._ask("POST", route, query, headers, body)
        except WireError as error:
            await delivery.fail(error)
            return
        try:
            answered = wire.kept(answer.headers.multi_items())
            answered.pop("traceparent", None)  # a gateway's own; the client's is what tells its requests apart
            exchange.headers.update(answered)
            await delivery.start(answer.status_code, wire.returned(answer.headers.raw))
            async for piece in answer.aiter_raw():
                await delivery.push(piece)
        except httpx.TransportError as error:
            text = f"The upstream's answer broke off: {type(error).__name__}."
            await delivery.fail(WireError(502, text, code="upstream_broke_off"), status="cut")
        else:
            await delivery.end()
        finally:
            await answer.aclose()

    async def pass_through(
        self, method: str, route: Route, query: bytes, headers: Headers, body: bytes, send: Send, watch: Watch | None
    ) -> None:
        """Relay a request whose call is not recorded. Raises :class:`WireError` while nothing has been sent.

        ``watch`` is given the whole answer before the client has it.
        """
        answer = await self._ask(method, route, query, headers, body)
        held: list[bytes] = []  # of an answer that is watched; it is short, and nobody waits for its first piece
        try:
            await send(
                {
                    "type": "http.response.start",
                    "status": answer.status_code,
                    "headers": wire.returned(answer.headers.raw),
                }
            )
            async for piece in answer.aiter_raw():
                held.append(piece)
                if watch is not None and sum(map(len, held)) > _MOST_WATCHED:
                    watch = None
                if watch is None:
                    await send({"type": "http.response.body", "body": b"".join(held), "more_body": True})
                    held.clear()
            if watch is not None:
                await watch(answer.status_code, answer.headers.get("content-encoding", ""), b"".join(held))
            await send({"type": "http.response.body", "body": b"".join(held), "more_body": False})
        except httpx.TransportError:
            return  # unfinished, as the upstream left it
        finally:
            await answer.aclose()

    async def models(self, headers: Headers) -> list[Any]:
        """Return the upstream's models, or none where it does not say or cannot be reached."""
        try:
            answer = await self._ask("GET", Route("/models"), b"", headers, b"")
        except WireError:
            return []
        try:
            content = httpx.Response(200, headers=answer.headers, content=await answer.aread()).json()
            return list(content["data"])
        except (ValueError, KeyError, TypeError, httpx.HTTPError):
            return []
        finally:
            await answer.aclose()

    async def _ask(self, method: str, route: Route, query: bytes, headers: Headers, body: bytes) -> httpx.Response:
        base = self.target.host if route.at_host else self.target.base
        url = httpx.URL(base + quote(route.path, safe="/:@-._~"))
        if query:
            url = url.copy_with(query=query)
        # As bytes: a title or a name in a header may be written in any encoding, and httpx would take none but ASCII.
        going = [
            (name.encode("latin-1"), value.encode("latin-1"))
            for name, value in [*wire.forwarded(headers), *self.target.authorisation(route.path)]
        ]
        request = self._client.build_request(method, url, headers=going, content=body if method != "GET" else None)
        try:
            answer = await self._client.send(request, stream=True)
        except httpx.TimeoutException as error:
            raise WireError(
                504, f"{self._name} did not answer in time: {type(error).__name__}.", code="upstream_timeout"
            ) from None
        except httpx.ConnectError as error:
            why, code = _why_unreachable(error)
            raise WireError(502, f"{self._name} cannot be reached: {why}.", code=code) from None
        except httpx.TransportError as error:
            raise WireError(
                502, f"{self._name} gave no answer: {type(error).__name__}.", code="upstream_broke_off"
            ) from None
        if answer.is_redirect:
            await answer.aclose()
            raise WireError(502, f"{self._name} redirects elsewhere, which is not followed.", code="upstream_redirects")
        return answer

    @property
    def _name(self) -> str:
        return f"The upstream {self.target.shown}"


def _why_unreachable(error: BaseException) -> tuple[str, str]:
    """Return in words why there is no connection, and a stable word for it."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, socket.gaierror):
            return "its name cannot be resolved", "upstream_dns"
        if isinstance(seen, ssl.SSLCertVerificationError):
            return f"its certificate is not accepted ({seen.verify_message})", "upstream_tls"
        if isinstance(seen, ssl.SSLError):
            return f"no secure connection ({seen.reason or 'TLS'})", "upstream_tls"
        if isinstance(seen, ConnectionRefusedError):
            return "nothing listens there", "upstream_refused"
        seen = seen.__cause__ or seen.__context__
    text = str(error)  # of libraries that keep the text alone
    if "CERTIFICATE" in text or "SSL" in text:
        return "no secure connection", "upstream_tls"
    return (
        ("nothing listens there", "upstream_refused")
        if "refused" in text
        else ("no connection", "upstream_unreachable")
    )
