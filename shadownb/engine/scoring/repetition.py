"""How little a completion repeats itself."""

from __future__ import annotations

from collections.abc import Sequence

from shadownb.engine.scoring.base import Score
from shadownb.errors import ConfigError

_WORD = 40  # characters; a longer "word" is looked into, since repetition needs no spaces


class Repetition:
    """The share of n-grams of words that are different: 1.0 where nothing stands twice, near 0.0 for a loop, 0.0 for nothing.

    It looks at all that the model wrote, reasoning too. Meant to be weighed with a scorer of what the answer says.

    Parameters
    ----------
    n
        Words of an n-gram.

    Examples
    --------
    >>> snb.scoring.Repetition()("on and on and on and on").value
    0.4
    """

    name: str = "repetition"

    def __init__(self, n: int = 3) -> None:
        if n < 1:
            raise ConfigError(f"n={n} makes no n-gram.", fix="Give at least 1.")
        self.n = n

    def __repr__(self) -> str:
        return f"Repetition({self.n})"

    def __call__(self, output: str, expected: str = "", *, completion: str = "") -> Score:
        """Return the score of a completion."""
        words = (completion or output).casefold().split()
        if not words:
            return Score(0.0, "it has no words")
        shares = [_distinct(words, self.n), *(_distinct(word, 8) for word in words if len(word) > _WORD)]
        return Score(min(shares), f"{min(shares):.0%} of what it says it says once")


def _distinct(parts: Sequence[str], size: int) -> float:
    grams = [tuple(parts[at : at + size]) for at in range(len(parts) - size + 1)]
    return len(set(grams)) / len(grams) if grams else 1.0
