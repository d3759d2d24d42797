"""What is trained: the labels of a sequence, decided by position and never by token id."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from shadownb.errors import DataError

if TYPE_CHECKING:
    from shadownb.engine.rendering.drops import Drop

LossOn = Literal["assistant", "last", "all"]
NOT_TRAINED = -100


@dataclass(frozen=True)
class Rendered:
    """The tokens of one training sequence.

    Attributes
    ----------
    input_ids
        Token ids, at most ``max_length``.
    labels
        As long as ``input_ids``, not shifted: the id where it is trained, -100 elsewhere.
    truncated_tokens
        How many tokens were cut off at the end.
    skipped_turns
        Turns that were asked for but cannot be trained in this sequence; see :meth:`Renderer.render_all`.
    untrainable_turns
        Turns of the row that no sequence can train; told by the first of a row's sequences, 0 in the others.
    left_out
        What the template leaves out of the row although it was rendered; told by the first sequence as well.
    """

    input_ids: list[int]
    labels: list[int]
    truncated_tokens: int = 0
    skipped_turns: int = 0
    untrainable_turns: int = 0
    left_out: tuple[Drop, ...] = ()

    @property
    def trained_tokens(self) -> int:
        """How many tokens are trained; 0 means the sequence teaches nothing and should be skipped and counted."""
        return sum(label != NOT_TRAINED for label in self.labels)

    @property
    def predicted_tokens(self) -> int:
        """How many of the trained tokens count in the loss: the first token of a sequence has nothing that predicts it."""
        return sum(label != NOT_TRAINED for label in self.labels[1:])

    @property
    def first_trained(self) -> int:
        """The position of the first trained token; the length where there is none."""
        return next((at for at, label in enumerate(self.labels) if label != NOT_TRAINED), len(self.labels))


def wanted_turns(messages: list[dict[str, Any]], loss_on: LossOn, train_from: int) -> set[int]:
    """Return the indices of the assistant turns to train."""
    if loss_on not in ("assistant", "last", "all"):
        raise DataError(f"loss_on={loss_on!r} is unknown.", fix="Use assistant, last, or all.")
    turns = [
        index
        for index, message in enumerate(messages)
        if message["role"] == "assistant" and index >= train_from and message.get("weight", 1)
    ]
    return set(turns[-1:] if loss_on == "last" else turns)


def labelled(pieces: list[tuple[list[int], bool]], max_length: int | None, *, skipped_turns: int = 0) -> Rendered:
    """Return pieces of (ids, trained) as one sequence, cut at its end to ``max_length`` tokens."""
    input_ids = [token for ids, _ in pieces for token in ids]
    labels = [token if trained else NOT_TRAINED for ids, trained in pieces for token in ids]
    cut = max(0, len(input_ids) - max_length) if max_length is not None else 0
    kept = len(input_ids) - cut
    return Rendered(input_ids[:kept], labels[:kept], cut, skipped_turns)
