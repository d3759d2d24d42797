"""The plain way: transformers' own ``generate``, for architectures and devices that our decoder does not know."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch
from transformers import LogitsProcessor, LogitsProcessorList, StoppingCriteria, StoppingCriteriaList

from shadownb.engine.backends.torch.generation.borrowing import Routed, View
from shadownb.engine.backends.torch.generation.sampler import ExactConfig, Sampler
from shadownb.engine.inference.rows import Emit, Row, ShouldStop, push_all
from shadownb.engine.inference.types import Sampling


class _Taken(LogitsProcessor):
    """Takes the tokens by our sampler and leaves the library's argmax no choice."""

    def __init__(self, rows: Sequence[Row], sampling: Sampling) -> None:
        self._rows, self._sampler = rows, Sampler(sampling)
        self.tokens: list[int] = []
        self.known: list[float | None] = []

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Return ``scores`` (rows, vocabulary) with one finite number a row."""
        self.tokens, self.known = self._sampler.take(self._rows, scores)
        chosen = torch.full_like(scores, float("-inf"))
        return chosen.scatter_(1, torch.tensor(self.tokens, device=scores.device)[:, None], 0.0)


class _RowEnds(StoppingCriteria):
    """Tells the loop which rows are done, by stop token, stop string, length or cancelling."""

    def __init__(self, rows: Sequence[Row], taken: _Taken, emit: Emit | None, should_stop: ShouldStop) -> None:
        self._rows, self._taken = list(rows), taken
        self._emit, self._should_stop = emit, should_stop

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
        push_all(self._rows, self._taken.tokens, self._taken.known, self._emit, self._should_stop)
        return torch.tensor([row.reason is not None for row in self._rows], device=input_ids.device)


class LibraryBatches:
    """Rows of one side of the weights on their way, a padded batch at a time; whoever calls holds the weights."""

    def __init__(
        self,
        view: View,
        rows: Sequence[Row],
        sampling: Sampling,
        max_tokens: int,
        emit: Emit | None,
        should_stop: ShouldStop,
        routed: Routed | None = None,
    ) -> None:
        self._routed = routed
        self.view, self._sampling, self._emit, self._should_stop = view, sampling, emit, should_stop
        self._batches = plan_batches(rows, max_tokens)

    @property
    def done(self) -> bool:
        """Whether every row is finished."""
        return not self._batches

    def advance(self) -> list[Row]:
        """Complete the next batch, unless told to stop; returns its rows."""
        if self._should_stop():
            self._batches = []
            return []
        rows = self._batches.pop(0)
        with self._routed([row.prompt for row in rows]) if self._routed is not None else nullcontext():
            _run(self.view, rows, self._sampling, self._emit, self._should_stop)
        return rows


def _run(view: View, rows: list[Row], sampling: Sampling, emit: Emit | None, stop: ShouldStop) -> None:
    """Complete rows of one limit in one padded batch."""
    device = view.model.device
    prefix = view.prefix()
    learned = 0 if prefix is None else prefix.shape[1]
    width = max(len(row.prompt) for row in rows) + learned
    pad = min(rows[0].stop_ids, default=0)
    padding = [width - learned - len(row.prompt) for row in rows]
    ids = torch.tensor([[pad] * (n + learned) + row.prompt for n, row in zip(padding, rows, strict=True)]).to(device)
    inputs = {"input_ids": ids}
    if prefix is not None:
        embeds = view.model.get_input_embeddings()(ids)
        for number, start in enumerate(padding):
            embeds[number, start : start + learned] = prefix[0]
        inputs["inputs_embeds"] = embeds
    taken = _Taken(rows, sampling)
    view.model.generate(
        **inputs,
        attention_mask=torch.tensor([[0] * n + [1] * (width - n) for n in padding]).to(device),
        generation_config=ExactConfig(
            max_new_tokens=rows[0].limit,
            do_sample=False,
            use_cache=True,
            pad_token_id=pad,
        ),
        logits_processor=LogitsProcessorList([taken]),
        stopping_criteria=StoppingCriteriaList([_RowEnds(rows, taken, emit, stop)]),
    )


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
