"""The backends of this process, each made when it is first asked for."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from shadownb.engine import registry

if TYPE_CHECKING:
    from shadownb.engine.ports.backend import Backend

DEFAULT = "torch"


def backend(name: str = DEFAULT) -> Backend:
    """Return the backend of a name.

    Raises
    ------
    ConfigError
        There is none of that name; the message lists those that there are.
    """
    return _made(registry.target("backend", name), name)


def description_in(folder: Path, name: str = DEFAULT) -> Path | None:
    """Return the file that says what a folder's trained state is and what base it belongs to; None where there is none."""
    return next((folder / file for file in backend(name).description_names() if (folder / file).is_file()), None)


@cache
def _made(target: str, name: str) -> Backend:
    made: Backend = registry.resolve("backend", name)()
    return made
