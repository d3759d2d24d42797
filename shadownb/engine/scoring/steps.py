"""How many steps of reasoning a completion shows."""

from __future__ import annotations

import re

from shadownb.engine.scoring.base import Score
from shadownb.errors import ConfigError

_WORDS = "first|second|third|fourth|next|then|finally|therefore"
_BEGIN = re.compile(
    rf"^[ \t]*(?:<\w+>[ \t]*)?(?:(?:\*\*|#+[ \t]*)?step[ \t]*\d+\b[:.)]?|\d{{1,2}}[.)]|[-*•]|(?:{_WORDS})\b,?)",
    re.I | re.M,
)


class ReasoningSteps:
    """Score the share of ``target`` steps that a completion shows.

    A step begins a line: "Step 2", "3.", a bullet, or "First", "Next", "Finally". It counts where it has ``min_words`` words
    that no step before had in the same order. Whether the steps are right is not judged: beside it there has to be a scorer
    that does.

    Parameters
    ----------
    target
        So many steps are enough.
    min_words
        Words that make a step.

    Examples
    --------
    >>> snb.scoring.ReasoningSteps(2)("1. Read what is asked for here.\\n2. Add both of the numbers up.").value
    1.0
    """

    name: str = "reasoning_steps"

    def __init__(self, target: int = 3, *, min_words: int = 5) -> None:
        if target < 1 or min_words < 1:
            raise ConfigError(f"target={target}, min_words={min_words}.", fix="Give at least 1 of each.")
        self.target, self.min_words = target, min_words

    def __repr__(self) -> str:
        return f"ReasoningSteps({self.target}, min_words={self.min_words})"

    def __call__(self, output: str, expected: str = "", *, completion: str = "") -> Score:
        """Return the score of a completion."""
        text = completion or output
        begins = [match.span() for match in _BEGIN.finditer(text)]
        ends = [*[start for start, _ in begins], len(text)][1:]
        steps = {self._content(text[begin:end]) for (_, begin), end in zip(begins, ends, strict=True)} - {()}
        return Score(min(1.0, len(steps) / self.target), f"{len(steps)} steps of {self.target}")

    def _content(self, step: str) -> tuple[str, ...]:
        words = re.findall(r"[^\W_]+", step.split("\n\n", 1)[0].casefold())
        # The same word again and again is no step.
        return tuple(words) if len(set(words)) >= self.min_words else ()
