"""From logits to a token, by the same rules as the torch backend: penalty, temperature, top-k, top-p, then a draw of the row's own.

The draw adds Gumbel noise from a private generator to the scores and takes the largest, so that a seed gives the same answer in any
thread and beside any other prompts, and base and tuned weights share their luck. It is done in numpy: a vocabulary once a token.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt

from shadownb.engine.inference.constraining import Matcher
from shadownb.engine.inference.scores import changed
from shadownb.engine.inference.types import Sampling
from shadownb.engine.seeds import derived_seed

Numbers = npt.NDArray[np.float64]


class Sampler:
    """Picks the tokens of one prompt.

    Parameters
    ----------
    stops
        Tokens that end the answer.
    matcher
        Follows the form that the answer has to have; None where it is free.
    """

    def __init__(
        self,
        sampling: Sampling,
        seed: int,
        number: int,
        prompt: Sequence[int],
        stops: Collection[int] = (),
        matcher: Matcher | None = None,
    ) -> None:
        self._sampling = sampling
        self._draw = np.random.default_rng(derived_seed(seed, number))
        self._prompt, self._answer = list(prompt), list[int]()
        self._stops, self._matcher = list(stops), matcher

    def take(self, logits: Numbers) -> int:
        """Return a token, given the logits of shape (vocabulary,)."""
        scores = changed(logits, self._sampling, self._prompt, self._answer, self._stops, self._matcher)
        if not self._sampling.greedy:
            scores = self._noisy(self._kept(scores / self._sampling.temperature))
        token = int(np.argmax(scores))
        self._answer.append(token)
        return token

    def _kept(self, scores: Numbers) -> Numbers:
        if 0 < self._sampling.top_k < len(scores):
            least = np.partition(scores, -self._sampling.top_k)[-self._sampling.top_k]
            scores = np.where(scores < least, -np.inf, scores)
        if self._sampling.top_p < 1:
            order = np.argsort(scores, kind="stable")
            chances = np.exp(scores[order] - scores[order[-1]])
            held = np.cumsum(chances / chances.sum())
            out = held <= 1 - self._sampling.top_p
            out[-1] = False
            scores = scores.copy()
            scores[order[out]] = -np.inf
        if self._sampling.min_p:
            scores = np.where(scores < scores.max() + np.log(self._sampling.min_p), -np.inf, scores)
        return scores

    def _noisy(self, scores: Numbers) -> Numbers:
        noise = self._draw.standard_exponential(len(scores))
        found: Numbers = scores - np.log(noise)
        return found


def log_probability(logits: Numbers, token: int) -> float:
    """Return the log-probability of a token in the model's own distribution, in nats."""
    most = float(logits.max())
    return min(0.0, float(logits[token]) - most - float(np.log(np.exp(logits - most).sum())))
