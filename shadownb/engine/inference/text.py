"""From token ids to text, one token at a time: never half a character, never a piece of a stop string.

``AnswerText`` follows one row of a generation. What it has ``released`` is final: no later token changes it, so it can
be shown at once. Its ``text`` after ``finish()`` is everything released.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from shadownb.engine.replies.texts import held_back

_REPLACEMENT = "\ufffd"


class AnswerText:
    """Decodes the tokens of one answer as they come and ends it at the first stop string.

    Parameters
    ----------
    dropped
        Ids of control tokens that are no part of the text. Others stay in it: reasoning and calls stand between them.

    Attributes
    ----------
    stop_string
        The stop string that has ended the text; it and all that follows are cut off. None while there is none.
    """

    def __init__(self, tokenizer: Any, stop: Sequence[str] = (), *, dropped: Collection[int] = ()) -> None:
        self._tokenizer = tokenizer
        self._stop = tuple(stop)
        self._dropped = dropped
        self._ids: list[int] = []
        # Ids from _context to _read are decoded as context only: some tokenizers space a token by what precedes it.
        self._context = 0
        self._read = 0
        self._text = ""
        self._released = 0
        self.stop_string: str | None = None

    @property
    def stopped(self) -> bool:
        """Whether a stop string has ended the text."""
        return self.stop_string is not None

    @property
    def text(self) -> str:
        """The text so far; may still end in the beginning of a stop string."""
        return self._text

    def push(self, token_id: int) -> str:
        """Add a token and return the text that became final with it, often a word, sometimes nothing."""
        if token_id in self._dropped:
            return ""
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
            skip_special_tokens=False,
            clean_up_tokenization_spaces=False,
        )
        return text

    def _append(self, piece: str) -> None:
        if self.stopped:
            return
        # A stop string can only begin in what is not released yet, because its beginnings are held back.
        self._text += piece
        found = [(at, s) for s in self._stop if (at := self._text.find(s, self._released)) >= 0]
        if found:
            at, self.stop_string = min(found)
            self._text = self._text[:at]

    def _release(self, keep: int) -> str:
        end = len(self._text) - (0 if self.stopped else keep)
        piece = self._text[self._released : end]
        self._released = max(self._released, end)
        return piece
