"""Serving: an ASGI application on a listening socket, by uvicorn, in a thread with an event loop of its own."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from shadownb.errors import BusyError

_START_SECONDS = 30.0
_END_SECONDS = 10.0  # more than what goes on may take to end

_HEAD_SECONDS = 75.0  # that a connection may take to send the head of a request

Open = Callable[[], AbstractAsyncContextManager[Any]]
"""Gives the application, in the loop that will run it, and closes what it needs."""


def address_of(host: str, port: int) -> str:
    """Return the address for clients on this machine of what listens at a host, of whichever kind, and a port."""
    here = "127.0.0.1" if host in ("0.0.0.0", "::") else host
    return f"http://{f'[{here}]' if ':' in here else here}:{port}"


class Serving:
    """A server that :meth:`start` starts and :meth:`stop` ends; the socket is closed with it."""

    def __init__(self, listener: socket.socket, open_app: Open, *, name: str) -> None:
        self._listener = listener
        self._open_app = open_app
        self._server: Any = None
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def is_running(self) -> bool:
        """Whether requests are taken."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Return when requests are taken. Raises :class:`BusyError` if that cannot be."""
        self._thread.start()
        if not self._ready.wait(_START_SECONDS) or self._failure is not None:
            self.stop(0.0)
            raise BusyError(
                f"It could not start: {self._failure or 'no answer in time'}.", fix="Try again."
            ) from self._failure

    def stop(self, wait_s: float) -> None:
        """Take no more requests and give those that go on ``wait_s`` seconds to end."""
        if self._server is not None:
            self._server.config.timeout_graceful_shutdown = wait_s
            self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(wait_s + _END_SECONDS)
        self._listener.close()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            self._failure = error
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        import uvicorn

        async with self._open_app() as app:
            config = uvicorn.Config(
                app,
                lifespan="off",
                log_config=None,
                log_level="critical",  # uvicorn logs an answer that is left unfinished on purpose as an error
                access_log=False,
                proxy_headers=False,
                server_header=False,
                date_header=False,
                timeout_keep_alive=75,  # longer than clients keep idle connections: none is closed under a request
                http=_patient(),
                ws="none",  # what asks for a websocket is a request like others, and refused with a reason
            )
            self._server = uvicorn.Server(config)
            serving = asyncio.ensure_future(self._server.serve(sockets=[self._listener]))
            while not self._server.started and not serving.done():
                await asyncio.sleep(0.002)
            if self._server.started:
                self._ready.set()
            await serving


def _patient() -> Any:
    """Return uvicorn's protocol, which waits for the head of a request for ever, with an end to that."""
    from uvicorn.protocols.http.auto import AutoHTTPProtocol

    class Patient(AutoHTTPProtocol):  # type: ignore[valid-type, misc]
        _head: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._head = self.loop.call_later(_HEAD_SECONDS, self._give_up)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self._is_answering():
                self._forget_head()
            elif self._head is None:  # another request begins
                self._head = self.loop.call_later(_HEAD_SECONDS, self._give_up)

        def connection_lost(self, exc: Exception | None) -> None:
            self._forget_head()
            super().connection_lost(exc)

        def _is_answering(self) -> bool:
            return self.cycle is not None and not self.cycle.response_complete

        def _forget_head(self) -> None:
            if self._head is not None:
                self._head.cancel()
                self._head = None

        def _give_up(self) -> None:
            self._head = None
            if not self._is_answering() and not self.transport.is_closing():
                self.transport.close()

    return Patient
