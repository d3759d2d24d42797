"""Where a run is trained. Executors are known by name (kind ``executor`` of the registry) and asked through their port.

What is true of one of them (whether it shares this process's memory, whether it survives it) is asked of the object: no name of
an executor is compared anywhere else.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from shadownb.engine import registry
from shadownb.engine.runs.executors.base import FolderExecutor
from shadownb.errors import ConfigError, MissingDependencyError

if TYPE_CHECKING:
    from shadownb.engine.ports.executor import Executor

__all__ = ["AUTO", "KIND", "FolderExecutor", "chosen", "known_by", "model_of", "name_of"]

KIND = "executor"
AUTO = "auto"

_UNKNOWN = FolderExecutor()
_lock = threading.Lock()
_made: dict[str, Executor] = {}  # by name; what holds the runs of this process


def chosen(asked: str, *, outliving: bool = False) -> Executor:
    """Return the executor of a name; ``auto`` is the first registered, or the first that outlives this process.

    Raises
    ------
    ConfigError, MissingDependencyError
        None has this name, with those there are; or it cannot be imported.
    """
    if asked != AUTO:
        return _named(asked)
    return next(found for name in registry.names(KIND) if (found := _named(name)).outlives or not outliving)


def known_by(name: str) -> Executor:
    """Return the executor that a run's journal names. One that this process cannot have is read from the run's folder."""
    try:
        return _named(name) if name else _UNKNOWN
    except (ConfigError, MissingDependencyError):
        return _UNKNOWN


def name_of(executor: Executor) -> str:
    """Return the name of an executor that :func:`chosen` gave."""
    return next(name for name, made in _made.items() if made is executor)


def model_of(run_id: str) -> Any | None:
    """Return the model of this process that a run trains or waits to, whichever executor has it; None where none has."""
    found = (executor.model_of(run_id) for executor in list(_made.values()))
    return next((model for model in found if model is not None), None)


def _named(name: str) -> Executor:
    kind = registry.resolve(KIND, name)
    with _lock:
        if type(_made.get(name)) is not kind:
            _made[name] = kind()
        return _made[name]
