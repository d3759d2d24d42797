"""CaptureProxy: the recording proxy in a thread of this process. ``shadownb.capture`` is this class under its short name."""

from __future__ import annotations

import contextlib
import threading
import time
import warnings
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from shadownb.engine.capture.folder import CaptureFolder
from shadownb.engine.capture.handle import Capture
from shadownb.engine.capture.options import between, checked_address, checked_token, limits, listen
from shadownb.engine.capture.prices import PriceTable
from shadownb.engine.capture.redaction import Redactor
from shadownb.engine.capture.serving import Serving, address_of
from shadownb.engine.capture.spellings import SHORTEST
from shadownb.engine.capture.store import CaptureStore
from shadownb.engine.capture.target import Target
from shadownb.engine.capture.writer import Writer
from shadownb.engine.privacy.rules import Rule
from shadownb.errors import ConfigError, DiskFullError, ShadowWarning

if TYPE_CHECKING:
    from shadownb.engine.capture.app import CaptureApp
    from shadownb.engine.capture.recorder import Recorder
    from shadownb.engine.loaded.model import LoadedModel

running_here: dict[str, CaptureProxy] = {}
"""The captures that record in this process, by id."""

_HOUSEKEEPING_SECONDS = 2.0
_INDEXING_SECONDS = 1.0
_INDEXED_AT_ONCE = 5  # calls in one transaction, which take about 4 ms
_PAUSE_SECONDS = 0.005
_REST = 9
_QUIET_SECONDS = 0.5
_LEFT_BEHIND = 10_000  # calls; a reader takes in 1,100 to 1,500 a second


