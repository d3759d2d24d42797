"""Guests: packages with a training loop of their own, whose trainers are methods here (``trl:orpo``).

A guest is registered by name (``registry.register("guest", "trl", "module:attribute")``), so another package can bring one.
What it owes is said in :mod:`shadownb.engine.ports.guest`; nothing of it is imported before one of its methods is named.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from shadownb.engine import registry
from shadownb.engine.methods.spec import MethodSpec


@dataclass(frozen=True)
class GuestMethod:
    """A guest's trainer, as :func:`guests` lists it.

    Attributes
    ----------
    name
        The name for ``train(method=...)``.
    data_shape
        The rows that it needs, and options that have to be given.
    unusable
        Why it cannot be used here; empty if it can.

    Examples
    --------
    >>> orpo = next(method for method in snb.methods.guests() if method.name == "trl:orpo")
    >>> orpo.title, orpo.data_shape
    ('ORPOTrainer (trl.experimental)', 'preference pairs (prompt, chosen, rejected)')
    """

    name: str
    title: str
    data_shape: str
    unusable: str = ""


def guests() -> tuple[GuestMethod, ...]:
    """Return the trainers of all installed guests, with the rows that each needs.

    Raises
    ------
    MethodError
        A guest is installed in a version that has not been tested.
    MissingDependencyError
        A guest's package is not installed.

    Examples
    --------
    >>> {method.name: method.unusable for method in snb.methods.guests()}["trl:reward"]
    'it trains a head that gives one number instead of words, and a model here is to answer'
    """
    return tuple(method for name in registry.names("guest") for method in guest(name).methods())


@cache
def _made(target: Any) -> Any:
    return target()


def guest(name: str) -> Any:
    """Return a guest, made once in a process.

    Raises
    ------
    ConfigError, MissingDependencyError
        There is none of that name, or it cannot be imported.
    """
    return _made(registry.resolve("guest", name))


def guest_spec(name: str) -> MethodSpec:
    """Return the spec of a guest's method by its whole name, ``guest:trainer``.

    Raises
    ------
    ConfigError, MethodError, MissingDependencyError
        There is no such guest or trainer, or it cannot be used.
    """
    house, _, trainer = name.partition(":")
    spec: MethodSpec = guest(house).spec(trainer)
    return spec
