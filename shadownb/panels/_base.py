"""What every panel is made of: one anywidget, an outbox of commands from the page, and one lock.

The page never calls into the engine. It appends ``{id, kind, ...}`` to the ``commands`` trait; the observer only queues
them, and the panel's writer thread calls ``_do_<kind>(**options)``, each id once and in order. A failure becomes the
``error`` trait, because exceptions in observers reach nobody. ipywidgets' sync is not thread-safe, so state from the
page, state for a new page and every change of a trait take turns behind one lock: traits may be set from any thread.
"""

from __future__ import annotations

import threading
import traceback
import uuid
from collections import deque
from functools import partial
from typing import Any

import anywidget
import traitlets as t

from shadownb.errors import ShadowError

from ._plain import as_html
from ._routing import answer_while_busy
from ._runtime import STATIC, ensure_runtime
from ._worker import Worker


def as_card(error: BaseException) -> dict[str, Any]:
    """Return what the front end's error card shows for ``error``; ``details`` holds the traceback."""
    details = "".join(traceback.format_exception(error))
    if isinstance(error, ShadowError):
        return {**error.to_dict(), "details": details}
    return {
        "code": "unexpected",
        "kind": type(error).__name__,
        "what": f"{type(error).__name__}: {error}",
        "why": "ShadowNB did not foresee this error.",
        "fix": "The details below say where it happened.",
        "details": details,
    }


class Panel(anywidget.AnyWidget):
    """Base of all panels. A subclass names its bundle: ``_bundle = "run"`` is ``static/run.js`` and ``run.css``.

    One of another package has ``_esm`` instead, a file or text as anywidget takes it, and is registered by name. Studio makes it
    without arguments, for a tab of its own, and tells it of runs and models.

    Parameters
    ----------
    **traits
        Initial values of traits.

    Attributes
    ----------
    title
        What stands on its tab in Studio.
    """

    title = ""
    _bundle = ""
    # Panels that draw charts bring plotly.js to the page.
    _charts = False
    # Traits whose change may change :meth:`_revival`.
    _revived_by: tuple[str, ...] = ()

    panel_id = t.Unicode(help="Tells two panels of one page apart.").tag(sync=True)
    commands = t.List(t.Dict(), help="Outbox of the page: its last commands, each with an id.").tag(sync=True)
    ack = t.Unicode(help="Id of the last command that was handled.").tag(sync=True)
    error = t.Dict(help="The last failure as a card shows it, or empty.").tag(sync=True)
    revival = t.Unicode(help="The cell that goes on where this panel has lost its kernel.").tag(sync=True)
    runtime = anywidget.WidgetTrait().tag(sync=True)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        if "_bundle" in cls.__dict__:
            cls._esm = STATIC / f"{cls._bundle}.js"
            cls._css = STATIC / f"{cls._bundle}.css"
        super().__init_subclass__(**kwargs)

    def __init__(self, **traits: Any) -> None:
        self._gate = threading.RLock()
        self._seen: deque[str] = deque(maxlen=1024)  # more than the outbox of a page ever holds
        self._writer = Worker(f"{type(self).__name__} writer", self.show_error)
        identity = traits.setdefault("panel_id", uuid.uuid4().hex)
        if self._charts:
            traits.setdefault("runtime", ensure_runtime())
        # The page asks its widget manager by this id whether the kernel is still there.
        super().__init__(model_id=identity, **traits)
        answer_while_busy(self)
        self.observe(self._on_commands, names=["commands"])
        if self._revived_by:
            self.observe(lambda _: self._renew_revival(), names=list(self._revived_by))
        self._renew_revival()

    def set_state(self, sync_data: dict[str, Any]) -> None:
        """Apply state from the page; ipywidgets calls it on the kernel's main or subshell thread."""
        with self._gate:
            super().set_state(sync_data)

    def get_state(self, key: Any = None, drop_defaults: bool = False) -> dict[str, Any]:
        """Return the synced state; ipywidgets calls it for each update, each new page and each embedding."""
        with self._gate:
            state: dict[str, Any] = super().get_state(key, drop_defaults)
            return state

    def _notify_trait(self, name: str, old_value: Any, new_value: Any) -> None:
        # Not notify_change: traitlets replaces that one on the instance while set_state runs.
        with self._gate:
            super()._notify_trait(name, old_value, new_value)

    def write(self, **values: Any) -> None:
        """Set several traits in one message; from any thread."""
        with self._gate, self.hold_sync():
            for name, value in values.items():
                setattr(self, name, value)

    def show_error(self, error: BaseException) -> None:
        """Show ``error`` as a card; from any thread."""
        self.error = as_card(error)

    def take_run(self, run: Any) -> None:
        """Take notice of the run that Studio shows from now on; for a panel in a tab of Studio."""

    def take_model(self, model: Any) -> None:
        """Take notice of the loaded model that is chosen in Studio from now on, or that has changed."""

    def _revival(self) -> str:
        """Return the call of ``snb`` that shows the same in a new kernel."""
        return f"{type(self).__name__}()"

    def _renew_revival(self) -> None:
        self.revival = f"import shadownb as snb\nsnb.{self._revival()}"

    def settle(self, timeout: float | None = 30.0) -> bool:
        """Wait until every command received so far is handled; return whether that was so within ``timeout`` s."""
        return self._writer.wait(timeout)

    def _on_commands(self, change: dict[str, Any]) -> None:
        for command in change["new"]:
            identity = str(command.get("id", ""))
            if identity and identity not in self._seen:
                self._seen.append(identity)
                self._writer.submit(partial(self._handle, dict(command)))

    def _handle(self, command: dict[str, Any]) -> None:
        identity, kind = command.pop("id"), str(command.pop("kind", ""))
        failure: dict[str, Any] = {}
        try:
            handler = getattr(self, f"_do_{kind}", None)
            if handler is None:
                raise ShadowError(
                    f"This panel knows no command {kind!r}.",
                    why="The page and the kernel run different versions of ShadowNB.",
                    fix="Restart the kernel and reload the page.",
                )
            handler(**command)
        except Exception as error:
            failure = as_card(error)
        self.write(error=failure, ack=identity)

    def _do_dismiss(self) -> None:
        """Take the error card away, as every command does that succeeds."""

    def _repr_mimebundle_(self, **options: Any) -> tuple[dict[str, Any], dict[str, Any]] | None:
        bundle = super()._repr_mimebundle_(**options)
        if bundle is None:
            return None
        data, metadata = bundle
        code = getattr(self, "code", None) or {}  # what the panel is filled for, where it can say that as code
        return {**data, "text/html": as_html(type(self).__name__, code.get("python") or self.revival)}, metadata

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"
