"""Options that objectives bring: a pydantic table of each, found by the registry, so from outside of the package, too.

An option belongs to the objectives in whose tables it stands; several may have one of the same name, each with a default and a
range of its own. No table may have a name that every training has an option by.
"""

from __future__ import annotations

import contextlib
import typing
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from shadownb.engine import registry
from shadownb.engine.config_options import Options, kind_of
from shadownb.engine.methods import MethodSpec
from shadownb.engine.methods.guests import guest
from shadownb.errors import ConfigError, MethodError, MissingDependencyError, ShadowError, did_you_mean

_KINDS = ("int", "float", "bool", "str", "choice", "list")

# What a call of train, the train verb or a file says beside options, and what a config has that is none.
_TAKEN = frozenset(
    {
        "model", "dataset", "eval_dataset", "background", "start", "store", "callbacks", "columns", "ignore", "config",
        "backend", "device", "dtype", "quantize", "adapter", "accelerator", "spec", "changed", "replace", "describe",
        "rows_per_step", "objective_options", "words", "file", "target", "help",
    }
)  # fmt: skip


def table_of(objective: str) -> type[BaseModel] | None:
    """Return the table of an objective's own options; None where it has none.

    Raises
    ------
    ConfigError, MissingDependencyError
        There is no such objective, it cannot be imported, or its table cannot be shown in a form or typed as a flag.
    """
    table: type[BaseModel] | None = registry.resolve("objective", objective).options
    if table is not None:
        _check(objective, table)
    return table


def table_of_method(spec: MethodSpec) -> type[BaseModel] | None:
    """Return the table of a method's own options: its guest's where it has one, else its objective's.

    Raises
    ------
    ConfigError, MethodError, MissingDependencyError
        As :func:`table_of`; or the guest cannot be used here.
    """
    if not spec.guest:
        return table_of(spec.objective)
    table: type[BaseModel] = guest(spec.guest).options(spec)
    return table


def tables() -> dict[str, type[BaseModel]]:
    """Return the tables of all objectives that can be used; what is wrong with another is said when its method is asked for."""
    found = {}
    for name in registry.names("objective"):
        with contextlib.suppress(ConfigError, MissingDependencyError):
            if (table := table_of(name)) is not None:
                found[name] = table
    return found


def fields_of_objectives() -> dict[str, list[tuple[str, type[BaseModel]]]]:
    """Return the objectives that have it, with their tables, of each option that not every training has."""
    found: dict[str, list[tuple[str, type[BaseModel]]]] = {}
    for objective, table in tables().items():
        for name in table.model_fields:
            found.setdefault(name, []).append((objective, table))
    return found


def option_names(spec: MethodSpec | None = None) -> tuple[str, ...]:
    """Return the names of all options: those of every training, then those of the objectives that can be used here.

    With a guest's method also those that its trainer has of its own.
    """
    own = table_of_method(spec) if spec is not None and spec.guest else None
    return (*Options.model_fields, *fields_of_objectives(), *(own.model_fields if own is not None else ()))


@dataclass(frozen=True)
class Chosen:
    """What a config says beside the options that every training has.

    Attributes
    ----------
    own
        The table of the method's objective with its values; None where it has none.
    others
        Options of other objectives that were set to something, so that they can be refused by name. Of a record whose
        objective this process does not know, all that it has, as it is written.
    given
        The names that were given explicitly.
    """

    own: BaseModel | None = None
    others: Mapping[str, Any] = field(default_factory=dict)
    given: frozenset[str] = frozenset()

    @classmethod
    def of(cls, spec: MethodSpec | None, values: Mapping[str, Any], *, recorded: bool) -> Chosen:
        """Return the values of options that only some trainings have, validated.

        Parameters
        ----------
        spec
            The method; None where there is none of the name that was given.
        recorded
            Whether the method is of a run's record, which is read in processes that do not know its objective, too.

        Raises
        ------
        ConfigError
            One of the values is of no option, or out of its range.
        """
        try:
            table = table_of_method(spec) if spec is not None else None
        except (ConfigError, MethodError, MissingDependencyError):
            if recorded or not values:
                return cls(None, dict(values), frozenset(values))
            raise
        mine = table.model_fields if table is not None else {}
        own = _validated(table, {name: values[name] for name in values if name in mine}) if table is not None else None
        if spec is not None and spec.guest and not recorded:
            _refuse_of_guest(spec, values)
        others = {name: _of_another(name, values[name], mine, spec) for name in values if name not in mine}
        others = {name: value for name, (value, default) in others.items() if value != default}
        return cls(own, others, frozenset(name for name in values if name in mine or name in others))

    def of_given(self, names: Collection[str]) -> Chosen:
        """Return the same of which these were given explicitly."""
        return Chosen(self.own, self.others, frozenset(name for name in names if name in self.values()))

    def values(self) -> dict[str, Any]:
        """Return all values by name."""
        return {**(dict(self.own) if self.own is not None else {}), **self.others}

    def default_of(self, name: str) -> Any:
        """Return what an option is where nothing is said; of an option that only other objectives have, theirs.

        None of an option that only the record of a run knows.

        Raises
        ------
        KeyError
            There is no such option here.
        """
        if self.own is not None and name in type(self.own).model_fields:
            return type(self.own).model_fields[name].get_default(call_default_factory=True)
        known = fields_of_objectives()
        if name in self.others and name not in known:
            return None
        return known[name][0][1].model_fields[name].get_default(call_default_factory=True)

    def as_json(self) -> dict[str, Any]:
        """Return all values as JSON has them."""
        own = self.own.model_dump(mode="json") if self.own is not None else {}
        return {**own, **{k: list(v) if isinstance(v, tuple) else v for k, v in self.others.items()}}


