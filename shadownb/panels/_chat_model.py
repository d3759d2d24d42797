"""The model that a Chat panel asks: loaded, followed while a run trains it, and its base checked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import traitlets as t

from shadownb.engine.runs import executors
from shadownb.engine.runs.state import ACTIVE

from ._answers import describe
from ._base import Panel, as_card
from ._worker import Worker


class ChatModelPanel(Panel):
    """A panel whose model may be loaded, trained and exchanged while the page is open."""

    model_state = t.Dict({"stage": "none"}).tag(sync=True)
    base_check: t.Dict[str, Any] = t.Dict({"stage": "none"}).tag(sync=True)

    def __init__(self, **traits: Any) -> None:
        self._model: Any = None
        self._followed: Any = None
        self._unfollow: Callable[[], None] = lambda: None
        super().__init__(**traits)
        self._worker = Worker(f"{type(self).__name__} worker", self.show_error)

    # -- what the panel over it does -------------------------------------------------------------------------------

    def use(self, model: Any) -> None:
        """Let a model answer from now on."""
        raise NotImplementedError

    def _say_how_asked(self) -> None:
        raise NotImplementedError

    # -- what trains the model -------------------------------------------------------------------------------------

    def _follow(self) -> None:
        """Let the header say which weights answer for as long as a run changes that."""
        run = getattr(self._model, "active_run", None)
        with self._gate:
            if run is not None and run is not self._followed:
                self._unfollow()
                self._followed = run
                self._unfollow = run.subscribe(lambda state: self._writer.submit(lambda: self._told(state), key="run"))

    def _told(self, state: Any) -> None:
        if state.status not in ACTIVE and not executors.known_by(state.executor).shares_memory:
            self._worker.submit(self._catch_up, key="catch up")
        self._describe_again()
        self._follow()  # one that waited in line may be next

    def _catch_up(self) -> None:
        self._model.catch_up()
        self._describe_again()

    def _describe_again(self) -> None:
        if self.model_state["stage"] == "ready":  # else another model is being loaded
            self.model_state = describe(self._model)
            self._say_how_asked()

    def _do_check_base(self) -> None:
        self._worker.submit(self._check_base, key="check")

    # -- jobs of the worker thread -------------------------------------------------------------------------------

    def _load_run(self, run: Any) -> None:
        from shadownb.engine import models

        try:
            self.use(models.load(run.id))
        except Exception as error:
            failed: dict[str, Any] = {"stage": "failed", "name": run.id, "error": as_card(error)}
            self.model_state = failed

    def _check_base(self) -> None:
        model = self._model
        if model is None:
            return
        self.base_check = {"stage": "loading"}
        found: dict[str, Any]
        try:
            ok, detail = model.verify_base()
            found = {"stage": "ready", "ok": bool(ok), "detail": str(detail)}
        except Exception as error:
            found = {"stage": "failed", "error": as_card(error)}
        self.base_check = found
