"""TransformersGenerator: generation with a loaded transformers (or peft) model.

Rows are decoded together by :mod:`.decoder`, or by the library's own loop where that does not know the model
(:mod:`.support`); around both are stop strings, cancelling and streaming. One call sees one state of the weights: it holds the
gate from its first to its last token, also over several batches. Gradients are switched off with ``no_grad`` rather than
``inference_mode``: on a 135M model the two are equally fast, and a buffer that a module makes during generation stays usable in
training.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from shadownb.engine.backends.torch.generation.batches import Batches, InTurn
from shadownb.engine.backends.torch.generation.borrowing import (
    Routed,
    View,
    borrowed,
    max_positions,
    own_side,
    plain_view,
)
from shadownb.engine.backends.torch.generation.decoder import Decoder
from shadownb.engine.backends.torch.generation.own_words import SEPARATOR, OwnWords, by_last_turn, in_own_words
from shadownb.engine.backends.torch.generation.products import computing
from shadownb.engine.backends.torch.generation.rollouts import as_they_finish
from shadownb.engine.backends.torch.generation.sampler import Sampler
from shadownb.engine.backends.torch.generation.support import refused
from shadownb.engine.backends.torch.generation.transformers_batches import LibraryBatches
from shadownb.engine.backends.torch.quantized import dense_meanwhile
from shadownb.engine.inference.adapters import AdapterSource
from shadownb.engine.inference.completing import completed, never, one_each, streamed
from shadownb.engine.inference.draws import row_draws, seed_of
from shadownb.engine.inference.gate import WeightsGate
from shadownb.engine.inference.rows import Emit, Row, ShouldStop, begun, check_completions, keep_within, out_of_memory
from shadownb.engine.inference.stream import TokenStream
from shadownb.engine.inference.types import Completion, Rollout, Sampling, Use
from shadownb.engine.rendering import Renderer
from shadownb.errors import ModelError

if TYPE_CHECKING:
    import numpy as np

    from shadownb.engine.backends.torch.generation.side import TorchSide
    from shadownb.engine.rendering.last_turn import LastTurn


class TransformersGenerator:
    """Generates with a transformers or peft causal language model.

    Parameters
    ----------
    model, tokenizer
        The loaded model and its tokenizer.
    gate
        Shared with whoever trains these weights.
    stop_token_ids
        Tokens that end an answer; they are not part of its text.
    max_batch_tokens
        Most prompt and new tokens in one batch, padding included; bounds the memory of the cache. What several rows start with
        counts once.
    dropped_token_ids
        Tokens that are left out of the text, beside the stop tokens; by default every special one.
    view
        Asked once the weights are held, because what is on them can change while a call waits for its turn.
    reserved
        Positions that a learned prompt takes.
    renderer_of
        Gives the renderer of an adapter beside the model, whose answers end by other tokens where its template is another.
    last_turn
        Finds what a prompt asks last, for weights that answer by it.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        gate: WeightsGate,
        *,
        stop_token_ids: Sequence[int],
        max_batch_tokens: int = 8192,
        dropped_token_ids: Collection[int] | None = None,
        view: Callable[[Use], View] | None = None,
        reserved: int = 0,
        renderer_of: Callable[[AdapterSource], Renderer] | None = None,
        last_turn: Callable[[], LastTurn] | None = None,
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.gate = gate
        self.stop_token_ids = frozenset(int(i) for i in stop_token_ids)
        self.max_batch_tokens = max_batch_tokens
        special = tokenizer.all_special_ids if dropped_token_ids is None else dropped_token_ids
        self.dropped_token_ids = frozenset(int(i) for i in special)
        self._view = view or self._plain
        self._reserved = reserved
        self._renderer_of = renderer_of
        self._last_turn = last_turn

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        sampling: Sampling,
        *,
        use: Use | Sequence[Use] = "tuned",
        should_stop: ShouldStop | None = None,
    ) -> list[Completion]:
        """Complete each prompt, in batches of one side and of similar length; the result has the order of ``prompts``.

        Parameters
        ----------
        prompts
            Token ids, one list a prompt, of any lengths.
        use
            ``tuned`` as the weights are, ``base`` with adapters switched off, or an adapter beside them; one a prompt, or one
            for all.
        should_stop
            Looked at after every token and while waiting for the weights; true ends all rows as ``cancelled``.

        Raises
        ------
        ModelError
            A prompt is empty or leaves no position for an answer; or an adapter cannot answer here.
        OutOfMemoryError
            The device ran out of memory.
        """
        stop = should_stop or never
        seed = seed_of(sampling)
        uses = one_each(use, len(prompts))
        rows = [
            self._row(number, prompt, sampling, each, row_draws(seed, number))
            for number, (prompt, each) in enumerate(zip(prompts, uses, strict=True))
        ]

        def side_by_side() -> None:
            for each in dict.fromkeys(uses):
                if not stop():
                    self._answer([row for row in rows if row.use == each], sampling, None, stop)

        return completed(self.gate, rows, side_by_side, stop)

    def stream(
        self,
        prompt: Sequence[int],
        sampling: Sampling,
        *,
        use: Use = "tuned",
        should_stop: ShouldStop | None = None,
    ) -> TokenStream:
        """Complete one prompt piece by piece.

        The pieces are whole characters and their sum is the text that :meth:`generate` gives for the same seed. Close
        the stream, or drop it, to stop early.
        """
        stop = should_stop or never
        row = self._row(0, prompt, sampling, use, row_draws(seed_of(sampling), 0))
        return streamed(self.gate, row, lambda emit, gone: self._answer([row], sampling, emit, gone), stop)

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
        """Complete each prompt ``n`` times, in any order; see :class:`~shadownb.engine.inference.Generator`."""
        check_completions(n)
        seed, asked, there = seed_of(sampling), dataclasses.replace(sampling, logprobs=True), set(skip)
        places: dict[Row, tuple[int, int]] = {}
        for place in itertools.product(range(len(prompts)), range(n)):
            row = self._row(place[0], prompts[place[0]], asked, use, row_draws(seed, *place))
            if place not in there:
                places[row] = place
        stop = should_stop or never
        return as_they_finish(
            places,
            self.gate,
            lambda: self._ready(use),
            lambda view: self._batch(view, list(places), asked, None, stop),
            stop,
        )

    def weights_of(self, use: Use) -> Use:
        """Return what tells the weights of a side from others."""
        return use

    def side(self, use: Use) -> TorchSide:
        """Return an empty side, whose rows come and go; called with the gate held."""
        from shadownb.engine.backends.torch.generation.side import TorchSide

        return TorchSide(self, use)

    def _row(self, number: int, prompt: Sequence[int], sampling: Sampling, use: Use, draws: np.random.Generator) -> Row:
        stop_ids, dropped = self.stop_token_ids, self.dropped_token_ids
        if isinstance(use, AdapterSource) and self._renderer_of is not None:
            renderer = self._renderer_of(use)
            stop_ids, dropped = frozenset(renderer.stop_token_ids), frozenset(renderer.dropped_token_ids)
        row = begun(number, prompt, sampling, use, draws, tokenizer=self.tokenizer, stop_ids=stop_ids, dropped=dropped)
        self._fit(row, 0 if isinstance(use, AdapterSource) else self._reserved)
        return row

    def _fit(self, row: Row, reserved: int) -> None:
        keep_within(row, max_positions(self.model), reserved)

    def _plain(self, use: Use) -> View:
        if isinstance(use, AdapterSource):
            raise ModelError(f"use={use.name!r}: this generator has one model and no adapters beside it.")
        return plain_view(self.model).side(own_side(use))

    def _answer(self, rows: list[Row], sampling: Sampling, emit: Emit | None, stop: ShouldStop) -> None:
        """Complete rows of one side; the weights are held."""
        with self._ready(rows[0].use) as view:
            batch = self._batch(view, rows, sampling, emit, stop)
            while not batch.done and not stop():
                batch.advance()

    def _batch(self, view: View, rows: list[Row], sampling: Sampling, emit: Emit | None, stop: ShouldStop) -> Batches:
        for row in rows:
            self._fit(row, view.reserved)
        known = self._known(view, rows)
        others = [row for row in rows if row not in known]
        # Others as if nothing were stored, and by the very passes that the base has.
        groups: list[Batches] = [self._decoding(view, others, sampling, emit, stop)] if others or not known else []
        if known:
            routed = by_last_turn(view.routed, self._last_turn)
            between = list(self.tokenizer(SEPARATOR, add_special_tokens=False)["input_ids"])
            parts = self._decoding(
                view, [part for each in known.values() for part in each], sampling, None, stop, routed
            )
            groups.append(OwnWords(view, known, parts, between, emit, stop))
        return groups[0] if len(groups) == 1 else InTurn(view, groups)

    def _decoding(
        self,
        view: View,
        rows: list[Row],
        sampling: Sampling,
        emit: Emit | None,
        stop: ShouldStop,
        routed: Routed | None = None,
    ) -> Batches:
        if refused(view.model):
            return LibraryBatches(view, rows, sampling, self.max_batch_tokens, emit, stop, routed)
        return Decoder(view, rows, Sampler(sampling), self.max_batch_tokens, emit, stop, routed=routed)

    @contextmanager
    def _ready(self, use: Use) -> Iterator[View]:
        try:
            view = self._view(use)
            with (
                borrowed(view.model, own_side(use), view.switched_off),
                torch.no_grad(),
                dense_meanwhile(view.model),
                computing(view.model),
            ):
                yield view
        except RuntimeError as error:
            if any(sign in str(error) for sign in ("out of memory", "can't allocate memory")):
                raise out_of_memory(error, str(self.model.device)) from error
            raise

    def _known(self, view: View, rows: Sequence[Row]) -> dict[Row, list[Row]]:
        """Return the rows that ask for something that the weights answer by the question, each with the rows that ask for it."""
        if view.asks is None or self._last_turn is None:
            return {}

        def like(row: Row, prompt: Sequence[int], draws: np.random.Generator) -> Row:
            part = self._row(row.number, prompt, row.sampling, row.use, draws)
            self._fit(part, view.reserved)
            part.limit = min(part.limit, row.limit)
            return part

        return in_own_words(rows, view.asks, self._last_turn(), like)
