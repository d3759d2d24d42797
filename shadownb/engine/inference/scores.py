"""Logits before a token is taken of them, in numpy: penalties and biases added, and what is forbidden left no chance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from shadownb.engine.inference.constraining import Matcher
    from shadownb.engine.inference.options import Sampling

Numbers = npt.NDArray[np.float64]


def changed(
    logits: Numbers,
    sampling: Sampling,
    prompt: Sequence[int],
    answer: Sequence[int],
    stops: Collection[int],
    matcher: Matcher | None,
) -> Numbers:
    """Return the logits of one row that are sampled from, shape (vocabulary,); those that are given stay as they are.

    Parameters
    ----------
    answer
        Its tokens so far: what the presence and frequency penalties count.
    stops
        Tokens that end it.
    """
    scores = logits.copy()
    if sampling.repetition_penalty != 1:
        seen = np.unique(np.asarray([*prompt, *answer], np.int64))
        before, penalty = scores[seen], sampling.repetition_penalty
        scores[seen] = np.where(before < 0, before * penalty, before / penalty)
    if sampling.presence_penalty or sampling.frequency_penalty:
        for token, times in Counter(answer).items():
            scores[token] -= sampling.presence_penalty + sampling.frequency_penalty * times
    for token, bias in sampling.logit_bias:
        if token < len(scores):
            scores[token] += bias
    if sampling.ignore_eos:
        scores[[token for token in stops if token < len(scores)]] = -np.inf
    if matcher is not None:
        scores[~matcher.allowed(len(scores))] = -np.inf
    return scores


def without_unlikely(shares: Numbers, min_p: float) -> Numbers:
    """Return probabilities without those below ``min_p`` times the largest, not made to sum to 1 again."""
    return shares if min_p == 0 else np.where(shares >= min_p * shares.max(), shares, 0.0)


def likeliest(logits: Numbers, count: int) -> list[tuple[int, float]]:
    """Return the ids and natural log-probabilities of the likeliest tokens of a row, likeliest first."""
    scores = logits - logits.max()
    scores -= np.log(np.exp(scores).sum())
    ids = np.argsort(-scores, kind="stable")[:count]
    return [(int(token), float(scores[token])) for token in ids]
