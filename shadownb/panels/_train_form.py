"""The state of the Train panel that its parts share: traits, what is chosen, and what follows from a choice."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import traitlets as t

from shadownb.errors import ConfigError

from . import _certificate, _choices, _form, _machine, _methods
from ._base import Panel, as_card
from ._costs import NO_ESTIMATE, Costs
from ._presets import PRESETS
from ._selection import Selection
from ._worker import Background, Worker

NOTHING: dict[str, Any] = {"stage": "none"}


class TrainForm(Panel):
    """What the parts of the Train panel work on; see :class:`shadownb.TrainPanel`."""

    choices = t.Dict(help="Data and models that can be picked.").tag(sync=True)
    data_state = t.Dict(NOTHING, help="The chosen data: stage, format, counts, preview, error.").tag(sync=True)
    eval_state = t.Dict({"kind": "auto"}, help="The evaluation choice.").tag(sync=True)
    model_state = t.Dict(NOTHING, help="The chosen model: stage, phase, figures, error.").tag(sync=True)
    shelf = t.Dict(help="Models to choose from, once somebody looked: what fits, what is here, what is in memory.").tag(
        sync=True
    )
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
    presets: t.List[dict[str, Any]] = t.List(help="Tasks that the form can be filled for.").tag(sync=True)
    preset = t.Dict(help="The task that it was filled for last, with the reason for each value; or empty.").tag(
        sync=True
    )
    inspection = t.Dict(NOTHING, help="One row as tokens, the trained ones marked.").tag(sync=True)
    plan: t.List[dict[str, str]] = t.List(help="What will really run: label, value, reason.").tag(sync=True)
    estimate = t.Dict(NO_ESTIMATE, help="Estimated memory and time.").tag(sync=True)
    certificate = t.Dict(_certificate.NO_CERTIFICATE, help="What was proven of the model's chat template.").tag(
        sync=True
    )
    code = t.Dict(help="The same training as code.").tag(sync=True)
    run_state = t.Dict(NOTHING, help="The run started last from here.").tag(sync=True)

    def __init__(self, model: Any, dataset: Any, namespace: Mapping[str, Any] | None) -> None:
        self._namespace = namespace
        self._given_model, self._given_data = model, dataset
        self._copy: tuple[str, Any] = ("", None)  # choice id and model
        self._files: tuple[str, ...] = ()
        self._taken: tuple[str, ...] = ()  # choices that another panel has made here
        self._chosen = Selection()
        self._opened: Any = None  # the data as it was opened, to be read again with other columns
        self._inspected: dict[str, Any] = {}  # what the row that is shown was rendered with
        self._run: Any = None
        self._starters: list[Callable[[Any], None]] = []
        presets = [{"name": each.name, "title": each.title, "rows": each.rows} for each in PRESETS.values()]
        super().__init__(fields=_form.form_fields(_methods.DEFAULT_METHOD), presets=presets)
        self._heavy = Background("TrainPanel worker", self._writer)
        self._ticks = Worker("TrainPanel downloads", self.show_error)
        self._costs = Costs(self, self._heavy)

    def _do_refresh(self) -> None:
        """Look at the notebook's variables and the registered methods again."""
        names = self._names()
        data = _choices.data_choices(names, self._given_data, self._files, self._taken)
        models = _machine.model_choices(names, self._given_model, self._copy[0])
        kinds = {field["functions"] for field in self.fields if field["functions"]}
        functions = {kind: _choices.function_choices(names, kind) for kind in kinds}
        self.write(choices={"data": data, "models": models, "functions": functions})
        self._settle_form()

    def _do_inspect(self, row: int = 0) -> None:
        """Show one row as the tokens that the chosen method and options train."""
        data, model, config = self._chosen.data, self._chosen.model, self._chosen.config
        if data is None or model is None:
            self.write(inspection=NOTHING)
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
