"""Decoding many rows at once: prompts as a tree, one pass a token for all rows, and waiting rows in the places of finished ones."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch

from shadownb.engine.backends.torch.generation.attending import Stepping, attending
from shadownb.engine.backends.torch.generation.borrowing import Routed, View
from shadownb.engine.backends.torch.generation.prompts import WORTH_SHARING, Prompt, fill
from shadownb.engine.backends.torch.generation.sampler import Sampler
from shadownb.engine.backends.torch.generation.seen import Block, Group, OwnTokens, grouped
from shadownb.engine.inference.rows import Emit, Row, ShouldStop, push_all

MOST_ROWS = 128  # that are decoded at once; more bring no more tokens a second
_PASS_TOKENS = 2048  # of prompts in one pass
_EXPECTED = 64  # tokens of an answer that room is made for at once


class Decoder:
    """Rows of one side of the weights on their way; whoever calls holds the weights, in inference state.

    Parameters
    ----------
    max_tokens
        Most tokens of which keys and values are kept; one row is always taken.
    routed
        Where rows are answered by what their questions ask for.
    """

    def __init__(
        self,
        view: View,
        rows: Sequence[Row],
        sampler: Sampler,
        max_tokens: int,
        emit: Emit | None,
        should_stop: ShouldStop,
        *,
        worth_sharing: int = WORTH_SHARING,
        routed: Routed | None = None,
    ) -> None:
        self._routed = routed
        self.view, self._sampler, self._emit, self._should_stop = view, sampler, emit, should_stop
        self._max_tokens, self._worth_sharing = max_tokens, worth_sharing
        # Longest first, so that rows beside each other are of similar length; those of one prompt one behind the other.
        self._waiting = deque(sorted(rows, key=lambda row: (-len(row.prompt), row.prompt)))
        self._prompts: dict[tuple[int, ...], Prompt] = {}
        self._rows: list[Row] = []  # in the order of their places
        self._chains: list[tuple[Block, ...]] = []
        self._positions: list[int] = []
        self._own: OwnTokens | None = None
        self._groups: list[Group] = []

    @property
    def done(self) -> bool:
        """Whether every row is finished."""
        return not self._waiting and not self._rows

    def add(self, row: Row) -> None:
        """Let another row take a place as soon as one is free, behind those that wait already."""
        self._waiting.append(row)

    def advance(self) -> list[Row]:
        """Compute one token for each row that has a place, after waiting ones took what is free; returns who is finished."""
        with attending(self.view.model):
            finished = self._fill_places()
            if self._rows:
                finished += self._step()
        return finished

    # -- places -----------------------------------------------------------------------------------------------------

    def _fill_places(self) -> list[Row]:
        """Let waiting rows take places and their first token, a few together: new rows mean looking at blocks anew."""
        free = self._free()
        if not free or (self._rows and free < min(len(self._waiting), 1 + len(self._rows) // 8)):
            return []
        taken = [self._waiting.popleft() for _ in range(free)]
        missing = [row for row in taken if tuple(row.prompt) not in self._prompts]
        if missing:
            self._compute_prompts(missing)
        prompts = [self._prompts[tuple(row.prompt)] for row in taken]
        tokens, known = self._sampler.take(taken, torch.stack([prompt.logits for prompt in prompts]))
        cancelled = push_all(taken, tokens, known, self._emit, self._should_stop)
        going = [(row, prompt) for row, prompt in zip(taken, prompts, strict=True) if row.reason is None]
        if going:
            self._seat(going)
        waiting = {tuple(row.prompt) for row in self._waiting}
        self._prompts = {ids: prompt for ids, prompt in self._prompts.items() if ids in waiting}
        self._groups = grouped(self._chains, self._groups)
        if cancelled:
            self._end()
        return [row for row in taken if row.reason is not None]

    def _free(self) -> int:
        """Return how many of the waiting rows may be taken now."""
        count, shared = 0, sum({id(b): b.length for chain in self._chains for b in chain}.values())
        longest = max((len(row.prompt) + row.limit for row in self._rows), default=0)
        for row in self._waiting:
            longest = max(longest, len(row.prompt) + row.limit)
            places = len(self._rows) + count + 1
            if places > 1 and (places > MOST_ROWS or places * longest + shared > self._max_tokens):
                break
            count += 1
        return count

    def _compute_prompts(self, missing: Sequence[Row]) -> None:
        """Compute the prompts of rows, and in the same passes those of rows that come after them."""
        counts = Counter(
            tuple(row.prompt) for row in (*missing, *self._waiting) if tuple(row.prompt) not in self._prompts
        )
        needed = {tuple(row.prompt) for row in missing}
        part: dict[tuple[int, ...], int] = {}
        size = 0
        for ids, rows in counts.items():
            if part and size + len(ids) > _PASS_TOKENS:
                self._prompts |= fill(self.view, part, self._worth_sharing, self._routed)
                part, size = {}, 0
                if ids not in needed:
                    break
            part[ids] = rows
            size += len(ids)
        if part:
            self._prompts |= fill(self.view, part, self._worth_sharing, self._routed)

    def _seat(self, going: Sequence[tuple[Row, Prompt]]) -> None:
        if self._own is None:
            self._own = OwnTokens(going[0][1].keys)
        longest = max(prompt.keys.shape[2] + min(row.limit, _EXPECTED) for row, prompt in going)
        self._own.reserve(len(self._rows) + len(going), longest)
        for row, prompt in going:
            self._own.add(prompt.keys, prompt.values)
            self._rows.append(row)
            self._chains.append(prompt.blocks)
            self._positions.append(prompt.length)

    def _leave(self) -> None:
        """Take finished rows out of their places."""
        assert self._own is not None
        before = len(self._rows)
        for place in reversed(range(before)):
            if self._rows[place].reason is not None:
                self._own.remove(place)
                columns: tuple[list[Any], ...] = (self._rows, self._chains, self._positions)
                for each in columns:
                    each[place] = each[-1]
                    each.pop()
        if len(self._rows) != before:
            self._groups = grouped(self._chains, self._groups)

    def _end(self) -> None:
        self._waiting.clear()
        for row in self._rows:
            if row.reason is None:
                row.cancel()
        if self._own is not None:
            self._leave()

    # -- one token --------------------------------------------------------------------------------------------------

    def _step(self) -> list[Row]:
        assert self._own is not None
        device, rows = self.view.model.device, list(self._rows)
        with self._routed([row.prompt for row in rows]) if self._routed is not None else nullcontext():
            found = self.view.model(
                input_ids=torch.tensor([[row.ids[-1] for row in rows]], device=device),
                position_ids=torch.tensor([self._positions], device=device),
                use_cache=False,
                decoding=Stepping(self._own, self._groups),
            )
        self._own.lengths = [length + 1 for length in self._own.lengths]
        self._positions = [position + 1 for position in self._positions]
        tokens, known = self._sampler.take(rows, found.logits[0].float())
        if push_all(rows, tokens, known, self._emit, self._should_stop):
            self._end()
        finished = [row for row in rows if row.reason is not None]
        if finished:
            self._leave()
        return finished
