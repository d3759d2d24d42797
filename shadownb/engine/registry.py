"""Implementations by name: who needs a backend, an executor, a scorer or a store asks here and imports none of them.

Each kind has names, and each name stands for ``"module:attribute"``, which is imported when somebody asks for it. So a module
of a lower floor reaches one above it, and nothing loads that is not used. ``shadownb/__init__`` fills in what the package
itself brings, in every process, workers too.

A package outside adds to it by an entry point of the group ``shadownb.plugins``: a function that is called once, before names
are listed or one is looked for that is not known, and gets a function to register with::

    # pyproject.toml of that package
    [project.entry-points."shadownb.plugins"]
    ours = "our_package.plugin:register"

    # our_package/plugin.py
    def register(add):
        add("scorer", "rouge", "our_package.rouge:Rouge")

In a program or a notebook :func:`register` does the same for this process alone.

Examples
--------
>>> snb.registry.names("scorer")[:2]
('exact', 'json_exact')
>>> snb.registry.resolve("scorer", "exact") is snb.Exact
True
"""

from __future__ import annotations

import importlib
import re
import threading
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from shadownb.errors import ConfigError, MissingDependencyError, ShadowWarning, did_you_mean

PLUGINS = "shadownb.plugins"

_TARGET = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")

_lock = threading.Lock()  # of the tables, never held while something is imported
_calling = threading.RLock()  # a plugin may ask for names while it is called
_ours: dict[str, dict[str, str]] = {}
_added: dict[str, dict[str, str]] = {}
_failed: dict[str, str] = {}  # plugins that added nothing, and why
_plugins_called = False


def fill(implementations: Mapping[str, Mapping[str, str]]) -> None:
    """Say which kinds there are and what the package itself has of each; for ``shadownb/__init__``."""
    with _lock:
        for kind, targets in implementations.items():
            _ours[kind] = dict(targets)


def register(kind: str, name: str, target: str, *, replace: bool = False) -> None:
    """Make an implementation available by a name, in this process.

    Parameters
    ----------
    kind
        One of :func:`kinds`, for example ``scorer``.
    target
        ``"module:attribute"``. It is imported when the name is first used; a mistake in it is reported then.
    replace
        Whether to replace an implementation of this name.

    Raises
    ------
    ConfigError
        There is no such kind, the name is taken, or ``target`` does not have this form.

    Examples
    --------
    >>> snb.registry.register("scorer", "shortness", "my_scorers:Shortness")
    >>> snb.registry.target("scorer", "shortness")
    'my_scorers:Shortness'
    >>> snb.registry.unregister("scorer", "shortness")
    """
    _check(kind, name, target)
    known = _known(kind)
    if not replace and name in known:
        raise ConfigError(
            f"A {_words(kind)} named {name!r} is registered already: {known[name]}.",
            fix="Choose another name, or pass replace=True.",
        )
    with _lock:
        _added.setdefault(kind, {})[name] = target


def unregister(kind: str, name: str) -> None:
    """Undo a registration by :func:`register` or a plugin; what it had replaced is available again.

    Raises
    ------
    ConfigError
        Nothing was added under this name.

    Examples
    --------
    >>> snb.registry.register("scorer", "shortness", "my_scorers:Shortness")
    >>> snb.registry.unregister("scorer", "shortness")
    >>> snb.registry.has("scorer", "shortness")
    False
    """
    with _lock:
        if _added.get(kind, {}).pop(name, None) is None:
            raise ConfigError(f"No {_words(kind)} named {name!r} was added, so none can be taken back.")


def kinds() -> tuple[str, ...]:
    """Return the kinds of implementations: ``method``, ``scorer``, ``executor``, ...

    Examples
    --------
    >>> "scorer" in snb.registry.kinds()
    True
    """
    return tuple(_ours)


def names(kind: str) -> tuple[str, ...]:
    """Return the names of a kind: ShadowNB's own first, then those that were added.

    Raises
    ------
    ConfigError
        No such kind.

    Examples
    --------
    >>> "lora" in snb.registry.names("method"), "exact" in snb.registry.names("scorer")
    (True, True)
    """
    _check_kind(kind)
    _call_plugins()
    return tuple(_known(kind))


def has(kind: str, name: str) -> bool:
    """Return whether there is an implementation of this kind and name.

    Raises
    ------
    ConfigError
        No such kind.

    Examples
    --------
    >>> snb.registry.has("executor", "thread"), snb.registry.has("executor", "cluster")
    (True, False)
    """
    _check_kind(kind)
    return name in _known(kind) or name in names(kind)


