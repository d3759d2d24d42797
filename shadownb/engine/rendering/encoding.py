"""Text to token ids, piece by piece.

Pieces are encoded on their own, so that a border between them is always a border between tokens. Some tokenizers put a
space before the first piece of a text; later pieces are then encoded behind a line break that is taken off again.
The encoder owns a copy of the fast tokenizer: truncation set by others cannot reach it, and threads do not meet in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from shadownb.engine.rendering.tokenizer import Tokenizer, backend_of

if TYPE_CHECKING:
    import tokenizers

_ANCHOR = "\n"


class Encoder:
    """Encodes pieces of one text with one tokenizer."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._backend = _own_backend(tokenizer)
        self._anchor_ids = self._encode([_ANCHOR])[0]
        behind = self._encode([_ANCHOR + "probe"])[0]
        size = len(self._anchor_ids)
        self._anchored = behind[:size] == self._anchor_ids and behind[size:] != self._encode(["probe"])[0]

    def _encode(self, texts: list[str], *, special: bool = False) -> list[list[int]]:
        if self._backend is not None:
            return [self._backend.encode(text, add_special_tokens=special).ids for text in texts]
        return list(self._tokenizer(texts, add_special_tokens=special, verbose=False)["input_ids"])

    def pieces(self, texts: list[str]) -> list[list[int]]:
        """Return the ids of each piece of a text, without special tokens added."""
        if not texts:
            return []
        if not self._anchored:
            return self._encode(texts)
        encoded = self._encode([texts[0], *(_ANCHOR + text for text in texts[1:])])
        size = len(self._anchor_ids)
        for number, ids in enumerate(encoded[1:], start=1):
            encoded[number] = ids[size:] if ids[:size] == self._anchor_ids else self._encode([texts[number]])[0]
        return encoded

    def document(self, text: str) -> list[int]:
        """Return the ids of a plain text with the tokenizer's own beginning and end, each of them once.

        A text that was rendered before has them already.
        """
        ids, own = self._encode([text], special=True)[0], self._encode([text])[0]
        bos, eos = self._tokenizer.bos_token_id, self._tokenizer.eos_token_id
        if own[:1] == [bos] == ids[:1] and ids[: len(own)] != own:
            ids = ids[1:]
        if own[-1:] == [eos] == ids[-1:] and ids[-len(own) :] != own:
            ids = ids[:-1]
        return ids if eos is None or ids[-1:] == [eos] else [*ids, eos]


def _own_backend(tokenizer: Tokenizer) -> tokenizers.Tokenizer | None:
    shared = backend_of(tokenizer)
    if shared is None:
        return None
    import tokenizers

    try:
        backend = tokenizers.Tokenizer.from_str(shared.to_str())
    except Exception:  # parts written in Python cannot be copied; the shared one then serves
        return None
    backend.no_truncation()
    backend.no_padding()
    return backend
