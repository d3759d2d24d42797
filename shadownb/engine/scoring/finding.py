"""Scorers by name: one of the registry, one that is made of something (``"reward_model@RUN"``), or ``"module:attribute"``."""

from __future__ import annotations

import importlib
from typing import Any

from shadownb.engine import registry
from shadownb.errors import ConfigError


def find(name: str) -> Any:
    """Return the scorer of a name, a class made without arguments.

    Raises
    ------
    ConfigError
        None goes by this name, or it is a class that needs arguments.
    """
    kind, at, source = name.partition("@")
    if at and registry.has("scorer_of", kind):
        return registry.resolve("scorer_of", kind).named(source)
    module, colon, attribute = name.partition(":")
    found = _imported(name, module, attribute) if colon else registry.resolve("scorer", name)
    if not isinstance(found, type):
        return found
    try:
        return found()
    except TypeError as error:
        raise ConfigError(
            f"scorer={name!r} is a class that cannot be made without arguments: {error}.",
            fix=f"Make it yourself: scorer={found.__name__}(...).",
        ) from None


def _imported(name: str, module: str, attribute: str) -> Any:
    try:
        found: Any = importlib.import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    except Exception as error:  # whatever that file does when it is imported
        raise ConfigError(
            f"scorer={name!r} cannot be imported: {type(error).__name__}: {error}.",
            fix="It is module:function of a file that Python finds, beside the notebook or on PYTHONPATH.",
        ) from error
    return found


def make(name: str, **options: Any) -> Any:
    """Return a registered scorer made with options: ``make("code", packages=True)``.

    Raises
    ------
    ConfigError
        None goes by this name, or it does not take these options.

    Examples
    --------
    >>> snb.scoring.make("numeric", tolerance=0.01)("101", "100").value
    1.0
    """
    found = registry.resolve("scorer", name)
    try:
        return found(**options)
    except TypeError as error:
        raise ConfigError(f"scorer={name!r} cannot be made so: {error}.", fix=f"See help({found.__name__}).") from None
