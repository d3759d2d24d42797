"""Which backend has which method, told by the backends themselves, without a model and without importing a framework."""

from __future__ import annotations

from shadownb.engine import registry
from shadownb.engine.methods.spec import MethodSpec
from shadownb.errors import ConfigError, MissingDependencyError


def lacking(spec: MethodSpec, backend: str) -> str | None:
    """Return why a backend does not have a method, on whatever model; None where it has it.

    A backend that says nothing has them all; see :class:`~shadownb.engine.ports.abilities.LacksMethods`.
    """
    try:
        told = getattr(registry.resolve("backend", backend), "lacks", None)
    except (ConfigError, MissingDependencyError) as error:  # of a package that is broken, or not here
        return error.what.rstrip(".")
    found: str | None = None if told is None else told(spec)
    return found


def by_backend(spec: MethodSpec) -> dict[str, str | None]:
    """Return for each backend that trains None where it has a method, else the reason why not."""
    return {name: lacking(spec, name) for name in registry.names("backend") if trains(name)}


def trains(backend: str) -> bool:
    """Return whether a backend trains at all; some only answer."""
    try:
        return bool(getattr(registry.resolve("backend", backend), "trains", True))
    except (ConfigError, MissingDependencyError):  # it is told why
        return True
