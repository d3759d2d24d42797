"""TrainPanel: choose data, model, method and options, see what will run and what it costs, and start it.

All state lives in traits, so a reload shows it again. Commands of the page run on the panel's writer thread and only
change the selection; opening data, loading, counting, estimating and starting happen on its worker. What the parts share is in
:mod:`._train_form`, the part about data in :mod:`._train_data`, that about the model in :mod:`._train_model`;
:mod:`._train_filling` lets others fill it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from shadownb.engine.runs.state import ACTIVE

from . import _form, _machine
from ._base import as_card
from ._train_filling import Filling
from ._train_form import NOTHING


class TrainPanel(Filling):
    """The form that starts a run: data, model, method, options, estimate.

    Parameters
    ----------
    model, dataset
        The model and data to begin with (a Model; a Dataset, list of rows or DataFrame); both can be changed in the panel.
    namespace
        A dict in which variables are looked up; None means the notebook's variables.

    Examples
    --------
    >>> panel = snb.TrainPanel(model, rows)
    >>> panel.settle(), panel.model is model, len(panel.dataset), panel.config.method, panel.run
    (True, True, 12, 'lora', None)
    """

    _bundle = "train"
    _revived_by = ("run_state", "data_state", "model_state")

    def __init__(self, model: Any = None, dataset: Any = None, namespace: Mapping[str, Any] | None = None) -> None:
        super().__init__(model, dataset, namespace)
        self._do_refresh()
        self._heavy.submit(
            "hardware", _machine.find_hardware, lambda found: self.write(hardware=found), self.show_error
        )
        if model is not None:
            self._do_choose_model(self._id_of(model))
        if dataset is not None:
            self._do_choose_data(self._id_of(dataset))

    # -- for Python ----------------------------------------------------------------------------------------------

    @property
    def dataset(self) -> Any:
        """The chosen :class:`Dataset`, or None."""
        return self._chosen.data

    @property
    def model(self) -> Any:
        """The chosen model, or None if none is loaded."""
        return self._chosen.model

    @property
    def config(self) -> Any:
        """The :class:`TrainConfig` of the form, or None while an option is wrong."""
        return self._chosen.config

    @property
    def run(self) -> Any:
        """The run that was started last from this panel, or None."""
        return self._run

    def _revival(self) -> str:
        given = self._chosen.revived()
        run = self.run_state.get("id")
        watch = f'\nsnb.RunPanel("{run}")  # the run that was started here' if run else ""
        return f"TrainPanel({', '.join(given)}){watch}"

    def on_start(self, callback: Callable[[Any], None]) -> None:
        """Call ``callback(run)`` when the panel has started a run; called in the panel's own thread.

        Examples
        --------
        >>> panel, started = snb.TrainPanel(model, rows), []
        >>> panel.on_start(started.append)  # called with each run that the button Start begins
        """
        self._starters.append(callback)

    def take_data(self, data: Any, method: str, *, evaluate: bool = True) -> None:
        """Choose data that another panel hands over, the method that learns from it, and whether rows are held back.

        Examples
        --------
        >>> panel = snb.TrainPanel(model, namespace={})
        >>> panel.take_data([{"prompt": "Hi", "completion": "Hello", "label": True}], "kto")
        >>> panel.settle(), panel.method, len(panel.dataset)
        (True, 'kto', 1)
        """
        self._writer.submit(lambda: self._take(data, method, evaluate))

    def _take(self, data: Any, method: str, evaluate: bool) -> None:
        self._given_data = data
        self._do_refresh()
        self._do_choose_data("given")
        self._do_choose_method(method)
        self._do_choose_eval("auto" if evaluate else "none")

    def settle(self, timeout: float | None = 30.0) -> bool:
        """Wait until everything that was asked for is done: commands, loading, counting, estimating, starting."""
        # What a result leads to may be another job, so the writer comes last and the worker is asked again.
        return super().settle(timeout) and self._heavy.wait(timeout) and self._heavy.wait(timeout)

    # -- commands of the page ------------------------------------------------------------------------------------

    def _do_choose_method(self, name: str) -> None:
        """Choose a registered method."""
        self._chosen.method = name
        self.write(method=name, fields=_form.form_fields(name))
        self._settle_form()

    def _do_set(self, values: dict[str, Any]) -> None:
        """Change options; "" or None means the default."""
        self._chosen.values.update(values)
        self._settle_form()

    def _do_reset(self) -> None:
        """Set all options back to their defaults."""
        self._chosen.values = {}
        self._settle_form()

    def _do_start(self) -> None:
        """Start training in the background."""
        if self.run_state["stage"] not in ("starting", "active"):
            self.write(run_state={"stage": "starting"})
            names = self._names()
            self._heavy.submit("start", lambda: self._chosen.start(names), self._started, self._not_started)

    # -- the run -------------------------------------------------------------------------------------------------

    def _started(self, run: Any) -> None:
        self._run = run
        self.write(run_state={"stage": "active", "id": run.id, "status": run.status})
        for callback in self._starters:
            callback(run)
        run.subscribe(lambda state: self._writer.submit(lambda: self._follow(run, state.status)))

    def _not_started(self, error: Exception) -> None:
        self.write(run_state=NOTHING, error=as_card(error))

    def _follow(self, run: Any, status: str) -> None:
        active = status in ACTIVE
        state = {"stage": "active" if active else "ended", "id": run.id, "status": status}
        if run is self._run and state != self.run_state:
            self.write(run_state=state)
            model = self._chosen.model
            if not active and model is not None:  # it carries another trained state now
                self._get_model(lambda: model, f"Reading {model.name}")
