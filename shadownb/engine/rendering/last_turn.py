"""What a user said last, read back from the tokens of a prompt: whoever generates has tokens alone."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import ClassVar
from weakref import WeakKeyDictionary

from shadownb.engine.rendering.encoding import Encoder
from shadownb.engine.rendering.renderer import Renderer
from shadownb.errors import DataError

_MARK = "QUESTION-0f7b"
_MOST_CHARACTERS = 2000


class LastTurn:
    """Finds the last user turn of prompts that a renderer made, by what its template writes around one."""

    _known: ClassVar[WeakKeyDictionary[Renderer, LastTurn]] = WeakKeyDictionary()

    @classmethod
    def by(cls, renderer: Renderer) -> LastTurn:
        """Return the one of a renderer, made when first asked for."""
        if renderer not in cls._known:
            cls._known[renderer] = cls(renderer)
        return cls._known[renderer]

    def __init__(self, renderer: Renderer) -> None:
        self._tokenizer = renderer.tokenizer  # the renderer itself would keep its own entry alive
        self._encoder = Encoder(renderer.tokenizer)
        self._opening = self._closing = ""
        try:
            text = self._decoded(renderer.render_prompt([{"role": "user", "content": _MARK}]))
        except DataError:  # a template that takes no such conversation: every prompt is plain text
            return
        before, found, after = text.partition(_MARK)
        if found:
            special = sorted((str(t) for t in self._tokenizer.added_tokens_encoder), key=len, reverse=True)
            begins = max((before.rfind(token) for token in special), default=-1)
            self._opening = before[max(begins, 0) :]
            ends = [place for token in special if (place := after.find(token)) >= 0]
            self._closing = after[: min(ends)] if ends and min(ends) > 0 else ""
            if ends and min(ends) == 0:
                self._closing = next(token for token in special if after.startswith(token))

    def of(self, prompt: Sequence[int]) -> str:
        """Return the last user turn of a prompt; of plain text its end."""
        return self._found(self._decoded(prompt))[0].strip()

    def instead(self, prompt: Sequence[int], said: str) -> list[int]:
        """Return a prompt with other words in the place of what :meth:`of` returns; where tokens go over its ends, the prompt."""
        ids, text = list(prompt), self._decoded(prompt)
        was, place = self._found(text)
        first, last = self._tokens_of(ids, text[:place]), self._tokens_of(ids, text[: place + len(was)])
        if first is None or last is None or not was.strip():
            return ids
        # What stands around it keeps its tokens: written text that looks like a control token must not become one.
        return [*ids[:first], *self._encoder.pieces(["", was.replace(was.strip(), said, 1)])[1], *ids[last:]]

    def _found(self, text: str) -> tuple[str, int]:
        """Return the last user turn of a text, and where it begins."""
        place = text.rfind(self._opening) if self._opening else -1
        if place < 0:
            return text[-_MOST_CHARACTERS:], max(0, len(text) - _MOST_CHARACTERS)
        begins = place + len(self._opening)
        return text[begins:].partition(self._closing)[0] if self._closing else text[begins:], begins

    def _tokens_of(self, ids: list[int], beginning: str) -> int | None:
        """Return how many tokens the beginning of a text has; None where it ends inside of one."""
        count = bisect_left(range(len(ids) + 1), len(beginning), key=lambda n: len(self._decoded(ids[:n])))
        return count if count <= len(ids) and self._decoded(ids[:count]) == beginning else None

    def _decoded(self, ids: Sequence[int]) -> str:
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=False))
