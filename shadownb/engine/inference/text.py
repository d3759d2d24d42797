"""From token ids to text, one token at a time: never half a character, never a piece of a stop string.

``AnswerText`` follows one row of a generation. What it has ``released`` is final: no later token changes it, so it can
be shown at once. Its ``text`` after ``finish()`` is everything released.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_REPLACEMENT = "\ufffd"


def held_back(text: str, stop: Sequence[str]) -> int:
    """Return how many characters at the end of ``text`` may be the beginning of a stop string."""
    longest = min(len(text), max((len(s) for s in stop), default=1) - 1)
    for size in range(longest, 0, -1):
        if any(s.startswith(text[-size:]) for s in stop):
            return size
    return 0


class AnswerText:
    """Decodes the tokens of one answer as they come and ends it at the first stop string.

    Attributes
    ----------
    stopped
        Whether a stop string has ended the text; it and all that follows are cut off.
    """

    def __init__(self, tokenizer: Any, stop: Sequence[str] = (), *, skip_special_tokens: bool = True) -> None:
        self._tokenizer = tokenizer
        self._stop = tuple(stop)
        self._skip_special_tokens = skip_special_tokens
        self._ids: list[int] = []
        # Ids from _context to _read are decoded as context only: some tokenizers space a token by what precedes it.
        self._context = 0
        self._read = 0
        self._text = ""
        self._released = 0
        self.stopped = False

    @property
    def text(self) -> str:
        """The text so far; may still end in the beginning of a stop string."""
        return self._text

    def push(self, token_id: int) -> str:
        """Add a token and return the text that became final with it, often a word, sometimes nothing."""
        self._ids.append(token_id)
        known = self._decode(self._context, self._read)
        grown = self._decode(self._context, len(self._ids))
        if not grown.endswith(_REPLACEMENT) and len(grown) > len(known):
            self._context, self._read = self._read, len(self._ids)
            self._append(grown[len(known) :])
        return self._release(held_back(self._text, self._stop))

    def finish(self) -> str:
        """Return what was held back; bytes that never became a character show as U+FFFD."""
        if not self.stopped:
            known = self._decode(self._context, self._read)
            self._append(self._decode(self._context, len(self._ids))[len(known) :])
        return self._release(0)

    def _decode(self, begin: int, end: int) -> str:
        text: str = self._tokenizer.decode(
            self._ids[begin:end],
            skip_special_tokens=self._skip_special_tokens,
            clean_up_tokenization_spaces=False,
        )
        return text

    def _append(self, piece: str) -> None:
        if self.stopped:
            return
        # A stop string can only begin in what is not released yet, because its beginnings are held back.
        self._text += piece
        found = [at for s in self._stop if (at := self._text.find(s, self._released)) >= 0]
        if found:
            self._text = self._text[: min(found)]
            self.stopped = True

    def _release(self, keep: int) -> str:
        end = len(self._text) - (0 if self.stopped else keep)
        piece = self._text[self._released : end]
        self._released = max(self._released, end)
        return piece
