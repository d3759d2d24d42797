"""Example: what one term of a loss is made of. Which examples a row gives is the objective's to say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from shadownb.engine.rendering.masks import NOT_TRAINED, Rendered


@dataclass(frozen=True)
class Example:
    """What one term of the loss is made of.

    Attributes
    ----------
    sequences
        The row; of a preference pair the chosen answer. More than one where the template rewrites earlier turns.
    rejected
        The other answer of a preference pair.
    desirable
        The verdict on a single answer.
    columns
        What the row says beside its text, as far as the objective asked for it.
    id
        Names it among all examples of a run, those to evaluate on included.
    asks
        Whether it is a question alone, for the model to answer; nothing of it is trained.
    said
        The question as messages, where it is one.
    prompt
        The question as token ids, where the example is an answer that the model may give anew; else empty.
    tools
        Schemas that the question offers.
    """

    sequences: tuple[Rendered, ...]
    rejected: tuple[Rendered, ...] = ()
    desirable: bool = True
    columns: Mapping[str, Any] = field(default_factory=dict)
    id: str = ""
    asks: bool = False
    said: Sequence[Mapping[str, Any]] = ()
    prompt: Sequence[int] = ()
    tools: Sequence[Mapping[str, Any]] = ()

    @property
    def rows(self) -> tuple[Rendered, ...]:
        """All sequences."""
        return self.sequences + self.rejected

    @property
    def trains(self) -> bool:
        """Whether it is of use: every side has a token that counts in the loss, or it is a question."""
        return self.asks or all(
            any(row.predicted_tokens for row in side) for side in (self.sequences, self.rejected) if side
        )


def windows(row: Rendered, length: int | None) -> list[Rendered]:
    """Return a sequence as windows of at most ``length`` tokens that overlap by one, so that every token is predicted once."""
    if length is None or len(row.input_ids) <= length:
        return [row]
    starts = range(0, len(row.input_ids) - 1, length - 1)
    parts = [(row.input_ids[s : s + length], row.labels[s : s + length]) for s in starts]
    return [
        Rendered(ids, labels if number == 0 else [NOT_TRAINED, *labels[1:]])
        for number, (ids, labels) in enumerate(parts)
    ]
