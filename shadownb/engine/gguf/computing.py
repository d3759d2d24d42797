"""What computes GGUF files here, where something does."""

from __future__ import annotations

import contextlib

from shadownb.engine import registry
from shadownb.engine.loaded.backends import backend
from shadownb.engine.ports.model_files import ComputesGguf
from shadownb.errors import ConfigError, MissingDependencyError


def computing() -> ComputesGguf | None:
    """Return the backend that computes GGUF files; None where there is none, or its library is not installed."""
    for name in registry.names("backend"):
        with contextlib.suppress(ConfigError, MissingDependencyError):  # of a package that is broken, or not here
            found = backend(name)
            if isinstance(found, ComputesGguf) and not found.missing():
                return found
    return None
