"""Studio: the Capture, Trajectories, Train, Run and Chat panels in one widget with tabs.

Each panel is a widget of its own that Studio's front end draws inside; all can be used alone as well. Starting a run in
Train shows it in Run and lets Chat talk to the model that is being trained; what Capture shows is read by Trajectories
once that tab is open.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import anywidget
import traitlets as t

from ._base import Panel
from .capture import CapturePanel
from .chat import ChatPanel
from .run import RunPanel
from .train import TrainPanel
from .trajectories import TrajectoriesPanel

TABS = ("capture", "trajectories", "train", "run", "chat")


class Studio(Panel):
    """The panels as tabs.

    Parameters
    ----------
    model, dataset
        What is chosen at first; both can be chosen in the Train panel.
    run
        A run to show, live or past.
    namespace
        Where variables are looked up; None means the notebook's.
    """

    _bundle = "studio"

    tab = t.Enum(TABS, "train", help="The tab that is open.").tag(sync=True)
    capture = anywidget.WidgetTrait().tag(sync=True)
    trajectories = anywidget.WidgetTrait().tag(sync=True)
    train = anywidget.WidgetTrait().tag(sync=True)
    run_panel = anywidget.WidgetTrait().tag(sync=True)
    chat = anywidget.WidgetTrait().tag(sync=True)

    def __init__(
        self, model: Any = None, dataset: Any = None, run: Any = None, namespace: Mapping[str, Any] | None = None
    ) -> None:
        self._snapshots: list[Any] = []
        train = TrainPanel(model, dataset, namespace)
        capture = CapturePanel(namespace=namespace)
        super().__init__(
            capture=capture,
            trajectories=TrajectoriesPanel(namespace=namespace),
            train=train,
            chat=ChatPanel(model, run if model is None else None),
        )
        capture.on_show(lambda _: self._writer.submit(self._hand_capture_over, key="capture"))
        self.observe(lambda _: self._writer.submit(self._hand_capture_over, key="capture"), names=["tab"])
        train.on_start(self._started)
        train.observe(self._model_changed, names=["model_state"])
        if run is not None:
            self._show(run)

    @property
    def run(self) -> Any:
        """The run that is shown, or None."""
        return self.run_panel.run if self.run_panel is not None else None

    @property
    def model(self) -> Any:
        """The model that is chosen, or None while none is loaded."""
        return self.train.model

    def settle(self, timeout: float | None = 30.0) -> bool:
        """Wait until the panels have done everything that was asked for so far; False if that took longer."""
        panels = (self.capture, self.trajectories, self.train, self.chat)
        return super().settle(timeout) and all(panel.settle(timeout) for panel in panels)

    def close(self) -> None:
        """Take Studio and its panels off the page; a run and a recording go on."""
        for panel in (self.capture, self.trajectories, self.train, self.run_panel, self.chat):
            if panel is not None:
                panel.close()
        super().close()

    def _ipython_display_(self) -> None:
        from IPython import display as ipython

        display: Any = ipython.display
        data, metadata = self._repr_mimebundle_() or ({"text/plain": repr(self)}, {})
        display(data, metadata=metadata, raw=True)
        # Empty until there is a run: a display made later, from a thread, would land in whichever cell runs then.
        snapshot = display({"text/plain": ""}, raw=True, display_id=True)
        if snapshot is not None:  # there is none outside of IPython
            self._snapshots.append(snapshot)
            if self.run_panel is not None:
                self.run_panel.keep_current(snapshot)

    # -- what one panel means for the others ---------------------------------------------------------------------

    def _started(self, run: Any) -> None:
        self._show(run)
        self.tab = "run"
        self._hand_model_over()

    def _show(self, run: Any) -> None:
        before = self.run_panel
        self.run_panel = RunPanel(run)
        for snapshot in self._snapshots:
            self.run_panel.keep_current(snapshot)
        if before is not None:
            before.close()

    def _model_changed(self, change: Any) -> None:
        # Inside the Train panel's lock, so only queue.
        if change["new"].get("stage") == "ready":
            self._writer.submit(self._hand_model_over, key="model")

    def _hand_capture_over(self) -> None:
        """Read what Capture shows; only when somebody looks, because reading many calls takes a while."""
        store = self.capture.store
        if self.tab == "trajectories" and store is not None and store is not self.trajectories.store:
            self.trajectories.show(store)

    def _hand_model_over(self) -> None:
        model = self.train.model
        if model is None:
            return
        if model is self.chat.model:
            self.chat.refresh()
        else:
            self.chat.use(model)

    def __repr__(self) -> str:
        return f"Studio({self.run.id})" if self.run is not None else "Studio()"
