"""ServePanel: servers of this kernel started and stopped, how clients reach them, how busy they are, and a playground over several.

The token never enters a trait, because a saved notebook holds those: the page gets it as a message, when somebody asks to see or
copy it.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import traitlets as t

from shadownb.errors import ConfigError

from . import _choices, _served
from ._base import as_card
from ._finish import model_at_hand
from ._snapshot_panel import SnapshotPanel
from ._stores import loaded_models
from ._worker import Background

_LOOK_SECONDS = 2.0
_MOST_NEW_TOKENS = 256


class ServePanel(SnapshotPanel):
    """The servers of this kernel; usable alone.

    Parameters
    ----------
    model
        The loaded model that is offered first. None: the newest of the notebook's variables.
    namespace
        Where models are looked up; None means the notebook's variables.

    Examples
    --------
    >>> panel = snb.ServePanel(model, namespace={"model": model})
    >>> panel.settle(), panel.servers
    (True, [])
    >>> server = panel.start()
    >>> panel.settle(), [shown["engine"] for shown in panel.servers]
    (True, ['transformers'])
    >>> server.stop()
    >>> panel.close()
    """

    title = "Serve"
    _bundle = "serve"

    models = t.List(t.Dict(), help="What can be served: loaded models by their variables.").tag(sync=True)
    engines = t.List(t.Unicode(), help="The engines that can be asked for.").tag(sync=True)
    servers = t.List(t.Dict(), help="The running servers: address, models, figures, clients; never their tokens.").tag(
        sync=True
    )
    state: t.Dict[str, Any] = t.Dict({"stage": "ready"}, help="What is being done, or has failed.").tag(sync=True)
    played = t.Dict(help="The playground's last question and each server's answer, or empty.").tag(sync=True)
    wanted: t.Dict[str, Any] = t.Dict(help="What the form was filled with last, or empty.").tag(sync=True)
    code = t.Dict(help="What does the same in a cell.").tag(sync=True)

    def __init__(self, model: Any = None, *, namespace: Mapping[str, Any] | None = None) -> None:
        self._namespace, self._given = namespace, model
        self._closing = threading.Event()
        super().__init__(engines=list(_served.ENGINES))
        self._work = Background("ServePanel work", self._writer)
        self._watcher: threading.Thread | None = None
        self._writer.submit(self._look)

    # -- for Python ---------------------------------------------------------------------------------------------------

    def start(self, model: Any = None, **options: Any) -> Any:
        """Serve a model, show it, and return the :class:`~shadownb.Server`; options are those of :func:`shadownb.serve`.

        Examples
        --------
        >>> panel = snb.ServePanel(namespace={})
        >>> server = panel.start(model, name="mine")
        >>> server.models
        ['mine', 'mine-base']
        >>> server.stop()
        >>> panel.close()
        """
        from shadownb.engine.serving import serve

        found = model if model is not None else self._given
        if found is None:
            raise ConfigError("There is no model to serve.", fix='Run model = snb.load("smollm2-135m") in a cell.')
        server = serve(found, **options)
        self._writer.submit(self._look)
        return server

    def take_model(self, model: Any) -> None:
        """Offer a model first."""
        self._given = model
        self._writer.submit(self._look)

    def fill(self, run: Any) -> None:
        """Choose the result of a run in the form; returns at once."""

        def choose() -> None:
            self._look()
            choice, _ = model_at_hand(run, self._names())
            self.wanted = {"source": choice or run.id, "listed": bool(choice), "count": self.wanted.get("count", 0) + 1}

        self._writer.submit(choose)

    def settle(self, timeout: float | None = 30.0) -> bool:
        """Wait until commands are handled and all work is done; False if that took longer."""
        return super().settle(timeout) and self._work.wait(timeout)

    def close(self) -> None:
        """Remove the panel from the page; servers go on."""
        self._closing.set()
        super().close()

    # -- commands of the page -----------------------------------------------------------------------------------------

    def _do_look(self) -> None:
        self._look()

    def _do_start(self, source: str, engine: str = "auto", name: str = "", port: int = 0) -> None:
        model = self._source(source)
        options = {"engine": engine, "port": port, **({"name": name} if name else {})}
        shown = _choices.name_of(model, self._names()) or repr(source)
        self.code = _served.code(shown, {key: value for key, value in options.items() if value not in ("auto", 0)})
        self.state = {"stage": "working", "doing": "starting"}
        self._work.submit("start", lambda: self.start(model, **options), self._started, self._failed)

    def _do_stop(self, server: str) -> None:
        found = _served.running(server)
        self.state = {"stage": "working", "doing": "stopping"}
        self._work.submit(f"stop {server}", found.stop, self._started, self._failed)

    def _do_token(self, server: str) -> None:
        """Send the token to the page."""
        self.send({"kind": "token", "server": server, "token": _served.running(server).token})

    def _do_play(self, question: str, places: list[list[str]]) -> None:
        """Ask models of several servers the same, all at once."""
        if not question.strip():
            raise ConfigError("No question.", fix="Type one.")
        if not places:
            raise ConfigError("No model is chosen.", fix="Tick a model of a server.")
        asked = [(_served.running(server), name) for server, name in places]
        self.state = {"stage": "working", "doing": "asking"}

        def play() -> list[dict[str, Any]]:
            with ThreadPoolExecutor(len(asked)) as threads:
                return list(
                    threads.map(lambda each: _served.played(each[0], each[1], question, _MOST_NEW_TOKENS), asked)
                )

        def show(answers: list[dict[str, Any]]) -> None:
            self.write(played={"question": question, "answers": answers}, state={"stage": "ready"})
            self._look()

        self._work.submit("play", play, show, self._failed)

    # -- what follows ---------------------------------------------------------------------------------------------------

    def _started(self, _: Any) -> None:
        self.state = {"stage": "ready"}
        self._look()

    def _failed(self, error: Exception) -> None:
        self.state = {"stage": "failed", "error": as_card(error)}

    def _look(self) -> None:
        """Show what runs, and go on looking as long as anything does."""
        self.write(models=_served.choices(self._names(), self._given), servers=_served.shown())
        self._refresh_displays()
        if self.servers and not self._closing.is_set() and self._watcher is None:
            self._watcher = threading.Thread(target=self._watch, name="ServePanel watch", daemon=True)
            self._watcher.start()

    def _watch(self) -> None:
        while not self._closing.wait(_LOOK_SECONDS):
            found = _served.shown()
            if found != self.servers:
                self.write(servers=found)
            if not found:
                break
        self._watcher = None

    def _source(self, source: str) -> Any:
        known = loaded_models(self._names(), self._given)
        if source in known:
            return known[source][1]
        if not source.strip():
            raise ConfigError("No model is chosen.", fix="Choose one, or give a folder, a run or an address.")
        return source.strip()

    def _names(self) -> Mapping[str, Any]:
        return self._namespace if self._namespace is not None else _choices.user_namespace()

    # -- the static snapshot --------------------------------------------------------------------------------------------

    def _snapshot_text(self) -> str:
        return _served.snapshot(self.servers)

    def _milestone(self) -> Any:
        return str([(each["id"], each["models"]) for each in self.servers])

    def __repr__(self) -> str:
        return f"ServePanel({len(self.servers)} running)" if self.servers else "ServePanel()"
