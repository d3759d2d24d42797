"""Rows to training examples: one function for the trainer and for the token inspector, so that both see the same tokens.

What an example is depends on the objective: one sequence (``sft``), an answer that is wanted and one that is not
(``dpo``), or an answer with a verdict (``kto``). Prompts are rendered through the chat template exactly as at inference.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shadownb.engine.rendering.masks import NOT_TRAINED, LossOn, Rendered

if TYPE_CHECKING:
    from shadownb.engine.rendering.renderer import Renderer

Row = dict[str, Any]


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
    """

    sequences: tuple[Rendered, ...]
    rejected: tuple[Rendered, ...] = ()
    desirable: bool = True

    @property
    def rows(self) -> tuple[Rendered, ...]:
        """All sequences."""
        return self.sequences + self.rejected

    @property
    def trains(self) -> bool:
        """Whether every side has a token that counts in the loss."""
        return all(any(row.predicted_tokens for row in side) for side in (self.sequences, self.rejected) if side)


def natural_objective(row: Row) -> str:
    """Return the objective that a canonical row's own shape suggests."""
    return "dpo" if "chosen" in row else "kto" if "label" in row else "sft"


def examples(
    renderer: Renderer,
    row: Row,
    *,
    objective: str | None = None,
    loss_on: LossOn = "assistant",
    max_length: int | None = None,
    long_rows: str = "cut",
) -> list[Example]:
    """Return the examples that a canonical row gives for an objective.

    Parameters
    ----------
    objective
        ``sft``, ``dpo`` or ``kto``; None takes :func:`natural_objective`.
    max_length
        Most tokens of a sequence; None keeps all.
    long_rows
        What happens to a plain text beyond that: ``cut`` at the end, or ``split`` into sequences that lose no token.

    Raises
    ------
    DataError
        The template refuses the row, or a tool would not reach the model.
    """
    return _OBJECTIVES[objective or natural_objective(row)](renderer, row, loss_on, max_length, long_rows)


def _supervised(renderer: Renderer, row: Row, loss_on: LossOn, max_length: int | None, long_rows: str) -> list[Example]:
    if long_rows == "split" and "text" in row:
        whole = renderer.render(row, loss_on="all")
        return [Example((window,)) for window in windows(whole, max_length)]
    sequences = renderer.render_all(row, loss_on=loss_on, max_length=max_length)
    return [Example((sequence,)) for sequence in sequences]


def _preference(renderer: Renderer, row: Row, loss_on: LossOn, max_length: int | None, _: str) -> list[Example]:
    chosen, rejected = (_answer(renderer, row, row[side], max_length) for side in ("chosen", "rejected"))
    return [Example(chosen, rejected)]


def _unpaired(renderer: Renderer, row: Row, loss_on: LossOn, max_length: int | None, _: str) -> list[Example]:
    if "chosen" in row:
        return [
            Example(_answer(renderer, row, row[side], max_length), desirable=side == "chosen")
            for side in ("chosen", "rejected")
        ]
    return [Example(_answer(renderer, row, row["completion"], max_length), desirable=row["label"])]


def _answer(renderer: Renderer, row: Row, answer: list[Row], max_length: int | None) -> tuple[Rendered, ...]:
    extra = {"tools": row["tools"]} if "tools" in row else {}
    conversation = {"messages": row["prompt"] + answer, "train_from": len(row["prompt"]), **extra}
    return renderer.render_all(conversation, max_length=max_length)


_OBJECTIVES: dict[str, Callable[[Any, Row, LossOn, int | None, str], list[Example]]] = {
    "sft": _supervised,
    "dpo": _preference,
    "kto": _unpaired,
}


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
