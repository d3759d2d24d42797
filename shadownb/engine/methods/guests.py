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
    """A trainer of a guest, as it is listed.

    Attributes
    ----------
    name
        What ``train(method=...)`` takes.
    data_shape
        The rows that it wants, and options without which it does not begin.
    unusable
        Why it cannot be used here; empty where it can.

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
    """Return the trainers of all guests that are installed, with the data each wants.

    Raises
    ------
    MethodError
        A guest is installed in a version that is not known here.
    MissingDependencyError
        The package of a guest is not installed.

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
