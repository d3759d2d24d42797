"""MlxGenerator: generation with a model of mlx-lm, row by row, with its caches; implements :class:`~..inference.types.Generator`.

A call sees one state of the weights: it holds the gate from its first to its last token. Rows are computed one after the other, so
that a prompt has the same bits whatever is asked beside it.
"""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import mlx.core as mx
import numpy as np

from shadownb.engine.backends.mlx import memory, worker
from shadownb.engine.backends.mlx.library import make_prompt_cache
from shadownb.engine.backends.mlx.loading import parameters
from shadownb.engine.backends.mlx.sampler import Sampler, log_probability
from shadownb.engine.inference.adapters import AdapterSource
from shadownb.engine.inference.constraining import Matcher
from shadownb.engine.inference.gate import WaitCancelled, WeightsGate
from shadownb.engine.inference.scores import likeliest
from shadownb.engine.inference.stream import TokenStream
from shadownb.engine.inference.text import AnswerText
from shadownb.engine.inference.types import Completion, FinishReason, Rollout, Sampling, Use
from shadownb.engine.rendering import Renderer, Tokenizer
from shadownb.engine.seeds import derived_seed
from shadownb.errors import ConfigError, ModelError, OutOfMemoryError

Emit = Callable[[str], None]
ShouldStop = Callable[[], bool]
_CHUNK = 512  # tokens of a prompt that are computed at once; bounds the memory of a long one


