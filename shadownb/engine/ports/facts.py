"""What a backend's memory of facts offers to whoever edits it: the trained state of methods ``more_plus`` and ``more``.

``tests/engine/test_facts.py`` holds what it owes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from shadownb.engine.routing import Route, Unit

METHODS = {"facts": "more_plus", "reader": "more"}
"""The method that adds facts to what a model carries, by the kind of that."""


class FactMemory(Protocol):
    """Facts that are found by their questions. Whoever changes it holds the weights; no weight of the base is ever changed.

    Attributes
    ----------
    log
        What was done to it, oldest first; saved with it.
    """

    log: list[dict[str, Any]]

    @property
    def units(self) -> Sequence[Unit]:
        """What is known, in the order in which it was learned."""

    def route(self, question: str) -> Route:
        """Return which unit answers a question, and why."""

    def sources(self, question: str) -> list[str]:
        """Return where the facts are from that answer a question; empty where none does, or that was not said."""

    def forget(self, question: str) -> None:
        """Take the fact with a question away; all others stay as they are, bit for bit."""

    def cite(self, sources: dict[str, str]) -> None:
        """Say where facts are from, by their questions."""

    def nothing(self) -> Any:
        """Return what :meth:`kept_state` returns of a memory without facts."""

    def kept_state(self) -> Any:
        """Return what is stored, for :meth:`put_back`."""

    def holds(self, kept: Any) -> bool:
        """Return whether exactly that is stored."""

    def put_back(self, kept: Any) -> None:
        """Store exactly what was stored then."""
