"""CaptureProxy: the recording proxy in a thread of this process."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from shadownb.engine.capture.folder import CaptureFolder
from shadownb.engine.capture.handle import Capture
from shadownb.engine.capture.options import between, checked_address, checked_token, listen
from shadownb.engine.capture.prices import PriceTable
from shadownb.engine.capture.redaction import Redactor, Rule
from shadownb.engine.capture.store import CaptureStore
from shadownb.engine.capture.upstream import Target
from shadownb.engine.capture.writer import Writer
from shadownb.errors import BusyError, ConfigError

if TYPE_CHECKING:
    from shadownb.engine.capture.recorder import Recorder
    from shadownb.engine.models import Model

running_here: dict[str, CaptureProxy] = {}
"""The captures that record in this process, by id."""

_HOUSEKEEPING_SECONDS = 2.0
_START_SECONDS = 30.0


class CaptureProxy(Capture):
    """Records every call that goes through it; made by :func:`shadownb.capture`.

    A context manager; ``start()`` and ``stop()`` do the same by hand.
    """

    def __init__(
        self,
        target: str | Model | None = None,
        *,
        model: Model | None = None,
        api_key_env: str | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        token: str | None = None,
        allow_hosts: Iterable[str] = (),
        name: str | None = None,
        redact: str | Rule | Sequence[str | Rule] | None = None,
        sample: float = 1.0,
        prices: PriceTable | dict[str, Any] | str | Path | None = None,
        keep_days: float | None = None,
        keep_calls: int | None = None,
        keep_bytes: int | None = None,
        max_body: int = 64 * 2**20,
        timeout: float = 600.0,
    ) -> None:
        if target is not None and not isinstance(target, str):
            if model is not None:
                raise ConfigError("target= and model= are both models.", fix="Give a URL as target, or one model.")
            target, model = None, target
        if target is None and model is None:
            raise ConfigError(
                "There is nothing to record against.",
                fix="Give a base URL such as 'https://api.openai.com/v1', a loaded model, or both.",
            )
        self.target = Target.of(target, api_key_env) if target is not None else None
        self.model = model
        self._host, self._port = checked_address(host, port, list(allow_hosts))
        self._allow_hosts = tuple(allow_hosts)
        self._token = checked_token(token)
        self._sample = between("sample", sample, 0.0, 1.0)
        self._limits: dict[str, Any] = {
            "max_age_s": None if keep_days is None else 86400 * between("keep_days", keep_days, 0, 1e6),
            "max_calls": None if keep_calls is None else int(between("keep_calls", keep_calls, 0, 1e12)),
            "max_bytes": None if keep_bytes is None else int(between("keep_bytes", keep_bytes, 0, 1e15)),
        }
        self._max_body = int(between("max_body", max_body, 1, 2**31))
        self._timeout = between("timeout", timeout, 0.001, 1e6)
        self._prices = PriceTable.load(prices)
        self._redactor = Redactor(redact, secrets=(self._token, *(self.target.secrets if self.target else ())))
        folder = CaptureFolder.create(name)
        super().__init__(folder, CaptureStore(folder))
        self._server: Any = None
        self._thread: threading.Thread | None = None
        self._writer: Writer | None = None
        self._recorder: Recorder | None = None
        self._closing = threading.Event()

    # -- life -----------------------------------------------------------------------------------------------------

    def start(self) -> Self:
        """Listen and record; returns when requests are taken.

        Raises
        ------
        BusyError
            Somebody records under this name already, or the port is taken.
        """
        if self.is_running:
            return self
        self.files.own()
        try:
            listener = listen(self._host, self._port)
        except OSError as error:
            self.files.disown()
            raise BusyError(
                f"port={self._port} on {self._host} cannot be used: {error.strerror}.",
                fix="Leave port at 0 for a free one.",
            ) from error
        self._port = listener.getsockname()[1]
        self._writer = Writer(self.files.database, self._prices, self._redactor)
        self.files.write_facts(self._facts())
        self._closing.clear()
        ready = threading.Event()
        failure: list[BaseException] = []
        self._thread = threading.Thread(
            target=self._serve, args=(listener, ready, failure), name=f"shadownb-capture-{self.id}", daemon=True
        )
        self._thread.start()
        if not ready.wait(_START_SECONDS) or failure:
            self.stop()
            raise BusyError(f"The capture could not start: {failure or 'no answer in time'}.", fix="Try again.")
        running_here[self.id] = self
        threading.Thread(target=self._keep_house, name="shadownb-capture-house", daemon=True).start()
        return self

    def stop(self, *, wait_s: float = 5.0) -> None:
        """Stop listening, let what goes on end (``wait_s`` at most), and close the store. What was recorded stays."""
        running_here.pop(self.id, None)
        self._closing.set()
        if self._server is not None:
            self._server.config.timeout_graceful_shutdown = wait_s
            self._server.should_exit = True
        if self._thread is not None:
            self._thread.join(wait_s + 10)
            self._thread = None
        if self._writer is not None:
            self._writer.close()
            self._writer = None
            self.store.retain(**self._limits)
            self.store.checkpoint(truncate=True)
        self._server = None
        self.files.disown()

    @property
    def is_running(self) -> bool:
        """Whether requests are taken."""
        return self._thread is not None and self._thread.is_alive()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    # -- facts ----------------------------------------------------------------------------------------------------

    @property
    def root_url(self) -> str:
        host = "127.0.0.1" if self._host in ("0.0.0.0", "::") else self._host
        return f"http://{f'[{host}]' if ':' in host else host}:{self._port}"

    @property
    def token(self) -> str:
        return self._token

    @property
    def prices(self) -> PriceTable:
        """What calls are priced by."""
        return self._prices

    @property
    def counters(self) -> dict[str, Any]:
        """Calls going on, recorded, left out by sampling, refused, and not recorded because the store failed (and why)."""
        recorder, writer = self._recorder, self._writer
        return {
            "active": recorder.active if recorder else 0,
            "recorded": writer.written if writer else 0,
            "commits": writer.commits if writer else 0,
            "left_out": recorder.passed if recorder else 0,
            "refused": recorder.refused if recorder else 0,
            "failed": writer.failed if writer else 0,
            "last_error": writer.last_error if writer else "",
        }

    def _facts(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "target": self.target.base if self.target else None,
            "key_from": self.target.key_name if self.target else None,
            "model": self.model.name if self.model is not None else None,
            "redact": self._redactor.names,
            "sample": self._sample,
            "started_at": time.time(),
        }

    # -- inside ---------------------------------------------------------------------------------------------------

    def _serve(self, listener: socket.socket, ready: threading.Event, failure: list[BaseException]) -> None:
        try:
            asyncio.run(self._main(listener, ready))
        except BaseException as error:
            failure.append(error)
        finally:
            listener.close()
            ready.set()

    async def _main(self, listener: socket.socket, ready: threading.Event) -> None:
        import uvicorn

        from shadownb.engine.capture import wire
        from shadownb.engine.capture.app import CaptureApp
        from shadownb.engine.capture.local import LocalModel
        from shadownb.engine.capture.recorder import Recorder
        from shadownb.engine.capture.upstream import Upstream

        assert self._writer is not None
        upstream = Upstream(self.target, self._timeout) if self.target else None
        local = LocalModel(self.model) if self.model is not None else None
        self._recorder = Recorder(self._writer, self.store, self._sample)
        guard = wire.Guard(self._token, self._port, self._allow_hosts)
        app = CaptureApp(guard, self._recorder, upstream, local, self._max_body)
        config = uvicorn.Config(
            app,
            lifespan="off",
            log_config=None,
            log_level="critical",  # uvicorn logs an answer that is left unfinished on purpose as an error
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=75,  # longer than clients keep idle connections, so that none is closed under a request
        )
        self._server = uvicorn.Server(config)
        serving = asyncio.ensure_future(self._server.serve(sockets=[listener]))
        try:
            while not self._server.started and not serving.done():
                await asyncio.sleep(0.002)
            ready.set()
            await serving
        finally:
            if local is not None:
                local.close()
            if upstream is not None:
                await upstream.close()

    def _keep_house(self) -> None:
        """Checkpoint and retain now and then, away from where answers wait."""
        while not self._closing.wait(_HOUSEKEEPING_SECONDS):
            with contextlib.suppress(Exception):
                if any(limit is not None for limit in self._limits.values()):
                    self.store.retain(**self._limits)
                self.store.checkpoint()
