"""The options of a training as forms, magics, flags and documentation need them, read from the fields of their tables."""

from __future__ import annotations

import dataclasses
import typing
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from shadownb.engine import methods, registry
from shadownb.engine.config_objectives import fields_of_objectives
from shadownb.engine.config_options import Options, kind_of


@dataclass(frozen=True)
class ConfigField:
    """One option as forms, magics, flags and documentation need it."""

    name: str
    kind: Literal["int", "float", "bool", "str", "choice", "list"]
    default: Any
    help: str
    group: str
    advanced: bool
    unit: str
    optional: bool
    listed: tuple[str, ...] = ()  # the choices of a type that lists them
    functions: str | None = None  # the kind in the registry whose names it takes, beside functions of the notebook
    registered: str | None = None  # else the kind in the registry whose names are chosen from
    minimum: float | None = None
    exclusive_minimum: float | None = None
    maximum: float | None = None
    exclusive_maximum: float | None = None

    @property
    def choices(self) -> tuple[str, ...]:
        """What can be chosen, as it is registered now; empty where that is open."""
        return self.listed if self.registered is None else ("auto", *registry.names(self.registered))


def config_fields(objective: str | None = None) -> tuple[ConfigField, ...]:
    """Return the options in the order of forms and help: every training's, and before its evaluation those of objectives.

    Several objectives may have one of a name; with ``objective`` its own is meant, else it is told as the first of them has it.
    """
    hints = typing.get_type_hints(Options)
    every = [_field(name, info, hints[name]) for name, info in Options.model_fields.items()]
    behind = next(place for place, field in enumerate(every) if field.group == "evaluation")
    own = [_of_objectives(name, having, objective) for name, having in fields_of_objectives().items()]
    return (*every[:behind], *own, *every[behind:])


def _of_objectives(name: str, having: list[tuple[str, type[BaseModel]]], wanted: str | None) -> ConfigField:
    """Return an option that only some objectives have, as the wanted or the first of them knows it, with its methods."""
    having = [(objective, table) for objective, table in having if objective == wanted] or having
    found = [_field(name, table.model_fields[name], typing.get_type_hints(table)[name]) for _, table in having]
    objectives = [objective for objective, _ in having]
    users = [spec.name for spec in methods.available() if spec.objective in objectives] or objectives
    told = f"{found[0].help.rstrip('.')} ({', '.join(users)})."
    if len({(field.kind, field.listed) for field in found}) > 1:  # what is typed is then the method's to judge
        return dataclasses.replace(found[0], help=told, kind="str", listed=())
    return dataclasses.replace(found[0], help=told)


def _field(name: str, info: FieldInfo, hint: Any) -> ConfigField:
    extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
    told = {"group": "objective", "advanced": False, "unit": "", "registered": None, "functions": None, **extra}
    kind, optional, listed = kind_of(hint)
    limits = {
        type(rule).__name__.lower(): getattr(rule, type(rule).__name__.lower())
        for rule in info.metadata
        if type(rule).__name__ in {"Gt", "Ge", "Lt", "Le"}
    }
    registered = typing.cast("str | None", told["registered"])
    return ConfigField(
        name=name,
        kind="choice" if registered else kind,
        default=info.get_default(call_default_factory=True),
        help=info.description or "",
        group=str(told["group"]),
        advanced=bool(told["advanced"]),
        unit=str(told["unit"]),
        optional=optional,
        listed=listed,
        registered=registered,
        functions=typing.cast("str | None", told["functions"]),
        minimum=limits.get("ge"),
        exclusive_minimum=limits.get("gt"),
        maximum=limits.get("le"),
        exclusive_maximum=limits.get("lt"),
    )
