"""The training methods: a registry of short declarative specs.

Backends read a spec's fields and never its name, so a method that combines known parts is one registration::

    from shadownb import methods
    methods.register(methods.get("lora").replace(name="wide", title="Wide LoRA", default_learning_rate=1e-4))

A name with a colon (``trl:orpo``) is of a guest, which has a training loop of its own; :func:`guests` lists those.
"""

from __future__ import annotations

from shadownb.engine.methods.guests import GuestMethod, guest_spec, guests
from shadownb.engine.methods.spec import MethodSpec
from shadownb.errors import ConfigError, MethodError, MissingDependencyError, did_you_mean

__all__ = ["GuestMethod", "MethodSpec", "available", "get", "guests", "known", "register", "unregister"]

_registry: dict[str, MethodSpec] = {}


def register(spec: MethodSpec, *, replace: bool = False) -> MethodSpec:
    """Make a method available by its name everywhere (API, panel, magic, command line).

    Raises
    ------
    MethodError
        The name is taken and ``replace`` is false.
    """
    _load_builtin()
    if spec.name in _registry and not replace:
        raise MethodError(
            f"A method named {spec.name!r} is registered already.", fix="Choose another name, or pass replace=True."
        )
    _registry[spec.name] = spec
    return spec


def unregister(name: str) -> None:
    """Remove a method that was registered at run time."""
    get(name)
    _registry.pop(name, None)


def get(name: str) -> MethodSpec:
    """Return the spec of a method.

    Raises
    ------
    MethodError
        No method has this name; the message lists those that exist. Or it is one of a guest that cannot be used.
    MissingDependencyError
        It is one of a guest whose package is not installed.
    """
    _load_builtin()
    found = _registry.get(name)
    if found is None and isinstance(name, str) and ":" in name:
        return guest_spec(name)
    if found is None:
        raise MethodError(
            f"method={name!r} is not a training method.{did_you_mean(name, tuple(_registry))}",
            fix=f"Choose one of: {', '.join(_registry)}.",
        )
    return found


def known(name: object) -> bool:
    """Return whether a method has this name, one of a guest that can be used here included."""
    _load_builtin()
    if name in _registry or not (isinstance(name, str) and ":" in name):
        return name in _registry
    try:
        guest_spec(name)
    except (ConfigError, MethodError, MissingDependencyError):
        return False
    return True


def available() -> tuple[MethodSpec, ...]:
    """Return all methods but those of guests, in the order a picker shows them."""
    _load_builtin()
    return tuple(_registry.values())


def _load_builtin() -> None:
    if _registry:
        return
    from shadownb.engine.methods import (
        adapter,
        bitfit,
        cpt,
        dora,
        dpo,
        full,
        kto,
        lora,
        miss,
        prompt,
        ptuning,
        qlora,
        shira,
    )

    for module in (lora, qlora, dora, miss, shira, adapter, full, bitfit, prompt, ptuning, cpt, dpo, kto):
        _registry[module.SPEC.name] = module.SPEC
