"""Functions by name, ``module:attribute``: what a record can keep of one, and how another process finds it again."""

from __future__ import annotations

import importlib
from typing import Any

from shadownb.errors import ConfigError

_FIX = "Give a function of a module that can be imported; in a notebook, %%writefile makes one of a cell."


def importable_name(option: str, value: Any) -> str:
    """Return ``module:attribute`` of a function.

    Raises
    ------
    ConfigError
        Importing that name would not give the function: it is a lambda, or was written in a cell.
    """
    name = f"{getattr(value, '__module__', '')}:{getattr(value, '__qualname__', type(value).__qualname__)}"
    if name.startswith("__main__:") or "<" in name or load_by_name(option, name) is not value:
        raise ConfigError(
            f"{option}={name!r} cannot be imported, and a resume in another process could not find it.", fix=_FIX
        )
    return name


def load_by_name(option: str, name: str) -> Any:
    """Return what ``module:attribute`` names.

    Raises
    ------
    ConfigError
        There is no such module or attribute.
    """
    module, _, attribute = name.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"{option}={name!r} cannot be imported: {error}.", fix=_FIX) from None
    return found
