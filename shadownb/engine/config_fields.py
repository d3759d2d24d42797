"""The options of a training as forms, magics, flags and documentation need them, read from the fields of ``Options``."""

from __future__ import annotations

import types
import typing
from dataclasses import dataclass
from typing import Any, Literal

from shadownb.engine import registry
from shadownb.engine.config_options import Options


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
    registered: str | None = None  # else the kind in the registry whose names are chosen from
    minimum: float | None = None
    exclusive_minimum: float | None = None
    maximum: float | None = None
    exclusive_maximum: float | None = None

    @property
    def choices(self) -> tuple[str, ...]:
        """What can be chosen, as it is registered now; empty where that is open."""
        return self.listed if self.registered is None else ("auto", *registry.names(self.registered))


def config_fields() -> tuple[ConfigField, ...]:
    """Return the options in declaration order."""
    hints = typing.get_type_hints(Options)
    found = []
    for name, info in Options.model_fields.items():
        extra = typing.cast("dict[str, Any]", info.json_schema_extra)
        kind, optional, listed = _kind_of(hints[name])
        limits = {
            type(rule).__name__.lower(): getattr(rule, type(rule).__name__.lower())
            for rule in info.metadata
            if type(rule).__name__ in {"Gt", "Ge", "Lt", "Le"}
        }
        found.append(
            ConfigField(
                name=name,
                kind="choice" if extra["registered"] else kind,
                default=info.default,
                help=info.description or "",
                group=extra["group"],
                advanced=extra["advanced"],
                unit=extra["unit"],
                optional=optional,
                listed=listed,
                registered=extra["registered"],
                minimum=limits.get("ge"),
                exclusive_minimum=limits.get("gt"),
                maximum=limits.get("le"),
                exclusive_maximum=limits.get("lt"),
            )
        )
    return tuple(found)


def _kind_of(hint: Any) -> tuple[Any, bool, tuple[str, ...]]:
    """Return (kind, may be empty, choices) of a field's type."""
    optional = False
    if isinstance(hint, types.UnionType):
        arms = [arm for arm in hint.__args__ if arm is not type(None)]
        optional = len(arms) < len(hint.__args__)
        if len(arms) > 1:
            return ("float" if float in arms else "str"), optional, ()
        hint = arms[0]
    if typing.get_origin(hint) is Literal:
        return "choice", optional, tuple(typing.get_args(hint))
    if typing.get_origin(hint) is tuple:
        return "list", optional, ()
    return hint.__name__, optional, ()
