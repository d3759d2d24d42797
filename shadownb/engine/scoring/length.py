"""Whether an answer is as long as it should be."""

from __future__ import annotations

from shadownb.engine.scoring.answers import plain
from shadownb.engine.scoring.base import Score
from shadownb.errors import ConfigError


class Length:
    """Score 1.0 where an answer has a length within bounds, less the further it is outside, and 0.0 where it is empty.

    Below ``low`` the score falls in proportion, above ``high`` it falls to 0.0 at twice as much. What it says is not judged:
    beside it there has to be a scorer that does.

    Parameters
    ----------
    low, high
        Bounds. None of both: from half of the expected answer's length to twice as much.
    unit
        ``words`` or ``characters``.

    Raises
    ------
    ConfigError
        The bounds are none, or there is no such unit.

    Examples
    --------
    >>> snb.scoring.Length(2, 4)("one two three four five six").value
    0.5
    """

    name: str = "length"

    def __init__(self, low: int | None = None, high: int | None = None, *, unit: str = "words") -> None:
        if unit not in ("words", "characters"):
            raise ConfigError(f"unit={unit!r} is none.", fix="words or characters.")
        if (low is not None and low < 0) or (high is not None and high < max(1, low or 0)):
            raise ConfigError(f"low={low}, high={high} are no bounds.", fix="Give 0 <= low <= high.")
        self.low, self.high, self.unit = low, high, unit
        self.needs_expected = low is None and high is None

    def __repr__(self) -> str:
        return f"Length({self.low}, {self.high}, unit={self.unit!r})"

    def __call__(self, output: str, expected: str = "") -> Score:
        """Return the score of an answer."""
        long, low, high = self._measured(output), self.low, self.high
        if low is None and high is None:
            if not self._measured(expected):
                return Score(None, "neither bounds nor an expected answer")
            low, high = (self._measured(expected) + 1) // 2, 2 * self._measured(expected)
        reason = f"{long} {self.unit}, meant are {low or 1} to {high if high is not None else 'any number'}"
        if long == 0:
            return Score(0.0, reason)
        if long < (low or 0):
            return Score(long / (low or 1), reason)
        return Score(1.0 if high is None or long <= high else max(0.0, 2 - long / high), reason)

    def _measured(self, text: str) -> int:
        text = plain(text)
        return len(text.split()) if self.unit == "words" else len(text)
