"""The training methods: short declarative specs, known by name.

:func:`register` adds a method that combines known parts, for this process. An installed package adds one for every process
with an entry point (:mod:`shadownb.engine.registry`): ``add("method", "wide", "our_package.wide:SPEC")``.

A name with a colon (``trl:orpo``) belongs to a guest: a package with its own training loop. :func:`guests` lists those.

Examples
--------
>>> snb.methods.get("lora").default_learning_rate
0.0005
>>> wide = snb.methods.get("lora").replace(name="wide", title="Wide LoRA", default_learning_rate=1e-4)
>>> snb.methods.register(wide).title
'Wide LoRA'
>>> snb.methods.unregister("wide")
"""

from __future__ import annotations

import warnings

from shadownb.engine import registry
from shadownb.engine.methods.computed_by import by_backend
from shadownb.engine.methods.guests import GuestMethod, guest_spec, guests
from shadownb.engine.methods.spec import MethodSpec
from shadownb.errors import ConfigError, MethodError, MissingDependencyError, ShadowError, ShadowWarning, did_you_mean

__all__ = ["GuestMethod", "MethodSpec", "available", "backends", "get", "guests", "known", "register", "unregister"]

_KIND = "method"
_registered: dict[str, MethodSpec] = {}  # in this process alone; they go before what the registry has of these names


def register(spec: MethodSpec, *, replace: bool = False) -> MethodSpec:
    """Make a method available by its name everywhere in this process (API, panel, magic, command line).

    Raises
    ------
    MethodError
        The name is taken, and ``replace`` is False.

    Examples
    --------
    >>> wide = snb.methods.register(snb.methods.get("lora").replace(name="wide", title="Wide LoRA"))
    >>> snb.methods.known("wide")
    True
    >>> snb.methods.unregister("wide")
    """
    if not replace and known(spec.name):
        raise MethodError(
            f"A method named {spec.name!r} is registered already.", fix="Choose another name, or pass replace=True."
        )
    _registered[spec.name] = spec
    return spec


def unregister(name: str) -> None:
    """Undo :func:`register`; a method that had been replaced is available again.

    Raises
    ------
    MethodError
        No method of this name was registered in this process.

    Examples
    --------
    >>> wide = snb.methods.register(snb.methods.get("lora").replace(name="wide", title="Wide LoRA"))
    >>> snb.methods.unregister("wide")
    >>> snb.methods.known("wide")
    False
    """
    if _registered.pop(name, None) is None:
        get(name)  # says what there is, where there is no such method at all
        raise MethodError(
            f"The method {name!r} was not registered in this process, so it cannot be taken back.",
            fix="methods.register(spec, replace=True) puts another one in its place.",
        )


def get(name: str) -> MethodSpec:
    """Return the spec of a method.

    Raises
    ------
    MethodError
        No method has this name (the message lists those that exist), what a package registered under it is not a method, or it
        is a guest's method that cannot be used here.
    ConfigError, MissingDependencyError
        It belongs to a package that cannot be imported.

    Examples
    --------
    >>> snb.methods.get("lora").title
    'LoRA'
    >>> snb.methods.get("lorra")
    Traceback (most recent call last):
        ...
    shadownb.errors.MethodError: method='lorra' is not a training method. Did you mean 'lora'?
    Next: Choose one of: lora, qlora, ...
    """
    if name in _registered:
        return _registered[name]
    if isinstance(name, str) and ":" in name and not registry.has(_KIND, name):
        return guest_spec(name)
    if not known(name):
        names = _names()
        raise MethodError(
            f"method={name!r} is not a training method.{did_you_mean(name, names)}",
            why=registry.failures(),
            fix=f"Choose one of: {', '.join(names)}.",
        )
    spec = registry.resolve(_KIND, name)
    if not isinstance(spec, MethodSpec) or spec.name != name:
        found = f"the spec of {spec.name!r}" if isinstance(spec, MethodSpec) else f"a {type(spec).__name__}"
        raise MethodError(
            f"The method {name!r} is registered as {registry.target(_KIND, name)!r}, which is {found}.",
            fix=f"Register a MethodSpec whose name is {name!r}.",
        )
    return spec


def known(name: object) -> bool:
    """Return whether there is a method of this name; usable methods of guests count.

    Examples
    --------
    >>> snb.methods.known("lora"), snb.methods.known("trl:orpo"), snb.methods.known("lorra")
    (True, True, False)
    """
    if name in _registered or not isinstance(name, str):
        return name in _registered
    if ":" not in name or registry.has(_KIND, name):
        return registry.has(_KIND, name)
    try:
        guest_spec(name)
    except (ConfigError, MethodError, MissingDependencyError):
        return False
    return True


def available() -> tuple[MethodSpec, ...]:
    """Return all methods except those of guests, in the order in which menus show them.

    A method whose package cannot be imported is named in a warning and left out.

    Examples
    --------
    >>> [spec.name for spec in snb.methods.available()][:4]
    ['lora', 'qlora', 'dora', 'miss']
    """
    found = []
    for name in _names():
        try:
            found.append(get(name))
        except ShadowError as error:
            warnings.warn(f"{error.what} It is left out of the methods.", ShadowWarning, stacklevel=2)
    return tuple(found)


def backends(name: str) -> dict[str, str | None]:
    """Return for each backend None where it has a method, else the reason why not; no model is loaded for it.

    Whether a method fits one model is :meth:`shadownb.Model.blocked`.

    Raises
    ------
    MethodError
        There is no such method.

    Examples
    --------
    >>> snb.methods.backends("dora")
    {'torch': None, 'mlx': None}
    >>> snb.methods.backends("miss")["mlx"]
    "it trains adapters of another kind than LoRA, whose layers are peft's"
    """
    return by_backend(get(name))


def _names() -> tuple[str, ...]:
    return tuple(dict.fromkeys((*registry.names(_KIND), *_registered)))
