"""LlamaCppGenerator: generation with an open GGUF file; implements :class:`~..inference.types.Generator`.

Rows are computed together, as many as their room allows; what a row starts with and another one has computed is copied.
A call holds the gate from its first to its last token.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

from shadownb.engine.backends.llamacpp.file import GgufFile
from shadownb.engine.backends.llamacpp.sampler import take
from shadownb.engine.backends.llamacpp.sequences import Logits, Sequences
from shadownb.engine.inference.adapters import AdapterSource
from shadownb.engine.inference.completing import completed, never, one_each, streamed
from shadownb.engine.inference.draws import row_draws, seed_of
from shadownb.engine.inference.gate import WeightsGate
from shadownb.engine.inference.rows import Emit, Row, ShouldStop, begun, check_completions, keep_within
from shadownb.engine.inference.stream import TokenStream
from shadownb.engine.inference.types import Completion, Rollout, Sampling, Use
from shadownb.engine.rendering import Renderer, Tokenizer

ROOM_TOKENS = 32768  # of all sequences of a call together; of SmolLM2-135M they take 0.75 GB
MOST_ROWS = 16  # computed together: beyond, a core is no faster (tokens a CPU second of Q8_0 at 8 and 32: 90 and 90)
_WORTH_COPYING = 16  # tokens


class LlamaCppGenerator:
    """Generates with a GGUF file.

    Parameters
    ----------
    adapter_of
        Gives the file of the adapter that answers for a side, None for the file alone; asked once the gate is held.
    renderer
        Whose tokens end an answer.
    renderer_of
        Gives the renderer of an adapter beside the model.
    """

    def __init__(
        self,
        file: GgufFile,
        tokenizer: Tokenizer,
        gate: WeightsGate,
        *,
        adapter_of: Callable[[Use], Path | None],
        renderer: Renderer,
        renderer_of: Callable[[AdapterSource], Renderer],
    ) -> None:
        self.file, self._tokenizer, self.gate, self.adapter_of = file, tokenizer, gate, adapter_of
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
        seed = seed_of(sampling)
        rows = [
            self.row(number, prompt, sampling, each, seed, number)
            for number, (prompt, each) in enumerate(zip(prompts, one_each(use, len(prompts)), strict=True))
        ]
        return self._complete(rows, sampling, should_stop or never)

    def stream(
        self, prompt: Sequence[int], sampling: Sampling, *, use: Use = "tuned", should_stop: ShouldStop | None = None
    ) -> TokenStream:
        """Complete one prompt piece by piece; the joined pieces are the completion's text."""
        stop = should_stop or never
        row = self.row(0, prompt, sampling, use, seed_of(sampling), 0)
        return streamed(self.gate, row, lambda emit, gone: self._compute([row], sampling, gone, emit), stop)

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
        """Complete each prompt ``n`` times, a prompt after the other; the weights are free between two of them."""
        check_completions(n)
        asked = dataclasses.replace(sampling, logprobs=True)
        seed, left = seed_of(sampling), set(skip)
        rows = [
            [
                (sample, self.row(number, prompt, asked, use, seed, number, sample))
                for sample in range(n)
                if (number, sample) not in left
            ]
            for number, prompt in enumerate(prompts)
        ]  # refuses what cannot be answered before anything is computed
        return self._rollouts(rows, asked, should_stop or never)

    def _rollouts(self, rows: list[list[tuple[int, Row]]], sampling: Sampling, stop: ShouldStop) -> Iterator[Rollout]:
        for group in rows:
            self._complete([row for _, row in group], sampling, stop)
            for sample, row in group:
                if row.reason != "cancelled":
                    yield Rollout(row.number, sample, row.completion())
            if stop():
                return

    def row(self, number: int, prompt: Sequence[int], sampling: Sampling, use: Use, seed: int, *luck: int) -> Row:
        """Return a row for a prompt; refuses one that is empty, or leaves no room for an answer."""
        renderer = self._renderer_of(use) if isinstance(use, AdapterSource) else self._renderer
        ends, dropped, draws = renderer.stop_token_ids, renderer.dropped_token_ids, row_draws(seed, *luck)
        row = begun(number, prompt, sampling, use, draws, tokenizer=self._tokenizer, stop_ids=ends, dropped=dropped)
        keep_within(row, self.file.positions)
        return row

    def _complete(self, rows: list[Row], sampling: Sampling, stop: ShouldStop) -> list[Completion]:
        def side_by_side() -> None:
            for use in dict.fromkeys(row.use for row in rows):
                self._compute([row for row in rows if row.use == use], sampling, stop)

        return completed(self.gate, rows, side_by_side, stop)

    def _compute(self, rows: list[Row], sampling: Sampling, stop: ShouldStop, emit: Emit | None = None) -> None:
        """Complete rows of one side with the gate held."""
        if not rows:
            return
        longest = max(len(row.prompt) + row.limit for row in rows)
        count = min(len(rows), MOST_ROWS, max(1, ROOM_TOKENS // longest))
        with Sequences(self.file, count, longest, self.adapter_of(rows[0].use)) as room:
            Table(room, count, rows, emit).run(stop)


class Table:
    """Rows at their places: those that wait, those whose prompt is computed, those that answer."""

    def __init__(self, room: Sequences, places: int, rows: list[Row], emit: Emit | None) -> None:
        self._room, self._emit = room, emit
        self._waiting = deque(rows)
        self._free = list(range(places))
        self._at: dict[int, Row] = {}
        self._done: dict[int, int] = {}  # tokens of the row at a place that were computed

    @property
    def done(self) -> bool:
        """Whether every row is finished."""
        return not self._waiting and not self._at

    def add(self, rows: Sequence[Row]) -> None:
        """Let further rows take places as they become free."""
        self._waiting.extend(rows)

    def run(self, stop: ShouldStop) -> None:
        """Go on until all are finished, or whoever asked has gone."""
        while not self.done:
            if stop():
                for row in self._at.values():
                    self._say(row.cancel())
                return
            self.step()

    def step(self) -> None:
        """Compute one pass."""
        self._seat()
        pieces = self._pieces()
        for (place, _, tokens, last), logits in zip(pieces, self._room.feed(pieces), strict=True):
            self._done[place] += len(tokens)
            if last:
                self._next(place, logits)

    def clear(self) -> None:
        """Give the places of unfinished rows back."""
        for place in self._at:
            self._room.clear(place)
        self._at.clear()
        self._waiting.clear()

    def _seat(self) -> None:
        while self._free and self._waiting:
            row, place = self._waiting.popleft(), self._free.pop()
            self._at[place], self._done[place] = row, self._copied(row, place)

    def _copied(self, row: Row, place: int) -> int:
        """Return how many tokens a row takes over from one that has computed them."""
        best, source = 0, -1
        for other, neighbour in self._at.items():
            limit = min(self._done[other], len(row.prompt) - 1, len(neighbour.prompt))
            same = next((n for n in range(limit) if row.prompt[n] != neighbour.prompt[n]), limit)
            if same > best:
                best, source = same, other
        return best if best >= _WORTH_COPYING and self._room.copy(source, place, best) else 0

    def _pieces(self) -> list[tuple[int, int, Sequence[int], int]]:
        """Return what is computed next: a token of each that answers, and as much of the prompts as fits."""
        found: list[tuple[int, int, Sequence[int], int]] = []
        left = self._room.piece
        for place, row in sorted(self._at.items(), key=lambda at: -len(at[1].ids)):  # who answers comes first
            begin = self._done[place]
            tokens = row.ids[-1:] if row.ids else row.prompt[begin : begin + left]
            if not tokens or left < 1:
                continue
            ends = bool(row.ids) or begin + len(tokens) == len(row.prompt)
            found.append((place, begin, tokens, int(ends)))
            left -= len(tokens)
        return found

    def _next(self, place: int, logits: Logits) -> None:
        row = self._at[place]
        token, known = take(logits[0], row)
        self._say(row.push(token, known))
        if row.reason is not None:
            del self._at[place]
            self._room.clear(place)
            self._free.append(place)

    def _say(self, piece: str) -> None:
        if piece and self._emit is not None:
            self._emit(piece)
