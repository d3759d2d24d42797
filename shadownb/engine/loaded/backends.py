"""The backends of this process, each made when it is first asked for."""

from __future__ import annotations

import contextlib
import warnings
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from shadownb.engine import registry
from shadownb.errors import ConfigError, MissingDependencyError, ShadowWarning, did_you_mean

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


def chosen(asked: str, trained_with: str | None = None) -> tuple[str, str]:
    """Return (name, reason) of the backend that ``backend=`` means; ``auto`` is what this machine computes best with.

    ``trained_with`` is that of the run whose result is loaded: it answers as it was trained, where its backend is here.

    Raises
    ------
    ConfigError
        There is none of that name; the message lists those that there are.
    """
    names = registry.names("backend")
    if asked != "auto":
        if asked not in names:
            there = ("auto", *names)
            raise ConfigError(
                f"backend={asked!r} is not available.{did_you_mean(asked, there)}",
                fix=f"Use one of {', '.join(there)}.",
            )
        return asked, "asked for"
    if trained_with in names:
        with contextlib.suppress(MissingDependencyError):
            backend(trained_with).warm_up()
            return trained_with, "the run was trained with it"
    for name in names:
        try:
            why = backend(name).preferred()
        except (ConfigError, MissingDependencyError):  # of a package that is broken, or not here
            continue
        if why:
            return name, why
    return DEFAULT, "it runs everywhere"


def read_as_they_are(asked: str) -> tuple[str, ...]:
    """Return the ends of the names of single files that ``backend=`` computes as they are, with no folder made of them."""
    return getattr(backend(asked), "files", ()) if asked in registry.names("backend") else ()


def packages() -> tuple[str, ...]:
    """Return the packages whose versions decide what comes out of any backend that can be imported."""
    found: list[str] = []
    for name in registry.names("backend"):
        with contextlib.suppress(ConfigError, MissingDependencyError):
            found += backend(name).packages
    return tuple(dict.fromkeys(found))


def description_in(folder: Path) -> Path | None:
    """Return the file that says what a folder's trained state is and what base it belongs to; None where there is none."""
    broken = []
    for name in registry.names("backend"):
        try:
            files = backend(name).description_names()
        except MissingDependencyError:
            continue  # what needs a package that is not here has written nothing here
        except ConfigError as error:
            broken.append(str(error))
            continue
        for file in files:
            if (folder / file).is_file():
                return folder / file
    for told in broken:  # where another one knows the folder, nobody misses it
        warnings.warn(
            f"Whether {folder} holds something trained by it cannot be said: {told}", ShadowWarning, stacklevel=2
        )
    return None


@cache
def _made(target: str, name: str) -> Backend:
    made: Backend = registry.resolve("backend", name)()
    return made
