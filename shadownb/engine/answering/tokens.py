"""Log-probabilities of an answer's tokens as texts, for the dialects that show them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection

    from shadownb.engine.inference import Completion

_BROKEN = "\ufffd"
_UNLIKELY = -9999.0  # JSON has no minus infinity; OpenAI's servers send this


@dataclass(frozen=True)
class TokenChance:
    """A token and its log-probability.

    Attributes
    ----------
    top
        The likeliest tokens in its place.
    """

    text: str
    logprob: float
    top: list[TokenChance] = field(default_factory=list)

    def as_chat(self) -> dict[str, Any]:
        """Return it as OpenAI's chat completions and responses have it."""
        return {**self._plain(), "top_logprobs": [each._plain() for each in self.top]}

    def _plain(self) -> dict[str, Any]:
        # A token may be a part of a character, whose bytes no decoded text has.
        coded = None if _BROKEN in self.text else list(self.text.encode())
        return {"token": self.text, "logprob": self.logprob, "bytes": coded}


def chances_of(completion: Completion, tokenizer: Any, hidden: Collection[int]) -> list[TokenChance]:
    """Return the tokens of an answer with their log-probabilities; ``hidden`` are control tokens that are no part of its text."""

    def told(token: int, log_prob: float, top: list[tuple[int, float]] | None = None) -> TokenChance:
        text = tokenizer.decode([token], skip_special_tokens=False, clean_up_tokenization_spaces=False)
        return TokenChance(text, max(log_prob, _UNLIKELY), [told(*each) for each in top or []])

    known = completion.logprobs or []
    tops: list[Any] = completion.top_logprobs or [None] * len(known)
    return [
        told(token, log_prob, top)
        for token, log_prob, top in zip(completion.token_ids, known, tops, strict=False)
        if token not in hidden
    ]
