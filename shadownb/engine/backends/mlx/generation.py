"""MlxGenerator: generation with a model of mlx-lm and its caches; implements :class:`~..inference.types.Generator`.

A call sees one state of the weights: it holds the gate from its first to its last token. Prompts are computed one after the other,
so that each has the same bits whatever is asked beside it; answers to one prompt are decoded together (:mod:`.together`).
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from shadownb.engine.backends.mlx import memory, worker
from shadownb.engine.backends.mlx.loading import parameters
from shadownb.engine.backends.mlx.together import Together
from shadownb.engine.inference.adapters import AdapterSource
from shadownb.engine.inference.completing import completed, never, one_each, streamed
from shadownb.engine.inference.draws import row_draws, seed_of
from shadownb.engine.inference.gate import WaitCancelled, WeightsGate
from shadownb.engine.inference.numpy_sampler import Sampler
from shadownb.engine.inference.rows import (
    Emit,
    Row,
    ShouldStop,
    begun,
    check_completions,
    keep_within,
    out_of_memory,
    weights_changed,
)
from shadownb.engine.inference.stream import TokenStream
from shadownb.engine.inference.types import Completion, Rollout, Sampling, Use
from shadownb.engine.rendering import Renderer, Tokenizer

if TYPE_CHECKING:
    import numpy as np

T = TypeVar("T")

_AT_ONCE = 32  # answers of a group that are decoded together; bounds the memory of the caches
_STEPS = 8  # tokens of each row between two looks at who else wants the weights, once an answer is finished


class MlxGenerator:
    """Generates with the models that ``answering`` gives for each side, once the weights are held.

    Parameters
    ----------
    positions
        How many tokens the model can attend to; None sets no limit.
    renderer
        Whose tokens end an answer.
    renderer_of
        Gives the renderer of an adapter beside the model.
    """

    def __init__(
        self,
        answering: Callable[[Use], Any],
        tokenizer: Tokenizer,
        gate: WeightsGate,
        *,
        positions: int | None,
        renderer: Renderer,
        renderer_of: Callable[[AdapterSource], Renderer],
    ) -> None:
        self._answering, self._tokenizer, self._gate, self._positions = answering, tokenizer, gate, positions
        self._renderer, self._renderer_of = renderer, renderer_of

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        sampling: Sampling,
        *,
        use: Use | Sequence[Use] = "tuned",
        should_stop: ShouldStop | None = None,
    ) -> list[Completion]:
        """Complete each prompt; the result has the order of ``prompts``."""
        stop, seed = should_stop or never, seed_of(sampling)
        rows = [
            self._row(n, prompt, sampling, each, row_draws(seed, n))
            for n, (prompt, each) in enumerate(zip(prompts, one_each(use, len(prompts)), strict=True))
        ]
        return completed(self._gate, rows, lambda: self._complete(rows, sampling, None, stop), stop)

    def stream(
        self, prompt: Sequence[int], sampling: Sampling, *, use: Use = "tuned", should_stop: ShouldStop | None = None
    ) -> TokenStream:
        """Complete one prompt piece by piece; the joined pieces are the completion's text."""
        stop = should_stop or never
        row = self._row(0, prompt, sampling, use, row_draws(seed_of(sampling), 0))
        return streamed(self._gate, row, lambda emit, gone: self._complete([row], sampling, emit, gone), stop)

    def rollouts(
        self,
        prompts: Sequence[Sequence[int]],
        n: int,
        sampling: Sampling,
        *,
        use: Use = "tuned",
        skip: Collection[tuple[int, int]] = (),
        should_stop: ShouldStop | None = None,
    ) -> Iterator[Rollout]:
        """Complete each prompt ``n`` times, the answers of one together; see :class:`~shadownb.engine.inference.Generator`."""
        check_completions(n)
        asked = dataclasses.replace(sampling, logprobs=True, seed=seed_of(sampling))
        groups = []
        for number, prompt in enumerate(prompts):  # what cannot be answered is refused before anything is computed
            places = [(number, sample) for sample in range(n)]
            rows = [
                (self._row(number, prompt, asked, use, row_draws(seed_of(asked), *place)), place) for place in places
            ]
            groups += [rows[start : start + _AT_ONCE] for start in range(0, n, _AT_ONCE)]
        return self._rollouts([dict(group) for group in groups], asked, use, frozenset(skip), should_stop or never)

    def _rollouts(
        self,
        groups: list[dict[Row, tuple[int, int]]],
        sampling: Sampling,
        use: Use,
        skip: frozenset[tuple[int, int]],
        stop: ShouldStop,
    ) -> Iterator[Rollout]:
        """Yield what is missing, group by group; the weights are free while the caller has a completion."""
        known: list[Any] | None = None
        for places in groups:
            if skip.issuperset(places.values()):
                continue
            batch: Together | None = None
            while batch is None or batch.live:
                finished: list[Row] = []
                with contextlib.suppress(WaitCancelled), self._gate.inference(cancelled=stop):
                    model = self._answering(use)
                    now = list(parameters(model).values())
                    if known is not None and any(a is not b for a, b in zip(known, now, strict=True)):
                        raise weights_changed()
                    known = now
                    batch = batch or Together(model, list(places), Sampler(sampling), stop=stop)
                    finished = self._some(batch, stop)
                for row in finished:
                    if row.reason in ("stop", "length") and places[row] not in skip:
                        yield Rollout(*places[row], row.completion())
                if stop():
                    return

    def _some(self, batch: Together, stop: ShouldStop) -> list[Row]:
        """Have a batch go on until rows are finished and somebody waits for the weights; returns those."""

        def there() -> list[Row]:
            finished: list[Row] = []
            steps = 0
            while batch.live and not (stop() or worker.given_up()):
                if finished and (steps >= _STEPS or self._gate.waiting):
                    break
                finished += batch.advance()
                steps += 1
            return finished

        return self._computed(there)

    def _row(self, number: int, prompt: Sequence[int], sampling: Sampling, use: Use, draws: np.random.Generator) -> Row:
        renderer = self._renderer_of(use) if isinstance(use, AdapterSource) else self._renderer
        ends, dropped = renderer.stop_token_ids, renderer.dropped_token_ids
        row = begun(number, prompt, sampling, use, draws, tokenizer=self._tokenizer, stop_ids=ends, dropped=dropped)
        keep_within(row, self._positions)
        return row

    def _complete(self, rows: list[Row], sampling: Sampling, emit: Emit | None, stop: ShouldStop) -> None:
        """Complete rows with the weights held."""
        models = {use: self._answering(use) for use in dict.fromkeys(row.use for row in rows)}

        def there() -> None:
            for row in rows:
                one = Together(models[row.use], [row], Sampler(sampling), emit, stop)
                while one.live and not (stop() or worker.given_up()):
                    one.advance()

        self._computed(there)

    def _computed(self, work: Callable[[], T]) -> T:
        try:
            return worker.run(work)
        except RuntimeError as error:
            if memory.is_out_of_memory(error):
                raise out_of_memory(error) from error
            raise
