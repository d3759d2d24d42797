"""Rows of many callers on one side of a torch model's weights; see :class:`~shadownb.engine.inference.batcher.Side`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from shadownb.engine.backends.torch.generation.decoder import Decoder
from shadownb.engine.backends.torch.generation.sampler import Sampler
from shadownb.engine.backends.torch.generation.support import refused
from shadownb.engine.inference.draws import row_draws, seed_of
from shadownb.engine.inference.rows import Row
from shadownb.engine.inference.types import Sampling

if TYPE_CHECKING:
    from shadownb.engine.backends.torch.generation.generator import TransformersGenerator
    from shadownb.engine.inference.batcher import Job
    from shadownb.engine.inference.types import Use

_STEPS = 8  # tokens of each row between two looks at who has come; putting the weights into place costs a tenth of one
_SAMPLERS = 64


class TorchSide:
    """Rows on one side of the weights."""

    def __init__(self, generator: TransformersGenerator, use: Use) -> None:
        self._generator, self._use = generator, use
        self._decoder: Decoder | None = None
        self._new: dict[Row, Job] = {}
        self._live: dict[Row, Job] = {}

    def add(self, job: Job) -> None:
        """Let a prompt be answered here too."""
        draws = row_draws(seed_of(job.sampling), 0)
        row = self._generator._row(0, job.prompt, job.sampling, job.use, draws)
        row.listened_by(job.said, job.gone)
        self._new[row] = job

    def advance(self) -> bool:
        """Compute some tokens; returns whether everybody is answered."""
        with self._generator._ready(self._use) as view:
            self._go_on(view)
        return not self._live and not self._new

    def _go_on(self, view: Any) -> None:
        new, self._new = self._new, {}
        self._live |= new
        for row in new:
            self._generator._fit(row, view.reserved)
        known = self._generator._known(
            view, list(new)
        )  # what weights answer by the question goes by the library's loop
        alone = bool(refused(view.model))
        for row in new:
            if alone or row in known:
                self._by_itself(view, row)
            else:
                if self._decoder is None:
                    self._decoder = Decoder(view, [], _Mixed(), self._generator.max_batch_tokens, None, _never)
                self._decoder.add(row)
        if self._decoder is not None:
            self._decoder.view = view
            for _ in range(_STEPS):
                if self._decoder.done:
                    break
                self._decoder.advance()
                self._leave()
        self._leave()

    def _by_itself(self, view: Any, row: Row) -> None:
        job = self._live[row]
        batch = self._generator._batch(view, [row], job.sampling, None, job.gone)
        while not batch.done and not job.gone():
            batch.advance()
        if row.reason is None:
            row.cancel()

    def _leave(self) -> None:
        for row in [row for row in self._live if row.reason is not None]:
            self._live.pop(row).answer.set_result(row.completion())

    def end(self, error: BaseException | None = None) -> None:
        """Break off what is left."""
        for row, job in (self._live | self._new).items():
            if error is not None:
                job.fail(error)
                continue
            if row.reason is None:
                row.cancel()
            job.answer.set_result(row.completion())
        self._live, self._new = {}, {}


class _Mixed(Sampler):
    """Takes the tokens of rows that are sampled in different ways."""

    def __init__(self) -> None:
        super().__init__(Sampling())
        self._samplers: dict[Sampling, Sampler] = {}

    def take(self, rows: Sequence[Row], logits: torch.Tensor) -> tuple[list[int], list[float | None]]:
        """Return each row's next token and, where asked for, its log-probability."""
        places: dict[Sampling, list[int]] = {}
        for place, row in enumerate(rows):
            places.setdefault(row.sampling, []).append(place)
        if len(places) == 1:
            return self._of(rows[0].sampling).take(rows, logits)
        tokens: list[int] = [0] * len(rows)
        known: list[float | None] = [None] * len(rows)
        for sampling, where in places.items():
            found = self._of(sampling).take([rows[n] for n in where], logits[where])
            for place, token, log_prob in zip(where, *found, strict=True):
                tokens[place], known[place] = token, log_prob
        return tokens, known

    def _of(self, sampling: Sampling) -> Sampler:
        if len(self._samplers) > _SAMPLERS:
            self._samplers.clear()
        return self._samplers.setdefault(sampling, Sampler(sampling))


def _never() -> bool:
    return False
