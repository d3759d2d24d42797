"""Studio: all panels in one widget, from Capture, Trajectories, Judge, Rewards, Data and Train to Evaluate, Export, Serve and Chat.

Each panel is a widget of its own that Studio's front end draws inside; all can be used alone as well. Starting a run in
Train shows it in Run and lets Chat talk to the model that is being trained; what Capture shows is read by Trajectories
once that tab is open, and what Judge hands over is chosen in Train. Panels that other packages bring have tabs behind these. A
Studio that is made again finds what goes on in its kernel, and offers what goes on elsewhere.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from functools import partial
from typing import Any

import anywidget
import traitlets as t

from ._added import AddedPanels
from ._base import Panel
from ._going_on import active_runs, models_at_hand, offer_of, run_of_this_kernel
from ._handover import finish, train_on, train_on_data
from ._naming import StudioNames
from ._run_values import as_run
from ._walk import Walk
from .capture import CapturePanel
from .chat import ChatPanel
from .data import DataPanel
from .evaluate import EvaluatePanel
from .export import ExportPanel
from .facts import FactsPanel
from .judge import JudgePanel
from .rewards import RewardsPanel
from .run import RunPanel
from .runs import RunsPanel
from .serve import ServePanel
from .sweep import SweepPanel, source_of
from .train import TrainPanel
from .trajectories import TrajectoriesPanel

_opened: weakref.WeakValueDictionary[str, Studio] = (
    weakref.WeakValueDictionary()
)  # over the notebook's variables, by age

TABS = (
    "capture",
    "trajectories",
    "judge",
    "rewards",
    "data",
    "train",
    "sweep",
    "runs",
    "run",
    "evaluate",
    "facts",
    "export",
    "serve",
    "chat",
)


class Studio(Panel):
    """All panels as tabs: Capture, Trajectories, Judge, Rewards, Data, Train, Sweep, Runs, Run, and so on to Chat.

    Parameters
    ----------
    model, dataset
        The model and data to begin with; both can be changed in the Train panel. None takes those of an earlier Studio in
        this kernel, or for the model the newest variable that holds one.
    run
        A run to show, active or past, or its id. None shows the run that trains a model of this kernel, if there is one.
    namespace
        A dict in which variables are looked up; None means the notebook's variables.

    Examples
    --------
    >>> studio = snb.Studio(model, rows, run)
    >>> studio.settle(), studio.model is model, studio.run is run
    (True, True, True)
    >>> studio.panels  # none of another package
    {}
    >>> studio.close()
    """

    _bundle = "studio"
    _revived_by = ("run_panel",)

    tab = t.Unicode("train", help="The tab that is open.").tag(sync=True)
    capture = anywidget.WidgetTrait().tag(sync=True)
    trajectories = anywidget.WidgetTrait().tag(sync=True)
    judge = anywidget.WidgetTrait().tag(sync=True)
    rewards = anywidget.WidgetTrait().tag(sync=True)
    data = anywidget.WidgetTrait().tag(sync=True)
    train = anywidget.WidgetTrait().tag(sync=True)
    sweep = anywidget.WidgetTrait().tag(sync=True)
    runs = anywidget.WidgetTrait().tag(sync=True)
    run_panel = anywidget.WidgetTrait().tag(sync=True)
    evaluate = anywidget.WidgetTrait().tag(sync=True)
    facts = anywidget.WidgetTrait().tag(sync=True)
    export = anywidget.WidgetTrait().tag(sync=True)
    serve = anywidget.WidgetTrait().tag(sync=True)
    chat = anywidget.WidgetTrait().tag(sync=True)
    added: t.List[dict[str, Any]] = t.List(help="Tabs of panels that other packages bring.").tag(sync=True)
    going_on: t.List[dict[str, str]] = t.List(help="Runs that go on elsewhere and are not shown.").tag(sync=True)

    walk = t.Dict(help="The first steps: whether they are shown, and which are done.").tag(sync=True)

    def __init__(
        self, model: Any = None, dataset: Any = None, run: Any = None, namespace: Mapping[str, Any] | None = None
    ) -> None:
        self._snapshots: list[Any] = []
        self.names = StudioNames(self, namespace)
        names = self.names
        earlier = self.newest() if namespace is None else None
        run, active = as_run(run), active_runs()
        models = models_at_hand(names, earlier)
        shown = run is not None
        if run is None and model is None:
            run, model = run_of_this_kernel(active, models)
        if model is None and not shown:
            model = next(iter(models), None)
        if dataset is None and earlier is not None:
            dataset = earlier.train.dataset
        train = TrainPanel(model, dataset, names)
        capture = CapturePanel(namespace=names)
        trajectories = TrajectoriesPanel(namespace=names)
        self._added = AddedPanels((*TABS, "studio"))
        super().__init__(
            capture=capture,
            trajectories=trajectories,
            judge=JudgePanel(namespace=names),
            rewards=RewardsPanel(namespace=names),
            data=DataPanel(None, model, names),
            train=train,
            sweep=SweepPanel(),
            runs=RunsPanel(namespace=names),
            evaluate=EvaluatePanel(namespace=names),
            facts=FactsPanel(model, namespace=names),
            export=ExportPanel(model, namespace=names),
            serve=ServePanel(model, namespace=names),
            chat=ChatPanel(model, run if model is None else None, namespace=names),
            added=self._added.tabs,
            going_on=[offer_of(other) for other in active if run is None or other.id != run.id],
        )
        if namespace is None:
            _opened[self.panel_id] = self
        if self.model is not None:
            self.names.model = self.model
        capture.on_show(lambda _: self._writer.submit(self._hand_capture_over, key="capture"))
        self.observe(lambda _: self._writer.submit(self._hand_capture_over, key="capture"), names=["tab"])
        for panel in (trajectories, self.judge):
            panel.on_use(self._train_on)
        train.on_start(self._started)
        self._walk = Walk(self)
        self.walk = self._walk.state()
        self.runs.on_show(self._open_run)
        self.runs.on_finish(partial(finish, self))
        self.data.on_use(partial(train_on_data, self))
        for source in (capture, self.trajectories):
            source.on_train(partial(train_on, self))
        self.sweep.link(lambda: source_of(train), self._open_run, self._take_options)
        train.observe(self._model_changed, names=["model_state"])
        if self.model is not None:
            self.evaluate.take_model(self.model)
            self._added.tell("take_model", self.model, self.show_error)
        if run is not None:
            self._show(run)
            if not shown:  # it goes on: that is what somebody wants to see who opens this again
                self.tab = "run"

    @t.validate("tab")
    def _tab_exists(self, proposal: Any) -> str:
        tabs = (*TABS, *(tab["id"] for tab in self._added.tabs))
        if proposal["value"] not in tabs:
            raise t.TraitError(f"tab={proposal['value']!r}: Studio has {', '.join(tabs)}")
        return str(proposal["value"])

    @property
    def panels(self) -> dict[str, Any]:
        """Panels that other packages add, by name."""
        return dict(self._added.by_name)

    @property
    def run(self) -> Any:
        """The run that is shown, or None."""
        return self.run_panel.run if self.run_panel is not None else None

    @property
    def model(self) -> Any:
        """The chosen model, or the one that was loaded here last; None if none is loaded."""
        model = self.train.model if self.train is not None else None
        held = self.names.model
        return model if model is not None or held is None or not held.is_loaded else held

    @classmethod
    def newest(cls) -> Studio | None:
        """Return the Studio that was opened last in this kernel, or None: code refers to it where no variable holds it.

        Examples
        --------
        >>> studio = snb.Studio()
        >>> snb.Studio.newest() is studio
        True
        >>> studio.close()
        """
        return next(reversed(list(_opened.values())), None)

    def settle(self, timeout: float | None = 30.0) -> bool:
        """Wait until all panels have done what was asked for; False if that takes longer than ``timeout`` seconds."""
        added = (panel for panel in self._added.by_name.values() if isinstance(panel, Panel))
        panels = (
            self.capture,
            self.trajectories,
            self.judge,
            self.rewards,
            self.data,
            self.train,
            self.sweep,
            self.runs,
            self.evaluate,
            self.facts,
            self.export,
            self.serve,
            self.chat,
            *added,
        )
        return super().settle(timeout) and all(panel.settle(timeout) for panel in panels)

    def close(self) -> None:
        """Remove Studio and its panels from the page; runs and recordings continue."""
        own = (
            self.capture,
            self.trajectories,
            self.judge,
            self.rewards,
            self.data,
            self.train,
            self.sweep,
            self.runs,
            self.run_panel,
            self.evaluate,
            self.facts,
            self.export,
            self.serve,
            self.chat,
        )
        for panel in (*own, *self._added.by_name.values()):
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

    def _revival(self) -> str:
        return f'Studio(run="{self.run.id}")' if self.run is not None else super()._revival()

    def _do_show_run(self, run: str) -> None:
        """Show a run that goes on elsewhere."""
        self._open_run(as_run(run))

    def _do_show_walk(self, shown: bool) -> None:
        """Show the first steps, or hide them from now on."""
        self._walk.show(shown)

    # -- what one panel means for the others ---------------------------------------------------------------------

    def _started(self, run: Any) -> None:
        self._open_run(run)
        self.runs.take_run(run)
        self._hand_model_over()

    def _train_on(self, rows: Any, method: str) -> None:
        self.train.take_data(rows, method, evaluate=method != "grpo")  # recorded attempts are not answered again
        self.tab = "train"

    def _open_run(self, run: Any) -> None:
        self._show(run)
        self.tab = "run"

    def _show(self, run: Any) -> None:
        before = self.run_panel
        self.run_panel = RunPanel(run, namespace=self.names)
        self.run_panel.on_finish(partial(finish, self))
        self.run_panel.observe(lambda _: self._writer.submit(self._other_run, key="run"), names=["about"])
        self.going_on = [offer for offer in self.going_on if offer["id"] != run.id]
        for snapshot in self._snapshots:
            self.run_panel.keep_current(snapshot)
        if before is not None:
            before.close()
        self._added.tell("take_run", run, self.show_error)

    def _other_run(self) -> None:
        """Follow the Run panel, where another run was picked."""
        self._renew_revival()
        self.going_on = [offer for offer in self.going_on if offer["id"] != self.run.id]
        self._added.tell("take_run", self.run, self.show_error)

    def _take_options(self, method: str, options: dict[str, Any]) -> None:
        """Fill the Train panel with a sweep's best options, and open it."""

        def fill() -> None:
            self.train._do_choose_method(method)
            self.train._do_reset()
            self.train._do_set(options)

        self.train._writer.submit(fill)
        self.tab = "train"

    def _model_changed(self, change: Any) -> None:
        # Inside the Train panel's lock, so only queue.
        if change["new"].get("stage") == "ready":
            self._writer.submit(self._hand_model_over, key="model")

    def _hand_capture_over(self) -> None:
        """Read what Capture shows; only when somebody looks, because reading many calls takes a while."""
        store = self.capture.store
        if self.tab == "judge" and store is not None:
            self.judge.take_store(store)
        if self.tab == "trajectories" and store is not None and store is not self.trajectories.store:
            self.trajectories.show(store)

    def _hand_model_over(self) -> None:
        model = self.train.model
        if model is None:
            return
        self.names.model = model
        self.capture.take_model(model)
        self.data.take_model(model)
        self.facts.take_model(model)
        self.export.take_model(model)
        self.serve.take_model(model)
        if model is self.chat.model:
            self.chat.refresh()
        else:
            self.chat.use(model)
        self.evaluate.take_model(model)
        self._added.tell("take_model", model, self.show_error)

    def __repr__(self) -> str:
        return f"Studio({self.run.id})" if self.run is not None else "Studio()"
