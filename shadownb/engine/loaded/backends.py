"""The backends of this process, each made when it is first asked for."""

from __future__ import annotations

import contextlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from shadownb.engine import registry
from shadownb.errors import MissingDependencyError

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


def description_in(folder: Path) -> Path | None:
    """Return the file that says what a folder's trained state is and what base it belongs to; None where there is none."""
    for name in registry.names("backend"):
        with contextlib.suppress(
            MissingDependencyError
        ):  # what needs a package that is not here has written nothing here
            for file in backend(name).description_names():
                if (folder / file).is_file():
                    return folder / file
    return None


@cache
def _made(target: str, name: str) -> Backend:
    made: Backend = registry.resolve("backend", name)()
    return made
