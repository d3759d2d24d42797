"""Answers from memory: the stored question is asked in the place of the user's, and of several facts the answers stand in a row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import TYPE_CHECKING

from shadownb.engine.backends.torch.generation.batches import Batches
from shadownb.engine.backends.torch.generation.borrowing import Routed, View
from shadownb.engine.inference.rows import Emit, Row, ShouldStop
from shadownb.errors import ModelError

if TYPE_CHECKING:
    import numpy as np

    from shadownb.engine.rendering.last_turn import LastTurn

SEPARATOR = "; "  # between the answers of one row


def in_own_words(
    rows: Sequence[Row],
    asks: Callable[[str], Sequence[str]],
    turn: LastTurn,
    like: Callable[[Row, Sequence[int], np.random.Generator], Row],
) -> dict[Row, list[Row]]:
    """Return the rows that ask for stored questions, each with rows that ask these in the place of the last turn.

    Parameters
    ----------
    asks
        Returns the stored questions that a question asks for.
    like
        Makes a row of the same wishes for another prompt; raises ModelError where that leaves no room for an answer.
    """
    known = {}
    for row in rows:
        asked = asks(turn.of(row.prompt))
        # A form is that of one answer, so none is put together of two.
        if not asked or (len(asked) > 1 and row.matcher is not None):
            continue
        luck = row.draws.spawn(len(asked)) if len(asked) > 1 else [row.draws]
        prompts = [turn.instead(row.prompt, question) for question in asked]
        if len({*map(tuple, prompts)}) < len(asked):
            continue  # the turn cannot be told from its tokens, and one answer would be said twice
        try:
            known[row] = [like(row, prompt, draws) for prompt, draws in zip(prompts, luck, strict=True)]
        except ModelError:  # its own words leave room for an answer, and are routed to the first of the facts
            known[row] = [like(row, row.prompt, row.draws)]
    return known


def by_last_turn(
    routed: Callable[..., AbstractContextManager[None]] | None, last_turn: Callable[[], LastTurn] | None
) -> Routed | None:
    """Return what has weights that answer by the question know the prompts of a pass; None where all are answered alike."""
    if routed is None or last_turn is None:
        return None
    known: dict[tuple[int, ...], str] = {}

    def of(prompts: Sequence[Sequence[int]], at: Sequence[int] | None = None) -> AbstractContextManager[None]:
        for prompt in prompts:
            if tuple(prompt) not in known:
                known[tuple(prompt)] = last_turn().of(prompt)
        return routed([known[tuple(prompt)] for prompt in prompts], at)

    return of


class OwnWords:
    """Rows whose tokens are those of other rows.

    Parameters
    ----------
    parts
        Of each row those that ask for its facts, in their order.
    inner
        The group in which the others are decoded.
    separator
        The tokens between two answers of a row.
    """

    def __init__(
        self,
        view: View,
        parts: Mapping[Row, Sequence[Row]],
        inner: Batches,
        separator: Sequence[int],
        emit: Emit | None,
        should_stop: ShouldStop,
    ) -> None:
        self.view, self._separator, self._emit, self._should_stop = view, separator, emit, should_stop
        self._going = {row: list(asked) for row, asked in parts.items()}
        self._said = dict.fromkeys(self._going, 0)  # tokens that a row has of its first part
        self._inner = inner
        for row, asked in self._going.items():
            for part in asked:  # some groups decode a row whole before they return
                part.listened_by(partial(self._follow, row), partial(_ended, row))

    @property
    def done(self) -> bool:
        """Whether every row is finished."""
        return not self._going

    def advance(self) -> list[Row]:
        """Go one step on with the parts; returns the rows that are finished by it."""
        if self._should_stop():
            for row in self._going:
                self._tell(row.cancel())
        elif not self._inner.done:
            self._inner.view = self.view
            self._inner.advance()
        for row in self._going:
            self._follow(row)
        finished = [row for row in self._going if row.reason is not None]
        for row in finished:
            for part in self._going.pop(row):
                if part.reason is None:
                    part.cancel()
        return finished

    def _follow(self, row: Row, _: str = "") -> None:
        """Give a row the new tokens of its parts, of each after those of the one before it."""
        parts = self._going[row]
        while row.reason is None:
            part, last = parts[0], len(parts) == 1
            for place in range(self._said[row], len(part.ids)):
                token, log_prob = part.ids[place], part.logprobs[place] if part.logprobs is not None else None
                if not last and part.reason == "stop" and place == len(part.ids) - 1 and token in part.stop_ids:
                    break  # the row has more to say
                if row.tops is not None and part.tops is not None:
                    row.tops.append(part.tops[place])
                self._tell(row.push(token, log_prob))
                if row.reason is not None:
                    return
            self._said[row] = len(part.ids)
            if part.reason is None:
                return
            if last or part.reason != "stop":
                self._tell(row.end(part.reason))
                return
            parts.pop(0)
            self._said[row] = 0
            for token in self._separator:
                if row.reason is None:
                    if row.tops is not None:
                        row.tops.append([(token, 0.0)])
                    self._tell(row.push(token, 0.0))

    def _tell(self, piece: str) -> None:
        if piece and self._emit is not None:
            self._emit(piece)


def _ended(row: Row) -> bool:
    return row.reason is not None