def target(kind: str, name: str) -> str:
    """Return the ``"module:attribute"`` of a name, without importing it.

    Raises
    ------
    ConfigError
        There is no such kind or name; the message lists those that exist.

    Examples
    --------
    >>> snb.registry.target("scorer", "exact")
    'shadownb.engine.scoring:Exact'
    >>> snb.registry.target("scorer", "exakt")
    Traceback (most recent call last):
        ...
    shadownb.errors.ConfigError: No scorer is named 'exakt'. Did you mean 'exact'?
    Next: Choose one of: exact, ...
    """
    _check_kind(kind)
    if name not in _known(kind):
        _call_plugins()  # only now: to read the metadata of all that is installed takes a while
    known = _known(kind)
    if name not in known:
        raise ConfigError(
            f"No {_words(kind)} is named {name!r}.{did_you_mean(name, tuple(known))}",
            why=failures(),
            fix=f"Choose one of: {', '.join(known)}." if known else "None is installed: a plugin has to bring it.",
        )
    return known[name]


def resolve(kind: str, name: str) -> Any:
    """Import and return the implementation of a name.

    Raises
    ------
    ConfigError
        There is no such kind or name, or the implementation cannot be imported.
    MissingDependencyError
        A module that it needs is not installed.

    Examples
    --------
    >>> snb.registry.resolve("scorer", "exact") is snb.Exact
    True
    """
    wanted = target(kind, name)
    module, _, path = wanted.partition(":")
    try:
        found: Any = importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"The {_words(kind)} {name!r} cannot be used: {error}.",
            why=f"It is {wanted}.",
            fix=f"Install the package that has {error.name}.",
        ) from error
    except Exception as error:
        raise ConfigError(
            f"The {_words(kind)} {name!r} cannot be used: {_told(error)}.",
            why=f"Importing {module} failed.",
            fix="Correct that module, or unregister the name.",
        ) from error
    for part in path.split("."):
        try:
            found = getattr(found, part)
        except AttributeError as error:
            raise ConfigError(
                f"The {_words(kind)} {name!r} is registered as {wanted!r}, which does not exist.",
                why=f"{error}.",
                fix="Correct the name behind the colon where it is registered.",
            ) from None
    return found


def failures() -> str:
    """Return which plugins failed and why; an empty string if none has failed, or none was needed yet.

    Examples
    --------
    >>> snb.registry.failures()
    ''
    """
    return " ".join(f"The plugin {plugin} could not be used: {why}." for plugin, why in _failed.items())


def _known(kind: str) -> dict[str, str]:
    with _lock:
        return _ours[kind] | _added.get(kind, {})


def _words(kind: str) -> str:
    return kind.replace("_", " ")


def _check_kind(kind: str) -> None:
    if kind not in _ours:
        raise ConfigError(
            f"There is no kind of implementation {kind!r}.{did_you_mean(kind, tuple(_ours))}",
            fix=f"Kinds: {', '.join(_ours)}.",
        )


def _check(kind: str, name: str, target: str) -> None:
    _check_kind(kind)
    if not isinstance(name, str) or not name.strip():
        raise ConfigError(f"name={name!r} is no name.", fix="Give a text, for example 'rouge'.")
    if not isinstance(target, str) or not _TARGET.fullmatch(target):
        raise ConfigError(
            f"target={target!r} is not of the form 'module:attribute'.",
            why="Names are looked up in worker processes, too, which import what they stand for.",
            fix=f"Put the {_words(kind)} into a module and name it, for example 'our_package.rouge:Rouge'.",
        )


def _call_plugins() -> None:
    """Have every installed plugin register, once a process; one that fails adds nothing and is named in a warning."""
    global _plugins_called
    with _calling:
        if _plugins_called:
            return
        _plugins_called = True
        from importlib.metadata import entry_points

        for plugin in sorted(entry_points(group=PLUGINS), key=lambda entry: entry.name):
            collected: list[tuple[str, str, str]] = []
            try:
                plugin.load()(_collector(collected))
            except Exception as error:
                _failed[f"{plugin.name} ({plugin.value})"] = _told(error)
                continue
            with _lock:
                for kind, name, where in collected:
                    _added.setdefault(kind, {}).setdefault(name, where)
    if _failed:
        warnings.warn(failures(), ShadowWarning, stacklevel=4)


def _told(error: Exception) -> str:
    first = str(error).splitlines()[0] if str(error) else ""
    return f"{type(error).__name__}: {first}".rstrip(": .")


def _collector(collected: list[tuple[str, str, str]]) -> Callable[[str, str, str], None]:
    """Return what a plugin registers with: it keeps what is right, and refuses names that the package itself has."""

    def add(kind: str, name: str, target: str) -> None:
        _check(kind, name, target)
        taken = {**_known(kind), **{at: where for of, at, where in collected if of == kind}}
        if taken.get(name, target) != target:
            raise ConfigError(f"A {_words(kind)} named {name!r} is registered already: {taken[name]}.")
        collected.append((kind, name, target))

    return add
