"""The rows of one generation: how each follows its own tokens and ends, whatever others do."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from shadownb.engine.inference.text import AnswerText
from shadownb.engine.inference.types import Completion, FinishReason, Use

if TYPE_CHECKING:
    import numpy as np

Emit = Callable[[str], None]
ShouldStop = Callable[[], bool]


class Row:
    """One prompt on its way to a completion, by the weights that ``use`` names.

    Attributes
    ----------
    number
        Of its prompt, in messages.
    draws
        Its luck; see :func:`shadownb.engine.inference.draws.row_draws`.
    limit
        Most tokens of its completion.
    """

    def __init__(
        self,
        number: int,
        prompt: list[int],
        limit: int,
        text: AnswerText,
        use: Use,
        stop_ids: frozenset[int],
        draws: np.random.Generator,
        *,
        logprobs: bool = False,
    ) -> None:
        self.use = use
        self.stop_ids = stop_ids
        self.number = number
        self.prompt = prompt
        self.limit = limit
        self.text = text
        self.draws = draws
        self.ids: list[int] = []
        self.logprobs: list[float] | None = [] if logprobs else None
        self.reason: FinishReason | None = None

    def push(self, token_id: int, log_prob: float | None = None) -> str:
        self.ids.append(token_id)
        if self.logprobs is not None and log_prob is not None:
            self.logprobs.append(log_prob)
        stop_token = token_id in self.stop_ids
        piece = "" if stop_token else self.text.push(token_id)
        if stop_token or self.text.stopped or len(self.ids) >= self.limit:
            piece += self.text.finish()
            self.reason = "stop" if stop_token or self.text.stopped else "length"
        return piece

    def cancel(self) -> str:
        self.reason = "cancelled"
        return self.text.finish()

    def completion(self) -> Completion:
        assert self.reason is not None
        text = self.text
        return Completion(
            text.text, self.ids, self.reason, len(self.prompt), len(self.ids), text.stop_string, self.logprobs
        )


def push_all(
    rows: list[Row], tokens: list[int], known: list[float | None], emit: Emit | None, should_stop: ShouldStop
) -> bool:
    """Give each unfinished row its token; returns whether the caller was told to stop, which ends them all."""
    cancel = should_stop()
    for row, token_id, log_prob in zip(rows, tokens, known, strict=True):
        if row.reason is None:
            piece = row.push(token_id, log_prob)
            if cancel and row.reason is None:
                piece += row.cancel()
            if piece and emit is not None:
                emit(piece)
    return cancel
