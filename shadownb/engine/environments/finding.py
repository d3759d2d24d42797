"""What makes environments: a class, a function, or what a name means."""

from __future__ import annotations

from typing import Any

from shadownb.engine import functions, registry
from shadownb.errors import ConfigError

ENVIRONMENT = "environment"


def maker(environment: Any) -> Any:
    """Return what is called for each new environment.

    Parameters
    ----------
    environment
        A class, a function, or a name: of a registered one, of a class of a cell, or ``module:Class``.

    Raises
    ------
    ConfigError
        There is nothing of that name here, or it cannot be called.
    """
    made = environment
    if isinstance(environment, str):
        if ":" not in environment and not registry.has(ENVIRONMENT, environment):
            raise ConfigError(
                f"environment={environment!r} is neither a class of a cell nor registered.",
                fix="Give the class itself, or module:Class; or run the cell that has it.",
            )
        made = (
            functions.load(ENVIRONMENT, environment)
            if ":" in environment
            else registry.resolve(ENVIRONMENT, environment)
        )
    if not callable(made):
        name = functions.shown(environment) if isinstance(environment, str) else environment
        raise ConfigError(
            f"environment={name!r:.80} is an object that cannot be called.",
            fix="Give the class, or a function that returns a new one for each episode.",
        )
    return made