class CaptureProxy(Capture):
    """A proxy that records model calls; ``with`` or ``start()`` starts it, the end of the block or ``stop()`` stops it.

    Parameters
    ----------
    target
        Base URL of the model's API, or a loaded model. The key is read from the environment: ``ANTHROPIC_API_KEY`` for
        Anthropic's API and ``/v1/messages``, else ``OPENAI_API_KEY``.
    model
        A loaded model in addition to the upstream; it answers the requests that name it.
    api_key_env
        Another environment variable with the upstream's key.
    host, port
        Where to listen; port 0 takes any free port.
    token
        What clients use as API key, at least 16 characters; generated if omitted.
    allow_hosts
        Further host names by which clients may reach the proxy, for containers.
    name
        Name of the recording; an existing one of this name is continued. Made from the time if omitted.
    home
        Where it is stored, in ``captures/NAME``; None is ``SHADOWNB_HOME``.
    redact
        What to remove from the recording, never from what passes through: ``"email"``, ``"phone"``, ``"card"``, ``"key"``, a
        function ``text -> text``, or a list of these.
    sample
        The fraction of conversations to record, 0 to 1.
    prices
        US dollars per million tokens: a table, dict or YAML file that overrides the included prices.
    keep_days, keep_calls, keep_bytes
        Delete the oldest calls when there are more than this.
    max_body
        Longest request body, in bytes.
    timeout
        How many seconds the upstream may be silent.

    Raises
    ------
    ConfigError
        An option is wrong, or the upstream's key is not set.

    Examples
    --------
    >>> from openai import OpenAI
    >>> with snb.capture(model) as recorder:  # or the address of a provider's API
    ...     client = OpenAI(base_url=recorder.base_url, api_key=recorder.token)
    ...     answer = client.chat.completions.create(
    ...         model="tiny", messages=[{"role": "user", "content": "I paid twice."}], temperature=0
    ...     )
    ...     recorder.is_running, recorder.base_url == recorder.root_url + "/v1", sorted(recorder.environment())[-2:]
    (True, True, ['OPENAI_API_KEY', 'OPENAI_BASE_URL'])
    >>> recorder.calls[0].text, recorder.trajectories()[0].final_content()
    ('billing', 'billing')
    >>> recorder.counters["recorded"], recorder.folder.name == recorder.store.id
    (1, True)
    >>> recorder.prices
    PriceTable(... US dollars for a million tokens)
    >>> recorder.is_running
    False
    """

    def __init__(
        self,
        target: str | LoadedModel | None = None,
        *,
        model: LoadedModel | None = None,
        api_key_env: str | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        token: str | None = None,
        allow_hosts: str | Iterable[str] = (),
        name: str | None = None,
        home: str | Path | None = None,
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
        if getattr(model, "has_base", True) is False:
            raise ConfigError(
                f"{getattr(model, 'name', model)!r} is an endpoint, not a loaded model.",
                fix="Give its address instead: capture('https://.../v1').",
            )
        self.target = Target.of(target, api_key_env) if target is not None else None
        self.model = model
        self._allow_hosts = (allow_hosts,) if isinstance(allow_hosts, str) else tuple(allow_hosts)
        self._host, self._port = checked_address(host, port, self._allow_hosts)
        self._token = checked_token(token)
        self._sample = between("sample", sample, 0.0, 1.0)
        self._limits = limits(keep_days, keep_calls, keep_bytes)
        self._max_body = int(between("max_body", max_body, 1, 2**31))
        self._timeout = between("timeout", timeout, 0.001, 1e6)
        self._prices = PriceTable.load(prices)
        keys = self.target.secrets if self.target else ()
        lasting = next((key for key in keys if len(key) >= SHORTEST), None)
        self._redactor = Redactor(redact, secrets=(self._token, *keys), lasting=lasting)
        if name is not None and self._redactor.without_keys(name) != name:
            raise ConfigError("The name of a capture cannot be a key.", fix="Give another name, or leave it out.")
        folder = CaptureFolder.create(name, home)
        super().__init__(folder, CaptureStore(folder))
        self._serving: Serving | None = None
        self._writer: Writer | None = None
        self._recorder: Recorder | None = None
        self._is_open = False
        self._closing = threading.Event()

    # -- life -----------------------------------------------------------------------------------------------------

    def start(self) -> Self:
        """Start to listen and record; returns once requests are accepted.

        Raises
        ------
        BusyError
            A recording of this name is running already, or the port is in use.
        DataError
            The folder of this name is not a recording, or a newer version wrote it.

        Examples
        --------
        >>> recorder = snb.capture(model, name="until-stopped").start()
        >>> recorder.base_url  # what a client gets
        'http://127.0.0.1:.../v1'
        >>> recorder.stop()
        """
        if self.is_running:
            return self
        self.files.keep_room()
        self.files.own()
        try:
            self._writer = Writer(self.files.database, self._prices, self._redactor)
            self._is_open = True
            self._serving = self._listening()
            self.files.write_facts(self._facts())
            self._serving.start()
        except BaseException:
            self.stop(wait_s=0.0)
            raise
        self._closing = threading.Event()
        running_here[self.id] = self
        for keep, name in ((self._keep_house, "house"), (self._keep_index, "index")):
            threading.Thread(target=keep, args=(self._closing,), name=f"shadownb-capture-{name}", daemon=True).start()
        return self

    def stop(self, *, wait_s: float = 5.0) -> None:
        """Stop listening, wait up to ``wait_s`` seconds for calls to end, and close the store. The recording stays.

        Examples
        --------
        >>> recorder = snb.capture(model, name="by-hand").start()
        >>> recorder.is_running
        True
        >>> recorder.stop()
        >>> recorder.is_running
        False
        """
        if running_here.get(self.id) is self:
            del running_here[self.id]
        self._closing.set()
        was_open = self._is_open
        try:
            if self._serving is not None:
                self._serving.stop(wait_s)
            if self._is_open and self._writer is not None:
                self._writer.close()
                self.store.retain(**self._limits)
                self.store.checkpoint(truncate=True)
                self.files.give_room()  # what is not recorded to has no log that could fill the disk
        finally:
            self._serving, self._is_open = None, False
            if was_open and self.not_recorded:
                with contextlib.suppress(OSError, DiskFullError):
                    self.files.write_facts({**self.files.facts, "not_recorded": self.not_recorded})
            self.files.disown()
        if was_open and self.not_recorded:
            warnings.warn(self._not_recorded_words, ShadowWarning, stacklevel=2)

    @property
    def is_running(self) -> bool:
        """Whether it accepts requests."""
        return self._serving is not None and self._serving.is_running

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    # -- facts ----------------------------------------------------------------------------------------------------

    @property
    def root_url(self) -> str:
        """The address without ``/v1``, which Anthropic's client takes."""
        return address_of(self._host, self._port)

    @property
    def token(self) -> str:
        """What a client gives as its API key."""
        return self._token

    @property
    def prices(self) -> PriceTable:
        """The prices that costs are computed with."""
        return self._prices

    @property
    def counters(self) -> dict[str, Any]:
        """Numbers of calls: active, recorded, left out by sampling, refused, and failed (not recorded because the store failed)."""
        recorder, writer = self._recorder, self._writer
        return {
            "active": recorder.active if recorder else 0,
            "recorded": writer.written if writer else 0,
            "commits": writer.commits if writer else 0,
            "left_out": recorder.passed if recorder else 0,
            "refused": recorder.refused if recorder else 0,
            "passed_through": dict(recorder.passed_through) if recorder else {},
            "failed": writer.failed if writer else 0,
            "last_error": writer.last_error if writer else "",
        }

    def _facts(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "target": self.target.shown if self.target else None,
            "key_from": self.target.key_name if self.target else None,
            "model": self.model.name if self.model is not None else None,
            "redact": self._redactor.names,
            "sample": self._sample,
            "started_at": time.time(),
        }

    # -- inside ---------------------------------------------------------------------------------------------------

    def _listening(self) -> Serving:
        listener = listen(self._host, self._port)
        self._port = listener.getsockname()[1]
        return Serving(listener, self._app, name=f"shadownb-capture-{self.id}")

    @contextlib.asynccontextmanager
    async def _app(self) -> AsyncIterator[CaptureApp]:
        from shadownb.engine.answering.local import LocalModel
        from shadownb.engine.capture import wire
        from shadownb.engine.capture.app import CaptureApp
        from shadownb.engine.capture.recorder import Recorder
        from shadownb.engine.capture.upstream import Upstream

        assert self._writer is not None
        upstream = Upstream(self.target, self._timeout) if self.target else None
        local = LocalModel(self.model) if self.model is not None else None
        self._recorder = Recorder(self._writer, self.store, self._sample)
        guard = wire.Guard(self._token, self._port, self._allow_hosts)
        try:
            yield CaptureApp(guard, self._recorder, upstream, local, self._max_body, lambda: self.counters)
        finally:
            if local is not None:
                await local.close()
            if upstream is not None:
                await upstream.close()

    def _keep_house(self, closing: threading.Event) -> None:
        """Checkpoint and retain now and then, away from where answers wait."""
        while not closing.wait(_HOUSEKEEPING_SECONDS):
            with contextlib.suppress(Exception):
                if any(limit is not None for limit in self._limits.values()):
                    self.store.retain(**self._limits)
                self.store.checkpoint()

    def _keep_index(self, closing: threading.Event) -> None:
        """Bring the index up to date while no call goes on: no answer waits for it, and a list is there when somebody looks.

        Where there is never such a moment it is left behind by ten thousand calls, which a reader takes in within seconds,
        and then kept up with rests nine times as long as the work.
        """
        recorder, writer = self._recorder, self._writer
        began = busy_at = time.monotonic()
        written = -1

        def is_busy() -> bool:
            """Whether a call goes on, or did a moment ago: between two of an agent is no time either."""
            nonlocal written, busy_at
            now = writer.written if writer is not None else 0
            if now != written or (recorder is not None and recorder.active):
                written, busy_at = now, time.monotonic()
            return time.monotonic() - busy_at < _QUIET_SECONDS

        def give_way() -> bool:
            behind = self.store.database.last_of("calls") - self.store.index.last_seq
            return closing.is_set() or (is_busy() and behind < _LEFT_BEHIND)

        def rest() -> None:
            nonlocal began
            closing.wait(_REST * (time.monotonic() - began) if is_busy() else _PAUSE_SECONDS)
            began = time.monotonic()

        while not closing.wait(_INDEXING_SECONDS):
            with contextlib.suppress(Exception):
                if not self.store.index.is_kept:
                    return  # the disk is full: what room there is belongs to the calls
                began = time.monotonic()
                self.store.index.catch_up(rest, give_way, at_once=_INDEXED_AT_ONCE)
