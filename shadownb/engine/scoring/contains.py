"""Whether the expected text stands in an answer."""

from __future__ import annotations

import re
from collections.abc import Sequence

from shadownb.engine.scoring.answers import plain
from shadownb.engine.scoring.base import Score
from shadownb.errors import ConfigError

_DENIED = re.compile(r"(?i)(?:\b(?:not|never|neither|nor)|n['’]t)\s+(?:an?\s+|the\s+)?\W*$")


class Contains:
    """Score 1.0 where the expected text stands in the answer, as whole words, apart from case and white space, and
    no "not" stands directly before it.

    Whoever names everything names what is right: without ``options`` an answer that lists all of them scores 1.0.

    Parameters
    ----------
    options
        All answers that there may be, such as the labels of a classification. Where another of them stands in the answer, too, the
        score is 0.0.
    whole_words
        False finds the text inside of words, as in languages that put no space between them.
    ignore_case
        Compare without regard to case.

    Examples
    --------
    >>> snb.scoring.Contains(options=["red", "blue"])("It is red.", "red").value
    1.0
    >>> snb.scoring.Contains(options=["red", "blue"])("red or blue", "red")
    Score(value=0.0, reason="'blue' stands in it as well")
    """

    name: str = "contains"

    def __init__(self, *, options: Sequence[str] = (), whole_words: bool = True, ignore_case: bool = True) -> None:
        if isinstance(options, str):
            raise ConfigError(f"options={options!r} is one text.", fix=f"Give a list: options=[{options!r}, ...].")
        self.options, self.whole_words, self.ignore_case = tuple(options), whole_words, ignore_case

    def __repr__(self) -> str:
        return f"Contains(options={list(self.options)})"

    def check(self, expected: str) -> None:
        """Raise ValueError where there is nothing to look for."""
        if not self._words(expected):
            raise ValueError("nothing is expected, and every answer contains that")

    def __call__(self, output: str, expected: str) -> Score:
        """Return the score of an answer."""
        self.check(expected)
        text, wanted = self._words(plain(output)), self._words(expected)
        found = [match.start() for match in re.finditer(self._pattern(wanted), text)]
        if not found:
            return Score(0.0, f"{expected[:40]!r} does not stand in it")
        if all(_DENIED.search(text[:start]) for start in found):
            return Score(0.0, f"{expected[:40]!r} is denied")
        # An option that is part of the expected one, as "red" of "dark red", stands there with it.
        rest = re.sub(self._pattern(wanted), " ", text)
        others = [option for option in self.options if self._words(option) != wanted]
        other = next(
            (option for option in others if self._words(option) and self._stands(self._words(option), rest)), None
        )
        return Score(1.0, "it stands in it") if other is None else Score(0.0, f"{other[:40]!r} stands in it as well")

    def _stands(self, wanted: str, text: str) -> bool:
        return re.search(self._pattern(wanted), text) is not None

    def _pattern(self, wanted: str) -> str:
        return rf"(?<!\w){re.escape(wanted)}(?!\w)" if self.whole_words else re.escape(wanted)

    def _words(self, text: str) -> str:
        text = " ".join(text.split())
        return text.casefold() if self.ignore_case else text
