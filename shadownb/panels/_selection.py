"""Selection: everything a user has chosen in the Train panel, and what follows from it. No widget, no thread."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from shadownb.engine import functions, methods, objectives
from shadownb.engine.config import TrainConfig
from shadownb.errors import ConfigError, DataError, ModelError

from . import _choices, _code, _form, _methods, _plan
from ._answers import loadable_name
from ._start import StartChoice

if TYPE_CHECKING:
    from shadownb.engine.lengths import Lengths

AUTO_SHARE = 0.1
SMALLEST_SHARE, LARGEST_SHARE = 0.01, 0.5


@dataclass
class Selection:
    """The form's state.

    Attributes
    ----------
    data_id, data
        Choice id and the Dataset once it is open.
    columns, ignore
        How its rows are read: the user's names for known columns, and what is left out.
    eval_kind
        "none", "auto" (a tenth), "share" or "data".
    model_id, model
        Choice id and the model once it is in memory.
    load_options
        Options of ``shadownb.load`` that were given.
    start_choice
        What the next run starts from.
    values
        Options as typed: text for numbers, "" or None for "default".
    config
        The TrainConfig they stand for, or None while one is wrong.
    options
        Those of its fields that were set to something else than the method's default.
    amount
        What an epoch goes through, as the estimate found; None while unknown.
    template
        What the chat template refuses or leaves out of the rows, as the estimate found; None while unknown.
    """

    data_id: str = ""
    data: Any = None
    columns: dict[str, str] = field(default_factory=dict)
    ignore: tuple[str, ...] = ()
    eval_kind: str = "auto"
    eval_share: float = AUTO_SHARE
    eval_id: str = ""
    eval_data: Any = None
    model_id: str = ""
    model: Any = None
    load_options: dict[str, Any] = field(default_factory=dict)
    start_choice: StartChoice = field(default_factory=StartChoice)
    method: str = _methods.DEFAULT_METHOD
    values: dict[str, Any] = field(default_factory=dict)
    config: TrainConfig | None = None
    options: dict[str, Any] = field(default_factory=dict)
    amount: _plan.Amount | None = None
    template: tuple[str, ...] | None = None
    reach: list[str] | None = None
    _amount_of: Any = None  # what ``amount`` was found for

    @property
    def complete(self) -> bool:
        """Whether everything needed for an estimate is there."""
        return self.config is not None and self.data is not None and self.model is not None

    def revived(self) -> list[str]:
        """Return the arguments of a TrainPanel in another kernel that begins with the same, as far as it can be named there."""
        kind, _, name = self.model_id.partition(":")
        if kind not in ("alias", "path") and self.model is not None:
            name = loadable_name(self.model, trained=False)
        model = f"snb.load({_code.literal(name)})" if name and self.model is not None else "None"
        data = ""
        if self.data is not None and self.data_id.startswith(("sample:", "file:")):
            data = _code.data_expression(self.data_id, "dataset", self.reading).replace("shadownb.", "snb.")
        return [model, data] if data else [model] if model != "None" else []

    @property
    def seen(self) -> dict[str, Any]:
        """What decides which tokens of a row are seen and trained, as :meth:`Dataset.inspect` takes it."""
        assert self.config is not None
        return {
            "method": self.config.method,
            "loss_on": self.config.loss_on,
            "max_length": self._longest_row,
            "on_template_drop": self.config.on_template_drop,
        }

    @property
    def _longest_row(self) -> int | None:
        assert self.config is not None
        if self.model is None:
            return self.config.max_length
        lengths: Lengths = self.model.lengths
        return lengths.longest_row(self.config.max_length, self.config)

    def map_column(self, name: str, target: str) -> None:
        """Read a column as a known one, leave it out (``ignore``), or go by its own name again ("")."""
        self.columns = {known: to for known, to in self.columns.items() if name != known and to != target}
        self.ignore = tuple(left for left in self.ignore if left != name)
        if target == _choices.IGNORE:
            self.ignore = (*self.ignore, name)
        elif target:
            self.columns[name] = target

    @property
    def reading(self) -> dict[str, Any]:
        """How rows are read, as the constructors of Dataset take it."""
        return {"columns": self.columns, "ignore": self.ignore}

    def settle(self) -> dict[str, Any]:
        """Build the config from the values and return the form's state for the front end."""
        unsupported = _methods.unsupported_fields(self.method, self.model)
        self.config, problems = _form.build(self.method, self.values, unsupported)
        if self.config is not None:
            self.options = _form.set_options(self.config, self.values)
        self._forget_amount()
        self.reach = None  # any option may move it, and the next estimate brings it
        return {
            "values": dict(self.values),
            "problems": problems,
            "unsupported": unsupported,
            "resolved": _form.method_defaults(self.method),
            "changed_advanced": _form.changed_advanced(self.method, self.values),
        }

    def methods(self) -> list[dict[str, Any]]:
        """Return the method picker's rows for this model and data."""
        data_format = self.data.format if self.data is not None else None
        return _methods.method_choices(
            self.model,
            data_format,
            self.options,
            from_base=self.start_choice.from_base,
            backend=self.load_options.get("backend") if self.model is None else None,
        )

    def evaluation(self) -> Any:
        """Return ``eval_dataset`` as :meth:`Model.train` takes it."""
        return {"auto": "auto", "share": self.eval_share, "data": self.eval_data}.get(self.eval_kind)

    def plan(self) -> list[dict[str, str]]:
        """Return what will really run; empty while something is missing."""
        if not self.complete or self.config is None:
            return []
        held = self._held_share
        words = f"{held:.0%} of the rows, held back" if held else ""
        if self.eval_data is not None:
            words = f"{len(self.eval_data):,} rows of {self.eval_id.partition(':')[2]}"
        start = self.start_choice.plan()
        return _plan.plan_rows(
            self.config, self.data, self.model, start, words, self.train_rows, self.amount, self.template, self.reach
        )

    @property
    def train_rows(self) -> int:
        """How many rows are left to train on."""
        valid = int(self.data.report.valid)
        held = self._held_share
        return valid - (min(max(round(valid * held), 1), valid - 1) if held and valid > 1 else 0)

    @property
    def _held_share(self) -> float:
        return {"auto": AUTO_SHARE, "share": self.eval_share}.get(self.eval_kind, 0.0)

    def _forget_amount(self) -> None:
        """Forget what an epoch goes through once something has changed that decides about it."""
        now = None
        if self.complete and self.config is not None:
            now = (id(self.data), id(self.model), self.train_rows, self.config.packing, sorted(self.seen.items()))
        if now != self._amount_of:
            self._amount_of, self.amount, self.template = now, None, None

    def code(self, names: Mapping[str, Any]) -> dict[str, str]:
        """Return the same training as a Python cell and as a magic cell; empty while something is missing."""
        if self.config is None or not self.data_id or not self.model_id:
            return {}
        evaluation = self.eval_id if self.eval_kind == "data" else self.evaluation()
        choice = _code.Choice(
            data=self.data_id,
            model=self.model_id,
            method=self.method,
            options=self.options,
            eval_data=evaluation or None,
            data_kind=_kind(self.data_id, names),
            eval_kind=_kind(self.eval_id, names),
            load_options={} if _in_memory(self.model_id) else self.load_options,
            start=self.start_choice.argument() if _is_named(self.model_id) else None,
            columns=self.columns,
            ignore=self.ignore,
        )
        return {"python": _code.as_python(choice), "magic": _code.as_magic(choice)}

    def start(self, names: Mapping[str, Any]) -> Any:
        """Start training in the background and return the run; ``names`` are the notebook's variables.

        Raises
        ------
        ShadowError
            Something is missing, or the engine refuses.
        """
        if self.data is None:
            raise DataError("No data is chosen.", fix="Choose data in the first part of the panel.")
        if self.model is None:
            raise ModelError("No model is loaded.", fix="Choose a model in the second part of the panel.")
        if self.config is None:
            raise ConfigError("An option is wrong.", fix="Correct the marked option.")
        if self.eval_kind == "data" and self.eval_data is None:
            raise DataError("No evaluation data is chosen.", fix="Choose it, or hold back a share of the rows.")
        return self.model.train(
            self.data,
            method=self.method,
            background=True,
            eval_dataset=self.evaluation(),
            start=self.start_choice.argument(),
            **_with_functions(self.method, self.options, names),
        )


def _with_functions(method: str, options: Mapping[str, Any], names: Mapping[str, Any]) -> dict[str, Any]:
    """Return options with the functions of variables in the place of their names."""
    own = objectives.get(methods.get(method).objective).functions
    return {name: functions.meant(value, value, names) if name in own else value for name, value in options.items()}


def _is_named(model_id: str) -> bool:
    """Whether code gets the model by a variable, whatever that was trained to meanwhile."""
    return model_id == "given" or model_id.startswith("var:")


def _in_memory(model_id: str) -> bool:
    return _is_named(model_id) or model_id.startswith("copy:")


def _kind(choice: str, names: Mapping[str, Any]) -> str:
    where, _, name = choice.partition(":")
    return (_choices.kind_of(names.get(name)) if where == "var" else None) or "dataset"