@dataclass
class _Row:
    """One prompt on its way to a completion."""

    number: int
    prompt: list[int]
    limit: int
    text: AnswerText
    use: Use
    ends: frozenset[int]
    sampling: Sampling
    matcher: Matcher | None = None
    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    tops: list[list[tuple[int, float]]] = field(default_factory=list)
    reason: FinishReason | None = None

    def push(self, token: int) -> str:
        self.ids.append(token)
        ended = token in self.ends and not self.sampling.ignore_eos
        if self.matcher is not None and not ended:
            self.matcher.take(token)
        piece = "" if ended else self.text.push(token)
        done = ended or self.text.stopped or (self.matcher is not None and self.matcher.complete)
        if done or len(self.ids) >= self.limit:
            piece += self.text.finish()
            self.reason = "stop" if done or self.text.stopped else "length"
        return piece

    def cancel(self) -> str:
        self.reason = "cancelled"
        return self.text.finish()

    def completion(self, *, logprobs: bool) -> Completion:
        assert self.reason is not None
        counts = len(self.prompt), len(self.ids)
        known = self.logprobs if logprobs else None
        tops = self.tops if self.sampling.top_logprobs else None
        return Completion(self.text.text, self.ids, self.reason, *counts, self.text.stop_string, known, tops)


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
        stop = should_stop or _never
        uses = [use] * len(prompts) if isinstance(use, str | AdapterSource) else use
        rows = [
            self._row(n, prompt, sampling, each) for n, (prompt, each) in enumerate(zip(prompts, uses, strict=True))
        ]
        try:
            with self._gate.inference(cancelled=stop):
                self._complete(rows, sampling, _seed(sampling), None, stop)
        except WaitCancelled:
            pass
        for row in rows:
            if row.reason is None:
                row.cancel()
        return [row.completion(logprobs=sampling.logprobs) for row in rows]

    def stream(
        self, prompt: Sequence[int], sampling: Sampling, *, use: Use = "tuned", should_stop: ShouldStop | None = None
    ) -> TokenStream:
        """Complete one prompt piece by piece; the joined pieces are the completion's text."""
        stop = should_stop or _never
        row = self._row(0, prompt, sampling, use)
        loan = self._gate.lend()

        def produce(emit: Emit, closed: ShouldStop) -> Completion:
            def cancelled() -> bool:
                return closed() or stop()

            try:
                with self._gate.inference(cancelled=cancelled, loan=loan):
                    self._complete([row], sampling, _seed(sampling), emit, cancelled)
            except WaitCancelled:
                pass
            if row.reason is None:
                row.cancel()
            return row.completion(logprobs=sampling.logprobs)

        try:
            return TokenStream(produce)
        except BaseException:
            if loan is not None:
                loan.give_back()
            raise

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
        """Complete each prompt ``n`` times, one after the other; the weights are free between two completions."""
        if n < 1:
            raise ConfigError(f"n={n}: each prompt needs a completion.", fix="Give n from 1 on.")
        asked = dataclasses.replace(sampling, logprobs=True, seed=_seed(sampling))
        for number, prompt in enumerate(prompts):
            self._row(number, prompt, asked, use)  # refuses what cannot be answered before anything is computed
        return self._rollouts(
            [list(prompt) for prompt in prompts], n, asked, use, frozenset(skip), should_stop or _never
        )

    def _rollouts(
        self,
        prompts: list[list[int]],
        n: int,
        sampling: Sampling,
        use: Use,
        skip: frozenset[tuple[int, int]],
        stop: ShouldStop,
    ) -> Iterator[Rollout]:
        known: list[Any] | None = None
        for number, prompt in enumerate(prompts):
            for sample in (s for s in range(n) if (number, s) not in skip):
                row = self._row(number, prompt, sampling, use)
                seed = derived_seed(_seed(sampling), number, sample)
                try:
                    with self._gate.inference(cancelled=stop):
                        now = list(parameters(self._answering(use)).values())
                        if known is not None and any(a is not b for a, b in zip(known, now, strict=True)):
                            raise ModelError("The weights were changed between two completions of a batch of rollouts.")
                        known = now
                        self._complete([row], sampling, seed, None, stop)
                except WaitCancelled:
                    return
                if row.reason in (None, "cancelled"):
                    return
                yield Rollout(number, sample, row.completion(logprobs=True))

    def _row(self, number: int, prompt: Sequence[int], sampling: Sampling, use: Use) -> _Row:
        ids = [int(i) for i in prompt]
        if not ids:
            raise ModelError(f"Prompt {number} has no tokens.", fix="Give some text or a message.")
        renderer = self._renderer_of(use) if isinstance(use, AdapterSource) else self._renderer
        limit = sampling.max_new_tokens
        if self._positions is not None:
            room = self._positions - len(ids)
            if room < 1:
                raise ModelError(
                    f"Prompt {number} has {len(ids)} tokens, more than the model can take.",
                    why=f"The model attends to at most {self._positions} tokens, prompt and answer together.",
                    fix="Shorten the prompt, or drop the oldest messages of the conversation.",
                )
            limit = min(limit, room)
        text = AnswerText(self._tokenizer, sampling.stop, dropped=renderer.dropped_token_ids)
        ends, form = frozenset(renderer.stop_token_ids), sampling.constraint
        matcher = None if form is None else Matcher(self._tokenizer, form, ends)
        return _Row(number, ids, limit, text, use, ends, sampling, matcher)

    def _complete(self, rows: list[_Row], sampling: Sampling, seed: int, emit: Emit | None, stop: ShouldStop) -> None:
        """Complete rows with the weights held."""
        models = {use: self._answering(use) for use in dict.fromkeys(row.use for row in rows)}

        def there() -> None:
            for row in rows:
                if not stop() and not worker.given_up():
                    self._one(models[row.use], row, sampling, seed, emit, stop)

        try:
            worker.run(there)
        except RuntimeError as error:
            if memory.is_out_of_memory(error):
                raise OutOfMemoryError(
                    "Generating ran out of memory.",
                    why=str(error).splitlines()[0],
                    fix="Give fewer or shorter prompts, or a smaller max_new_tokens.",
                ) from error
            raise

    def _one(self, model: Any, row: _Row, sampling: Sampling, seed: int, emit: Emit | None, stop: ShouldStop) -> None:
        cache = make_prompt_cache(model)
        *start, last = row.prompt
        for begin in range(0, len(start), _CHUNK):
            model(mx.array([start[begin : begin + _CHUNK]]), cache=cache)  # its logits are never evaluated
            mx.eval([part.state for part in cache])
            if stop() or worker.given_up():
                return
        sampler, token = Sampler(sampling, seed, row.number, row.prompt, row.ends, row.matcher), last
        while row.reason is None:
            found = model(mx.array([[token]]), cache=cache)[0, -1].astype(mx.float32)
            logits = np.array(found).astype(np.float64)
            token = sampler.take(logits)
            if sampling.logprobs:
                row.logprobs.append(log_probability(logits, token))
            if sampling.top_logprobs:
                row.tops.append(likeliest(logits, sampling.top_logprobs))
            piece = row.push(token)
            if row.reason is None and (stop() or worker.given_up()):
                piece += row.cancel()
            if piece and emit is not None:
                emit(piece)


def _never() -> bool:
    return False


def _seed(sampling: Sampling) -> int:
    return secrets.randbits(62) if sampling.seed is None else sampling.seed
