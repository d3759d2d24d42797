"""From logits to a token, by the torch backend's rules and with its luck, so that a seed gives the same answer on both.

Rounding apart: penalties, temperature, top_k, top_p; then one uniform number of the row's own says where in the distribution
its token lies (:mod:`shadownb.engine.inference.draws`).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from shadownb.engine.inference.rows import Row
from shadownb.engine.inference.scores import changed, likeliest, without_unlikely
from shadownb.engine.inference.types import Sampling

_TRIES = 3  # of drawing from all tokens what top_p keeps, as torch's sampler has it: the draws are the same ones
Numbers = npt.NDArray[np.float64]


def take(logits: npt.NDArray[np.float32], row: Row) -> tuple[int, float | None]:
    """Return a row's next token and, where asked for, its log-probability in nats in the model's own distribution.

    Parameters
    ----------
    logits
        Shape (vocabulary,).
    """
    own, sampling = logits.astype(np.float64), row.sampling
    scores = changed(own, sampling, row.prompt, row.ids, row.stop_ids, row.matcher)
    token = int(scores.argmax()) if sampling.greedy else _drawn(scores / sampling.temperature, sampling, row.draws)
    if row.tops is not None:
        row.tops.append(likeliest(own, sampling.top_logprobs))
    return token, log_probability(logits, token) if sampling.logprobs else None


def log_probability(logits: npt.NDArray[np.float32], token: int) -> float:
    """Return the log-probability of a token, in nats."""
    return float(log_probabilities(logits[None])[0, token])


def log_probabilities(logits: npt.NDArray[np.float32]) -> Numbers:
    """Return log-probabilities in nats, shape (rows, vocabulary)."""
    scores = logits.astype(np.float64)
    scores -= scores.max(-1, keepdims=True)
    found: Numbers = scores - np.log(np.exp(scores).sum(-1, keepdims=True))
    return found


def _drawn(scores: Numbers, sampling: Sampling, draws: np.random.Generator) -> int:
    if 0 < sampling.top_k < len(scores):
        best = np.argsort(-scores, kind="stable")[: sampling.top_k]
        shares = without_unlikely(_shares(scores[best]), sampling.min_p)
        return _nucleus(shares, best, sampling.top_p, draws.random())
    shares = without_unlikely(_shares(scores), sampling.min_p)
    if sampling.top_p == 1:
        return _place(shares, draws.random())
    for _ in range(_TRIES + 1):
        token = _place(shares, draws.random())
        if shares[shares > shares[token]].sum() < sampling.top_p:
            return token
    best = np.argsort(-shares, kind="stable")
    return _nucleus(shares[best], best, sampling.top_p, draws.random())


def _shares(scores: Numbers) -> Numbers:
    found: Numbers = np.exp(scores - scores.max())
    found /= found.sum()
    return found


def _nucleus(shares: Numbers, tokens: npt.NDArray[np.int64], top_p: float, luck: float) -> int:
    """Draw from the likeliest tokens that together hold ``top_p``; likeliest first."""
    kept = np.where(np.cumsum(shares) - shares < top_p, shares, 0.0)
    return int(tokens[_place(kept, luck)])


def _place(shares: Numbers, luck: float) -> int:
    """Return in which token the number falls; one without a share is never returned."""
    ends = np.cumsum(shares)
    target = min(luck * ends[-1], np.nextafter(ends[-1], 0.0))
    return int(np.searchsorted(ends, target, side="right"))
