"""Log-probabilities of an answer's tokens as texts, for the dialects that show them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from shadownb.engine.inference import Completion

_BROKEN = "\ufffd"
_UNLIKELY = -9999.0  # JSON has no minus infinity; OpenAI's servers send this


@dataclass(frozen=True)
class TokenChance:
    """A token and its log-probability.

    Attributes
    ----------
    logprob
        None of the first token of a prompt, which nothing stands before.
    top
        The likeliest tokens in its place.
    """

    text: str
    logprob: float | None
    top: list[TokenChance] = field(default_factory=list)

    def as_chat(self) -> dict[str, Any]:
        """Return it as OpenAI's chat completions and responses have it."""
        return {**self._plain(), "top_logprobs": [each._plain() for each in self.top]}

    def _plain(self) -> dict[str, Any]:
        # A token may be a part of a character, whose bytes no decoded text has.
        coded = None if _BROKEN in self.text else list(self.text.encode())
        return {"token": self.text, "logprob": self.logprob, "bytes": coded}


def chances_of(
    completion: Completion, tokenizer: Any, hidden: Collection[int], *, as_ids: bool = False
) -> list[TokenChance]:
    """Return the tokens of an answer with their log-probabilities; ``hidden`` are control tokens that are no part of its text."""
    known = completion.logprobs or []
    tops: list[Any] = completion.top_logprobs or [None] * len(known)
    return [
        _told(tokenizer, as_ids, token, log_prob, top)
        for token, log_prob, top in zip(completion.token_ids, known, tops, strict=False)
        if token not in hidden
    ]


def chances_of_prompt(
    ids: Sequence[int], logs: Iterable[Any], top: int, tokenizer: Any, *, as_ids: bool = False
) -> list[TokenChance]:
    """Return the tokens of a prompt with their log-probabilities.

    Parameters
    ----------
    logs
        At each token but the first the log-probabilities of the whole vocabulary.
    top
        Of how many of the likeliest tokens to tell in each place.
    """
    found = [_told(tokenizer, as_ids, ids[0], None)] if ids else []
    for token, at in zip(ids[1:], logs, strict=True):
        likeliest = [(int(n), float(at[n])) for n in (-at).argsort(kind="stable")[:top]] if top else None
        found.append(_told(tokenizer, as_ids, token, float(at[token]), likeliest))
    return found


def _told(
    tokenizer: Any, as_ids: bool, token: int, log_prob: float | None, top: list[tuple[int, float]] | None = None
) -> TokenChance:
    if as_ids:
        text = f"token_id:{token}"
    else:
        text = tokenizer.decode([token], skip_special_tokens=False, clean_up_tokenization_spaces=False)
    known = None if log_prob is None else max(log_prob, _UNLIKELY)
    return TokenChance(text, known, [_told(tokenizer, as_ids, *each) for each in top or []])
