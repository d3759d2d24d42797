"""Tokens from logits in numpy, for backends that have no sampler of their own: the rule of the torch backend's, draw by draw.

A row's token is where its number falls in the distribution (:mod:`.draws`), so that a seed gives the same answer on every backend,
as far as the rounding of logits goes. It goes through a vocabulary once a token, which is little beside the pass that made it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from shadownb.engine.inference.options import Sampling
from shadownb.engine.inference.rows import Row

Numbers = npt.NDArray[Any]

_TRIES = 3  # of drawing from all tokens what top_p keeps; one fails by a chance of at most 1 - top_p


class Sampler:
    """Takes a token for each row, with the options in transformers' order: penalties, temperature, top_k, top_p, min_p.

    What a row's form forbids has no chance from the beginning.
    """

    def __init__(self, sampling: Sampling) -> None:
        self._sampling = sampling

    def take(self, rows: Sequence[Row], logits: Numbers) -> tuple[list[int], list[float | None]]:
        """Return each row's next token and, where asked for, its log-probability in the model's own distribution.

        Parameters
        ----------
        logits
            As the model gives them, in 32 bits, shape (rows, vocabulary); stay as they are.
        """
        tokens: list[int] = []
        known: list[float | None] = []
        asked = self._sampling
        for row, own in zip(rows, logits, strict=True):
            tokens.append(self._token(row, own))
            known.append(None)
            if asked.logprobs or asked.top_logprobs:
                total = log_total(own)
                known[-1] = min(0.0, float(own[tokens[-1]]) - total)
                if row.tops is not None:
                    best = _likeliest(own, min(asked.top_logprobs, len(own)))
                    row.tops.append([(int(token), min(0.0, float(own[token]) - total)) for token in best])
        return tokens, known

    def _token(self, row: Row, logits: Numbers) -> int:
        scores = self._changed(row, logits)
        if self._sampling.greedy:
            return int(np.argmax(scores))
        if self._sampling.temperature != 1:
            scores = scores / np.float32(self._sampling.temperature)
        return self._drawn(row, scores, row.draws.random())

    def _changed(self, row: Row, logits: Numbers) -> Numbers:
        """Return the logits that are sampled from: penalties and biases added, and what is forbidden left no chance."""
        asked, size = self._sampling, len(logits)
        counted = asked.presence_penalty != 0 or asked.frequency_penalty != 0
        bound = row.matcher is not None and row.reason is None
        if not (asked.repetition_penalty != 1 or counted or asked.logit_bias or asked.ignore_eos or bound):
            return logits
        scores = logits.copy()
        if asked.repetition_penalty != 1:
            seen, penalty = np.array([*row.prompt, *row.ids]), asked.repetition_penalty
            scores[seen] = np.where(logits[seen] < 0, logits[seen] * penalty, logits[seen] / penalty)
        if counted:
            for token, times in Counter(row.ids).items():
                scores[token] -= asked.presence_penalty + asked.frequency_penalty * times
        for token, bias in asked.logit_bias:
            if token < size:
                scores[token] += bias
        if asked.ignore_eos:
            scores[[token for token in row.stop_ids if token < size]] = -np.inf
        if bound and row.matcher is not None:
            scores[~row.matcher.allowed(size)] = -np.inf
        return scores

    def _drawn(self, row: Row, scores: Numbers, luck: float) -> int:
        top_k, top_p = min(self._sampling.top_k, len(scores)), self._sampling.top_p
        if top_k:
            best = _likeliest(scores, top_k)
            return _from_likeliest(self._likely(shares_of(scores[best])), best, top_p, luck)
        shares = self._likely(shares_of(scores))
        found = at_share(shares, luck)
        if top_p == 1:
            return found
        for _ in range(
            _TRIES
        ):  # a token drawn from all is one of the nucleus where what is likelier holds less than top_p
            if shares[shares > shares[found]].sum(dtype=np.float64) < top_p:
                return found
            found = at_share(shares, row.draws.random())
        order = np.argsort(-shares, kind="stable")
        return _from_likeliest(shares[order], order, top_p, row.draws.random())

    def _likely(self, shares: Numbers) -> Numbers:
        """Return shares without those that min_p leaves out."""
        min_p = self._sampling.min_p
        return shares if min_p == 0 else np.where(shares >= min_p * shares.max(), shares, 0)


def shares_of(scores: Numbers) -> Numbers:
    """Return the softmax, shape (vocabulary,)."""
    found = np.exp(scores - scores.max())
    return np.asarray(found / found.sum(dtype=np.float64).astype(found.dtype))


def log_total(logits: Numbers) -> float:
    """Return the logarithm of the sum of exponentials, in 64 bits."""
    most = logits.max()
    return float(most) + float(np.log(np.exp(logits - most).sum(dtype=np.float64)))


def at_share(shares: Numbers, luck: float) -> int:
    """Return in which token a number from [0, 1) falls; tokens lie in the order of their ids, and one with no share is never it."""
    return _place(shares.astype(np.float64), luck)


def _from_likeliest(shares: Numbers, tokens: Numbers, top_p: float, luck: float) -> int:
    """Draw from the likeliest tokens that together hold ``top_p``; shares are those of ``tokens``, likeliest first."""
    exact = shares.astype(np.float64)
    kept = np.where(exact.cumsum() - exact < top_p, exact, 0)
    return int(tokens[_place(kept, luck)])


def _likeliest(scores: Numbers, count: int) -> Numbers:
    """Return the ids of the ``count`` likeliest tokens, likeliest first."""
    found = np.argpartition(scores, -count)[-count:]
    return np.asarray(found[np.lexsort((found, -scores[found]))])


def _place(shares: Numbers, luck: float) -> int:
    ends = shares.cumsum()
    return int(np.searchsorted(ends, min(luck * ends[-1], np.nextafter(ends[-1], 0.0)), side="right"))
