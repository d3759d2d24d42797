"""Several scorers as one: the weighted mean of what they say."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from shadownb.engine.scoring.asking import Scoring
from shadownb.engine.scoring.base import Sample, Score
from shadownb.errors import ConfigError

Part = str | Callable[..., Any] | Scoring


class Weighted:
    """The weighted mean of several scorers: sum of weight × score over the sum of the absolute weights.

    With weights of one sign the result stays between the least and the greatest of the parts, so that 1.0 is still right.

    Parameters
    ----------
    parts
        ``{scorer: weight}``, a list of pairs (scorer, weight), or a list of scorers that weigh the same. A weight below zero
        takes off, as for length.

    Raises
    ------
    ConfigError
        No part, or a weight that is 0 or no finite number.

    Examples
    --------
    >>> from shadownb.engine.scoring import Exact, Weighted
    >>> Weighted([(Exact(), 3.0), ("repetition", 1.0)])
    Weighted(exact=3, repetition=1)
    """

    def __init__(self, parts: Mapping[Any, float] | Sequence[Any]) -> None:
        pairs = list(parts.items()) if isinstance(parts, Mapping) else [_pair(part) for part in parts]
        if not pairs:
            raise ConfigError("Weighted([]) has no scorer.", fix="Give {scorer: weight}, for example {'exact': 1.0}.")
        for part, weight in pairs:
            if (
                isinstance(weight, bool)
                or not isinstance(weight, int | float)
                or not math.isfinite(weight)
                or not weight
            ):
                raise ConfigError(
                    f"The weight of {part!r} is {weight!r}.", fix="Give a finite number that is not 0, or leave it out."
                )
        self.parts = tuple(
            (part if isinstance(part, Scoring) else Scoring(part), float(weight)) for part, weight in pairs
        )
        self.needs_expected = any(scoring.needs_expected for scoring, _ in self.parts)
        self.name = " + ".join(f"{weight:g} {scoring.name}" for scoring, weight in self.parts)

    def __repr__(self) -> str:
        return f"Weighted({', '.join(f'{scoring.name}={weight:g}' for scoring, weight in self.parts)})"

    def check(self, expected: str) -> None:
        """Raise ValueError where a part cannot compare with this expected answer."""
        for scoring, _ in self.parts:
            refusal = scoring.refusal(expected)
            if refusal is not None:
                raise ValueError(f"{scoring.name}: {refusal}")

    def __call__(self, output: str, expected: str, **shown: Any) -> Score:
        """Return the mean, and in the reason what each part said; None where one part has no verdict."""
        sample = Sample(output, expected, **shown)
        return self._mean([scoring.score(sample) for scoring, _ in self.parts])

    def score_many(self, samples: Sequence[Sample], *, timeout: float | None = None) -> list[Score]:
        """Return the means; each part is asked about all samples, as it takes them."""
        by_part = [scoring.score_many(samples, timeout=timeout) for scoring, _ in self.parts]
        return [self._mean(scores) for scores in zip(*by_part, strict=True)]

    def _mean(self, scores: Sequence[Score]) -> Score:
        found = [(score, weight, scoring.name) for score, (scoring, weight) in zip(scores, self.parts, strict=True)]
        missing = next(((score, name) for score, _, name in found if score.value is None), None)
        if missing is not None:
            return Score(None, f"{missing[1]}: {missing[0].reason}")
        total = sum(weight * score.value for score, weight, _ in found if score.value is not None)
        mean = total / sum(abs(weight) for _, weight, _ in found)
        return Score(mean, "; ".join(f"{name} {score.value:.2g}: {score.reason}" for score, _, name in found))


def _pair(part: Any) -> tuple[Any, float]:
    return (part[0], part[1]) if isinstance(part, tuple | list) and len(part) == 2 else (part, 1.0)
