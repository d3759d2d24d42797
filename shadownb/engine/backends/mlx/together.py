"""Rows that go on from one prompt, a token of each in one pass: the answers of a group, or one answer alone.

All rows are equally long at every step, so nothing is filled up, and the caches of any of mlx-lm's models serve: the prompt is
computed once, and each row gets a copy of what it left there. Which rows are computed beside a row changes the last bits of its
logits, so a group is always decoded whole, and a run that goes on inside of one comes to the same tokens.
"""

from __future__ import annotations

import copy
from typing import Any

import mlx.core as mx
import numpy as np

from shadownb.engine.backends.mlx import worker
from shadownb.engine.backends.mlx.borrowed import make_prompt_cache
from shadownb.engine.inference.numpy_sampler import Sampler
from shadownb.engine.inference.rows import Emit, Row, ShouldStop, push_all

_CHUNK = 512  # tokens of a prompt that are computed at once; bounds the memory of a long one


class Together:
    """The rows of one prompt.

    Attributes
    ----------
    live
        Those that are not finished.
    """

    def __init__(
        self, model: Any, rows: list[Row], sampler: Sampler, emit: Emit | None = None, stop: ShouldStop | None = None
    ) -> None:
        self.live = list(rows)
        self._model, self._sampler, self._emit = model, sampler, emit
        self._stop = stop or (lambda: False)
        self._cache: list[Any] = []
        self._last: list[int] = []  # each row's newest token, which no pass has seen yet

    def advance(self) -> list[Row]:
        """Give each row its next token, the first time behind the prompt; returns those that are finished by it."""
        logits = self._first() if not self._cache else self._next()
        if logits is None:
            return []
        rows = self.live
        tokens, known = self._sampler.take(rows, logits)
        push_all(rows, tokens, known, self._emit, self._ended)
        self._keep(rows, tokens)
        return [row for row in rows if row.reason is not None]

    def _first(self) -> Any:
        """Return the logits behind the prompt, shape (rows, vocabulary); None where the caller has ended it meanwhile."""
        prompt, cache = self.live[0].prompt, make_prompt_cache(self._model)
        for start in range(0, len(prompt) - 1, _CHUNK):
            if self._ended():
                return None
            piece = prompt[start : min(start + _CHUNK, len(prompt) - 1)]
            self._model(mx.array([piece]), cache=cache)  # its logits are never evaluated
            mx.eval([part.state for part in cache])
        found = self._computed([prompt[-1]], cache)
        self._cache = cache if len(self.live) == 1 else rows_of(cache, [0] * len(self.live))
        return np.broadcast_to(found, (len(self.live), found.shape[1]))

    def _next(self) -> Any:
        return self._computed(self._last, self._cache)

    def _computed(self, tokens: list[int], cache: list[Any]) -> Any:
        logits = self._model(mx.array(tokens)[:, None], cache=cache)[:, -1].astype(mx.float32)
        mx.eval(logits)  # lets other threads of Python go on meanwhile
        return np.array(logits)

    def _keep(self, rows: list[Row], tokens: list[int]) -> None:
        """Let finished rows leave, with what the cache has of them."""
        there = [place for place, row in enumerate(rows) if row.reason is None]
        self.live, self._last = [rows[place] for place in there], [tokens[place] for place in there]
        if there and len(there) < len(rows):
            self._cache = rows_of(self._cache, there)
        mx.eval([part.state for part in self._cache] if there else [])

    def _ended(self) -> bool:
        return self._stop() or worker.given_up()


def rows_of(part: Any, places: list[int]) -> Any:
    """Return caches of mlx-lm for the rows at ``places``; whatever array a cache holds has its rows first."""
    if isinstance(part, mx.array):
        return part[mx.array(places)] if part.ndim else part
    if isinstance(part, list | tuple):
        return type(part)(rows_of(each, places) for each in part)
    if not hasattr(part, "__dict__"):
        return part
    made = copy.copy(part)
    vars(made).update({name: rows_of(value, places) for name, value in vars(part).items()})
    return made