def _validated(table: type[BaseModel], values: Mapping[str, Any]) -> BaseModel:
    try:
        return table(**values)
    except ValidationError as error:
        raise as_config_error(error, table.model_fields) from None


def _refuse_of_guest(spec: MethodSpec, values: Mapping[str, Any]) -> None:
    """Refuse an option that the guest's trainer has and that cannot be kept here, with the reason."""
    for name, reason in guest(spec.guest).refused(spec).items():
        if name in values:
            raise ConfigError(
                f"{name}={values[name]!r} cannot be used with method={spec.name!r}: {reason}.", fix=f"Leave {name} out."
            )


def _of_another(name: str, value: Any, mine: Collection[str], spec: MethodSpec | None) -> tuple[Any, Any]:
    """Return the value of another objective's option as that validates it, and its default there."""
    known = fields_of_objectives()
    if name not in known:
        visits = spec is not None and bool(spec.guest)
        names = [*Options.model_fields, *mine, *(() if visits else known)]
        fix = "Call shadownb.TrainConfig.describe() for the list of options."
        raise ConfigError(
            f"{name}={value!r} is not a training option.{did_you_mean(name, list(dict.fromkeys(names)))}",
            fix=f"{fix} {spec.name} has of its own: {', '.join(sorted(mine))}." if visits and spec is not None else fix,
        )
    table = known[name][0][1]
    return getattr(_validated(table, {name: value}), name), table.model_fields[name].get_default()


def as_config_error(error: ValidationError, fields: Mapping[str, FieldInfo]) -> ConfigError:
    """Turn pydantic's first complaint into one sentence with the option, its value and the range."""
    first = error.errors()[0]
    message = str(first["msg"]).removeprefix("Value error, ")
    context = first.get("ctx", {}).get("error")
    if isinstance(context, ShadowError):
        return ConfigError(context.what, why=context.why, fix=context.fix)
    if not first["loc"]:
        return ConfigError(f"The options contradict each other: {message}.", fix="Leave one of them out.")
    name = str(first["loc"][0])
    message = message[0].lower() + message[1:] if message else "not valid"
    return ConfigError(f"{name}={first['input']!r}: {message}.", fix=f"{name}: {fields[name].description or ''}")


def _check(objective: str, table: type[BaseModel]) -> None:
    """Refuse a table whose options cannot be those of a training."""
    for name, hint in typing.get_type_hints(table).items():
        info = table.model_fields.get(name)
        if info is None:  # a constant of the class
            continue
        if name in Options.model_fields or name in _TAKEN or hasattr(BaseModel, name):
            wrong, fix = "every training has something of that name", "Choose another name."
        elif info.is_required():
            wrong, fix = "it has no default", "Give it one; None may stand for what is chosen when it is not set."
        elif kind_of(hint)[0] not in _KINDS:
            wrong = f"a {hint} can be neither typed as a flag nor shown in a form"
            fix = "Use int, float, bool, str, a Literal of texts, or tuple[str, ...]."
        else:
            continue
        raise ConfigError(f"The option {name!r} of the objective {objective!r} cannot be used: {wrong}.", fix=fix)
