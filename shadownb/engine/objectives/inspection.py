"""A row as it is trained, token by token: made of the same examples as the trainer's, so that both see the same tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shadownb.engine import objectives
from shadownb.engine.objectives.base import Row
from shadownb.engine.rendering.inspect import Inspection, inspection_of
from shadownb.engine.rendering.masks import LossOn

if TYPE_CHECKING:
    from shadownb.engine.rendering.renderer import Renderer


def inspect_row(
    renderer: Renderer,
    row: Row,
    *,
    objective: str | None = None,
    loss_on: LossOn = "assistant",
    max_length: int | None = None,
    long_rows: str = "cut",
    number: int | None = None,
) -> Inspection:
    """Return the inspection of a canonical row, as :func:`shadownb.engine.objectives.examples` renders it; raises as that does."""
    kind = objectives.get(objective or objectives.natural(row))
    found = kind.examples(renderer, row, loss_on=loss_on, max_length=max_length, long_rows=long_rows)
    captioned = [side for example in found for side in kind.captions(example)]
    if len(found) > 1 and "text" in row:
        captioned = [(f"part {n}", rows) for n, (_, rows) in enumerate(captioned, start=1)]
    return inspection_of(renderer, row, captioned, loss_on=loss_on, number=number)
