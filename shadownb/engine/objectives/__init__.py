"""The objectives: what a method's spec names, each one class in one file, known by the registry."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from shadownb.engine import registry
from shadownb.engine.objectives.base import Chart, Objective, Remark, Row
from shadownb.engine.rendering.examples import Example
from shadownb.engine.rendering.masks import LossOn
from shadownb.errors import ConfigError, MissingDependencyError

if TYPE_CHECKING:
    from shadownb.engine.rendering.renderer import Renderer

__all__ = ["Chart", "Example", "Objective", "Remark", "available", "examples", "get", "natural"]


def get(name: str) -> type[Objective]:
    """Return the objective of a name.

    Raises
    ------
    ConfigError
        There is none of that name.
    """
    found: type[Objective] = registry.resolve("objective", name)
    return found


def available() -> tuple[type[Objective], ...]:
    """Return all objectives that can be imported."""
    return tuple(kind for _, kind in _usable())


def natural(row: Row) -> str:
    """Return the name of the objective that a canonical row's own shape suggests; next-token loss where none does."""
    return next((name for name, kind in _usable() if kind.suits(row)), "sft")


def _usable() -> Iterator[tuple[str, type[Objective]]]:
    """Yield what can be imported; of the rest :func:`get` says what is wrong, when a method names it.

    A plugin that is broken must not hide the curves of other runs, nor keep anybody from looking at rows.
    """
    for name in registry.names("objective"):
        with contextlib.suppress(ConfigError, MissingDependencyError):
            yield name, get(name)


def examples(
    renderer: Renderer,
    row: Row,
    *,
    objective: str | None = None,
    loss_on: LossOn = "assistant",
    max_length: int | None = None,
    long_rows: str = "cut",
) -> list[Example]:
    """Return the examples that a canonical row gives for an objective: for trainer and token inspector the same.

    Parameters
    ----------
    objective
        Its name; None takes the one that :func:`natural` finds.
    max_length
        Most tokens of a sequence; None keeps all.
    long_rows
        What happens to a plain text beyond that: ``cut`` at the end, or ``split`` into sequences that lose no token.

    Raises
    ------
    DataError
        The template refuses the row, or a tool would not reach the model.
    """
    kind = get(objective or natural(row))
    found = kind.examples(renderer, row, loss_on=loss_on, max_length=max_length, long_rows=long_rows)
    columns = row.get("columns")
    return found if columns is None else [replace(example, columns={**columns, **example.columns}) for example in found]
