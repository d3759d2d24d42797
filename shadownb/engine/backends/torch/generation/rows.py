"""The rows of one generation: how each follows its own tokens and ends, whatever its batch does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from transformers import StoppingCriteria

from shadownb.engine.backends.torch.generation.sampler import TokenLogProbs
from shadownb.engine.inference.text import AnswerText
from shadownb.engine.inference.types import Completion, FinishReason, Use

Emit = Callable[[str], None]
ShouldStop = Callable[[], bool]


class Row:
    """One prompt on its way to a completion, by the weights that ``use`` names."""

    def __init__(
        self,
        number: int,
        prompt: list[int],
        limit: int,
        text: AnswerText,
        use: Use,
        stop_ids: frozenset[int],
        *,
        logprobs: bool = False,
    ) -> None:
        self.use = use
        self.stop_ids = stop_ids
        self.number = number
        self.prompt = prompt
        self.limit = limit
        self.text = text
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


class RowEnds(StoppingCriteria):
    """Tells the loop which rows are done, by stop token, stop string, length or cancelling."""

    def __init__(
        self,
        rows: Sequence[Row],
        emit: Emit | None,
        should_stop: ShouldStop,
        log_probs: TokenLogProbs | None = None,
    ) -> None:
        self._log_probs = log_probs
        self._rows = rows
        self._emit = emit
        self._should_stop = should_stop

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
        cancel = self._should_stop()
        taken = input_ids[:, -1]
        known = [None] * len(self._rows) if self._log_probs is None else self._log_probs.of(taken)
        for row, token_id, log_prob in zip(self._rows, taken.tolist(), known, strict=True):
            if row.reason is None:
                piece = row.push(token_id, log_prob)
                if cancel and row.reason is None:
                    piece += row.cancel()
                if piece and self._emit is not None:
                    self._emit(piece)
        return torch.tensor([row.reason is not None for row in self._rows], device=input_ids.device)


def plan_batches(rows: Sequence[Row], max_tokens: int) -> list[list[Row]]:
    """Group rows of similar length, longest first, so that padded prompts and answers stay within ``max_tokens``.

    Rows with another limit go apart: a row that ended goes on with its batch, and must not run past its last position.
    """
    batches: list[list[Row]] = []
    room = 0
    for row in sorted(rows, key=lambda r: len(r.prompt), reverse=True):
        if room < 1 or row.limit != batches[-1][0].limit:
            batches.append([])
            room = max(1, max_tokens // (len(row.prompt) + row.limit))
        batches[-1].append(row)
        room -= 1
    return batches
