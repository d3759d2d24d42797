"""Server: a running front, its models, its address and its figures."""

from __future__ import annotations

import contextlib
import datetime
import json
import threading
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from shadownb.engine.capture import wire
from shadownb.engine.capture.options import checked_address, checked_token, listen
from shadownb.engine.capture.serving import Serving, address_of
from shadownb.engine.home import subfolder
from shadownb.engine.ports.decisions import Decision
from shadownb.engine.processes import process_mark
from shadownb.engine.serving import addresses, snippets
from shadownb.engine.serving.measured import Measured
from shadownb.engine.serving.places import Places
from shadownb.errors import ConfigError

if TYPE_CHECKING:
    from shadownb.engine.serving.engine import Embeds, Engine
    from shadownb.engine.serving.front import Front

running_here: dict[str, Server] = {}
"""The servers of this process, by id."""

FACTS = "server.json"
_DRAIN_SECONDS = 10.0


class Server:
    """A front that serves models; :func:`shadownb.serve` makes and starts one. As a context manager it stops at the end.

    Attributes
    ----------
    id
        Its name, and that of its folder below ``SHADOWNB_HOME/servers``: ``access.jsonl`` has a line a request without its
        contents, ``engine.log`` what another program printed.
    token
        What clients give as their API key.
    decisions
        What was chosen, each as (value, reason): ``engine``, ...

    Examples
    --------
    >>> with snb.serve(model) as server:
    ...     server.url == server.root_url + "/v1", server.models, server.health, server.is_running
    (True, ['tiny', 'tiny-base'], '', True)
    >>> server.is_running
    False
    """

    def __init__(
        self,
        engines: Callable[[], Sequence[Engine]],
        embedders: Sequence[Embeds],
        *,
        decisions: Mapping[str, Decision],
        host: str,
        port: int,
        token: str | None,
        allow_hosts: Sequence[str],
        at_once: int,
        waiting: int,
        max_body: int,
        broken: Callable[[], str] = lambda: "",
        closing: Callable[[], None] = lambda: None,
        folder: Path | None = None,
    ) -> None:
        self._make, self._embedders, self.decisions = engines, list(embedders), dict(decisions)
        self._allow_hosts = tuple(allow_hosts)
        self._host, self._port = checked_address(host, port, self._allow_hosts)
        self.token = checked_token(token)
        for option, value, least in (("at_once", at_once, 1), ("waiting", waiting, 0), ("max_body", max_body, 1)):
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ConfigError(f"{option}={value!r} is out of range.", fix=f"Give a whole number from {least}.")
        self._at_once, self._waiting, self._max_body = at_once, waiting, max_body
        self._broken, self._closing = broken, closing
        self.folder = folder or new_folder()
        self.id = self.folder.name
        self._measured = Measured(self.folder / "access.jsonl")
        self._serving: Serving | None = None
        self._places: Places | None = None
        self._engines: dict[str, Engine] = {}
        self._lock = threading.Lock()

    # -- life ---------------------------------------------------------------------------------------------------------

    def start(self) -> Self:
        """Listen, and return when requests are answered. Raises :class:`BusyError` where the port is taken."""
        try:
            listener = listen(self._host, self._port)
            self._port = listener.getsockname()[1]
            self._serving = Serving(listener, self._app, name=f"shadownb-serve-{self.id}")
            self._serving.start()
        except BaseException:
            self.stop(wait_s=0.0)
            raise
        running_here[self.id] = self
        facts = {"id": self.id, "url": self.url, "engine": self.engine, "models": self.models, "mark": process_mark()}
        (self.folder / FACTS).write_text(json.dumps(facts), encoding="utf-8")
        return self

    def stop(self, *, wait_s: float = _DRAIN_SECONDS) -> None:
        """Take no more requests, give those that are answered ``wait_s`` seconds to end, and free the port and the engine.

        Examples
        --------
        >>> server = snb.serve(model)
        >>> server.stop()
        >>> server.is_running
        False
        """
        with self._lock:
            running_here.pop(self.id, None)
            (self.folder / FACTS).unlink(missing_ok=True)
            if self._places is not None:
                self._places.closing = True
            if self._serving is not None:
                self._serving.stop(wait_s)
                self._serving = None
            self._closing()

    @property
    def is_running(self) -> bool:
        """Whether requests are taken."""
        return self._serving is not None and self._serving.is_running

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # -- facts --------------------------------------------------------------------------------------------------------

    @property
    def root_url(self) -> str:
        """The address without ``/v1``, which Anthropic's client takes."""
        return address_of(self._host, self._port)

    @property
    def url(self) -> str:
        """The address for ``base_url`` of OpenAI's client."""
        return f"{self.root_url}/v1"

    @property
    def port(self) -> int:
        """The port it listens at.

        Examples
        --------
        >>> with snb.serve(model) as server:
        ...     server.url == f"http://127.0.0.1:{server.port}/v1"
        True
        """
        return self._port

    @property
    def models(self) -> list[str]:
        """The names that requests may give as ``model``."""
        return list(self._engines)

    @property
    def engine(self) -> str:
        """What computes the answers.

        Examples
        --------
        >>> with snb.serve(model) as server:
        ...     server.engine, server.decisions["engine"][1]
        ('transformers', 'the model is loaded in this process')
        """
        return str(self.decisions["engine"][0])

    @property
    def health(self) -> str:
        """Why requests cannot be answered now; empty where they can."""
        return "it is stopped" if not self.is_running else self._broken()

    @property
    def log(self) -> list[dict[str, Any]]:
        """The requests so far, one dict each, without their contents; the oldest first.

        Examples
        --------
        >>> server = snb.serve(model)
        >>> server.log
        []
        >>> server.stop()
        """
        path = self.folder / "access.jsonl"
        if not path.is_file():
            return []
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]

    def stats(self, seconds: float = 60.0) -> dict[str, Any]:
        """Return figures of the last ``seconds``: requests and tokens a second, latencies, who is answered and who waits.

        Examples
        --------
        >>> server = snb.serve(model)
        >>> server.stats()["requests"], server.stats()["active"]
        (0, 0)
        >>> server.stop()
        """
        places = self._places
        now = {"active": places.active, "waiting": places.queued, "turned_away": places.turned_away} if places else {}
        return {**self._measured.recent(seconds), **now}

    def snippet(self, client: str = "openai") -> str:
        """Return code that asks this server: ``openai``, ``curl``, ``anthropic``, ``agents`` (OpenAI's Agents SDK), ``env``.

        Examples
        --------
        >>> server = snb.serve(model)
        >>> print(server.snippet("openai"))
        from openai import OpenAI
        ...
        >>> server.stop()
        """
        return snippets.snippet(client, self.root_url, self.token, next(iter(self._engines), "MODEL"))

    @property
    def address(self) -> addresses.Address:
        """Where a browser or another machine reaches it, through the Jupyter server where that can pass it on.

        Examples
        --------
        >>> with snb.serve(model) as server:
        ...     server.address
        Address(...)
        """
        return addresses.address_of(self._port)

    def __repr__(self) -> str:
        state = f"at {self.url}" if self.is_running else "stopped"
        return f"Server({self.id!r}, {state}, {self.engine}, models {', '.join(self.models) or 'none'})"

    def _repr_html_(self) -> str:
        from shadownb.engine.displays import facts_html

        engine, reason = self.decisions["engine"]
        return facts_html(
            f"Server {self.id}",
            {
                "state": f"at {self.url}" if self.is_running else "stopped",
                "models": ", ".join(self.models),
                "engine": f"{engine}: {reason}",
                "token": "server.token",
                "folder": self.folder,
            },
        )

    # -- inside -------------------------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def _app(self) -> AsyncIterator[Front]:
        from shadownb.engine.serving.front import Front

        self._places = Places(self._at_once, self._waiting)
        self._engines = {engine.name: engine for engine in self._make()}
        guard = wire.Guard(self.token, self._port, self._allow_hosts, "the server's token (server.token)")
        try:
            yield Front(
                guard,
                self._engines,
                {each.name: each for each in self._embedders},
                self._places,
                self._measured,
                max_body=self._max_body,
                health=self._broken,
            )
        finally:
            for engine in self._engines.values():
                await engine.close()


def new_folder() -> Path:
    """Return a folder for a new server."""
    name = f"{datetime.datetime.now(datetime.UTC):%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:4]}"
    folder = subfolder("servers") / name
    folder.mkdir(mode=0o700)
    return folder
