"""TrainPanel: choose data, model, method and options, see what will run and what it costs, and start it.

All state lives in traits, so a reload shows it again. Commands of the page run on the panel's writer thread and only
change the selection; opening data, loading, counting, estimating and starting happen on its worker.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import traitlets as t

from shadownb.engine.runs.state import ACTIVE
from shadownb.errors import ConfigError, DataError

from . import _certificate, _choices, _form, _machine, _methods
from ._base import Panel, as_card
from ._costs import NO_ESTIMATE, Costs
from ._selection import LARGEST_SHARE, SMALLEST_SHARE, Selection
from ._worker import Background

_NOTHING: dict[str, Any] = {"stage": "none"}


class TrainPanel(Panel):
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

    choices = t.Dict(help="Data and models that can be picked.").tag(sync=True)
    data_state = t.Dict(_NOTHING, help="The chosen data: stage, format, counts, preview, error.").tag(sync=True)
    eval_state = t.Dict({"kind": "auto"}, help="The evaluation choice.").tag(sync=True)
    model_state = t.Dict(_NOTHING, help="The chosen model: stage, phase, figures, error.").tag(sync=True)
    start = t.Dict(help="What the next run starts from, and what it could: choice, choices, memory of a copy.").tag(
        sync=True
    )
    method = t.Unicode(_methods.DEFAULT_METHOD).tag(sync=True)
    methods: t.List[dict[str, Any]] = t.List(help="The method picker's rows, blocked ones with the reason.").tag(
        sync=True
    )
    memory = t.Dict(help="Estimated GB of each method that can be used, and whether it fits.").tag(sync=True)
    hardware = t.Dict(help="What hardware.detect() found.").tag(sync=True)
    fields: t.List[dict[str, Any]] = t.List(help="TrainConfig's options as a form needs them.").tag(sync=True)
    form = t.Dict(help="Values, problems by field, what the method can't honour.").tag(sync=True)
    inspection = t.Dict(_NOTHING, help="One row as tokens, the trained ones marked.").tag(sync=True)
    plan: t.List[dict[str, str]] = t.List(help="What will really run: label, value, reason.").tag(sync=True)
    estimate = t.Dict(NO_ESTIMATE, help="Estimated memory and time.").tag(sync=True)
    certificate = t.Dict(_certificate.NO_CERTIFICATE, help="What was proven of the model's chat template.").tag(
        sync=True
    )
    code = t.Dict(help="The same training as code.").tag(sync=True)
    run_state = t.Dict(_NOTHING, help="The run started last from here.").tag(sync=True)

    def __init__(self, model: Any = None, dataset: Any = None, namespace: Mapping[str, Any] | None = None) -> None:
        self._namespace = namespace
        self._given_model, self._given_data = model, dataset
        self._copy: tuple[str, Any] = ("", None)  # choice id and model
        self._files: tuple[str, ...] = ()
        self._chosen = Selection()
        self._opened: Any = None  # the data as it was opened, to be read again with other columns
        self._inspected: dict[str, Any] = {}  # what the row that is shown was rendered with
        self._run: Any = None
        self._starters: list[Callable[[Any], None]] = []
        super().__init__(fields=_form.form_fields(_methods.DEFAULT_METHOD))
        self._heavy = Background("TrainPanel worker", self._writer)
        self._costs = Costs(self, self._heavy)
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

    def _do_refresh(self) -> None:
        """Look at the notebook's variables and the registered methods again."""
        names = self._names()
        data = _choices.data_choices(names, self._given_data, self._files)
        models = _machine.model_choices(names, self._given_model, self._copy[0])
        kinds = {field["functions"] for field in self.fields if field["functions"]}
        functions = {kind: _choices.function_choices(names, kind) for kind in kinds}
        self.write(choices={"data": data, "models": models, "functions": functions})
        self._settle_form()

    def _do_choose_data(self, choice: str = "") -> None:
        """Open data; an empty choice takes it away."""
        self._chosen.data, self._chosen.data_id, self._opened = None, choice, None
        self._chosen.columns, self._chosen.ignore = {}, ()
        self._heavy.cancel("inspect")
        self.write(data_state={"stage": "loading", "choice": choice} if choice else _NOTHING, inspection=_NOTHING)
        self._settle_form()
        if choice:
            names = self._names()
            self._heavy.submit(
                "data",
                lambda: _with_description(_choices.open_data(choice, names, self._given_data)),
                self._data_ready,
                lambda error: self.write(data_state=_failed(choice, error)),
            )
        else:
            self._heavy.cancel("data")

    def _do_map_column(self, column: str, target: str = "") -> None:
        """Read a column of the chosen data as a known one; "ignore" leaves it out, "" goes by its own name."""
        opened, chosen = self._opened, self._chosen
        if opened is None:
            return
        chosen.map_column(column, target)
        chosen.data = None
        self._heavy.cancel("inspect")
        self.write(data_state={**self.data_state, "stage": "loading"}, inspection=_NOTHING)
        self._settle_form()
        reading = chosen.reading
        self._heavy.submit(
            "data",
            lambda: _with_description(opened.read_as(**reading)),
            self._data_ready,
            lambda error: self.write(
                data_state={**_choices.describe_reading(opened), **_failed(chosen.data_id, error)}
            ),
        )
        if chosen.eval_kind == "data" and chosen.eval_id:
            self._do_choose_eval("data", choice=chosen.eval_id)

    def _do_choose_eval(self, how: str, share: float | None = None, choice: str = "") -> None:
        """Choose what is evaluated on: "none", "auto", a "share" of the rows or other "data"."""
        chosen = self._chosen
        chosen.eval_kind, chosen.eval_data, chosen.eval_id = how, None, choice
        self._heavy.cancel("eval")
        state: dict[str, Any] = {"kind": how, "choice": choice}
        if how == "share":
            chosen.eval_share = min(LARGEST_SHARE, max(SMALLEST_SHARE, float(share or chosen.eval_share)))
            state["share"] = chosen.eval_share
        elif how == "data" and choice:
            names, reading = self._names(), chosen.reading
            state["stage"] = "loading"

            def open_alike() -> Any:
                data = _choices.open_data(choice, names, self._given_data)
                return data.read_like(**reading) if any(reading.values()) else data

            self._heavy.submit(
                "eval",
                open_alike,
                self._eval_ready,
                lambda error: self.write(eval_state={"kind": how, **_failed(choice, error)}),
            )
        self.write(eval_state=state)
        self._settle_form()

    def _do_choose_model(self, choice: str = "") -> None:
        """Choose a model; one in memory is taken at once, another one waits for ``load_model``."""
        self._chosen.model, self._chosen.model_id = None, choice
        self._heavy.cancel("model")
        self._heavy.cancel("inspect")
        self.write(model_state=self._model_stage("chosen") if choice else _NOTHING, inspection=_NOTHING)
        _certificate.follow(self, self._heavy, None)
        self._settle_form()
        if choice == self._copy[0] and choice:
            copy = self._copy[1]
            self._get_model(lambda: copy, f"Reading {copy.name}")
        elif choice == "given" or choice.startswith("var:"):
            model = _machine.loaded_model(choice, self._names(), self._given_model)
            self._get_model(lambda: model, f"Reading {model.name}")

    def _do_load_options(self, quantize: str = "", device: str = "", backend: str = "") -> None:
        """Choose how the model is loaded; one that was loaded before has to be loaded again."""
        given = {"quantize": quantize, "device": device, "backend": backend}
        self._chosen.load_options = {name: value for name, value in given.items() if value}
        self._do_choose_model(self._chosen.model_id)

    def _do_load_model(self) -> None:
        """Load the chosen model."""
        if self.model_state["stage"] in ("chosen", "failed"):
            name, options = self._chosen.model_id.partition(":")[2], dict(self._chosen.load_options)
            self._get_model(lambda: _machine.load_model(name, options), f"Loading {name}")

    def _do_start_from(self, choice: str) -> None:
        """Choose what the next run starts from: "base", "trained" or "first"."""
        self._chosen.start_choice.pick(choice)
        self._settle_form()

    def _do_fresh_copy(self) -> None:
        """Load the base of the chosen model a second time and choose that; the model itself stays as it is."""
        model = self._chosen.model
        if model is None:
            return
        name = self._chosen.model_id.partition(":")[2] or "model"

        def load() -> Any:
            copy = model.fresh_copy()
            self._copy = (f"copy:{name}", copy)
            return copy

        self.write(model_state=self._model_stage("loading", phase=f"Loading a fresh copy of {model.name}"))
        self._heavy.submit(
            "model",
            lambda: (model_copy := load(), _machine.describe_model(model_copy)),
            self._copy_ready,
            lambda error: self._copy_failed(model, error),
        )

    def _copy_ready(self, found: tuple[Any, dict[str, Any]]) -> None:
        self._chosen.model_id = self._copy[0]
        self._model_ready(found)
        self._do_refresh()

    def _copy_failed(self, model: Any, error: Exception) -> None:
        self._get_model(lambda: model, f"Reading {model.name}")
        self.show_error(error)

    def _get_model(self, get: Callable[[], Any], phase: str) -> None:
        def work() -> tuple[Any, dict[str, Any]]:
            model = get()
            return model, _machine.describe_model(model)

        self.write(model_state=self._model_stage("loading", phase=phase))
        self._heavy.submit(
            "model",
            work,
            self._model_ready,
            lambda error: self.write(model_state=self._model_stage("failed", error=as_card(error))),
        )

    def _model_stage(self, stage: str, **more: Any) -> dict[str, Any]:
        chosen = self._chosen
        name = chosen.model_id.partition(":")[2]
        return {"name": name, **more, "stage": stage, "choice": chosen.model_id, "load_options": chosen.load_options}

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

    def _do_inspect(self, row: int = 0) -> None:
        """Show one row as the tokens that the chosen method and options train."""
        data, model, config = self._chosen.data, self._chosen.model, self._chosen.config
        if data is None or model is None:
            self.write(inspection=_NOTHING)
            return
        if config is None:
            wrong = ConfigError("An option is wrong.", fix="Correct the marked option.")
            self._inspected = {}
            self.write(inspection={"stage": "failed", "row": row, "error": as_card(wrong)})
            return
        self._inspected = seen = self._chosen.seen
        self.write(inspection={**self.inspection, "stage": "loading", "row": row})
        self._heavy.submit(
            "inspect",
            lambda: data.inspect(model, row=row, **seen).to_dict(),
            lambda found: self.write(inspection={**found, "stage": "ready", "row": row}),
            lambda error: self.write(inspection={"stage": "failed", "row": row, "error": as_card(error)}),
        )

    def _do_start(self) -> None:
        """Start training in the background."""
        if self.run_state["stage"] not in ("starting", "active"):
            self.write(run_state={"stage": "starting"})
            names = self._names()
            self._heavy.submit("start", lambda: self._chosen.start(names), self._started, self._not_started)

    # -- results of the worker, on the writer thread -------------------------------------------------------------

    def _data_ready(self, found: tuple[Any, dict[str, Any]]) -> None:
        data, state = found
        choice = self._chosen.data_id
        usable = "error" not in state
        if self._opened is None:
            self._opened = data
            self._chosen.columns, self._chosen.ignore = dict(data.reading.columns), tuple(data.reading.ignore)
        self._chosen.data = data if usable else None
        self.write(data_state={**state, "stage": "ready" if usable else "failed", "choice": choice})
        if choice.startswith("file:") and choice.removeprefix("file:") not in self._files:
            self._files = (*self._files, choice.removeprefix("file:"))
            self._do_refresh()
        self._settle_form()

    def _eval_ready(self, data: Any) -> None:
        self._chosen.eval_data = data
        self.write(eval_state={"kind": "data", "choice": self._chosen.eval_id, "stage": "ready", "rows": len(data)})
        self._settle_form()

    def _model_ready(self, found: tuple[Any, dict[str, Any]]) -> None:
        self._chosen.model, description = found
        self.write(model_state=self._model_stage("ready", **description))
        _certificate.follow(self, self._heavy, self._chosen.model)
        self._settle_form()

    def _started(self, run: Any) -> None:
        self._run = run
        self.write(run_state={"stage": "active", "id": run.id, "status": run.status})
        for callback in self._starters:
            callback(run)
        run.subscribe(lambda state: self._writer.submit(lambda: self._follow(run, state.status)))

    def _not_started(self, error: Exception) -> None:
        self.write(run_state=_NOTHING, error=as_card(error))

    def _follow(self, run: Any, status: str) -> None:
        active = status in ACTIVE
        state = {"stage": "active" if active else "ended", "id": run.id, "status": status}
        if run is self._run and state != self.run_state:
            self.write(run_state=state)
            model = self._chosen.model
            if not active and model is not None:  # it carries another trained state now
                self._get_model(lambda: model, f"Reading {model.name}")

    # -- what follows from the choices ---------------------------------------------------------------------------

    def _settle_form(self) -> None:
        chosen = self._chosen
        chosen.start_choice.follow(chosen.model)
        form = chosen.settle()
        self.write(start=chosen.start_choice.state())
        self.write(form=form, methods=chosen.methods(), code=chosen.code(self._names()), plan=chosen.plan())
        if self.inspection["stage"] != "none" and chosen.config is not None and chosen.seen != self._inspected:
            self._do_inspect(self.inspection["row"])
        self._costs.settle(chosen, [row["name"] for row in self.methods if row["blocked"] is None])

    def _names(self) -> Mapping[str, Any]:
        return self._namespace if self._namespace is not None else _choices.user_namespace()

    def _id_of(self, value: Any) -> str:
        name = _choices.name_of(value, self._names())
        return f"var:{name}" if name else "given"


def _failed(choice: str, error: Exception) -> dict[str, Any]:
    return {"stage": "failed", "choice": choice, "error": as_card(error)}


def _with_description(data: Any) -> tuple[Any, dict[str, Any]]:
    """Return data with what is shown of it; where no row can be used, with the error and the columns to map."""
    try:
        return data, _choices.describe_data(data)
    except DataError as error:
        return data, {**_choices.describe_reading(data), "error": as_card(error)}
