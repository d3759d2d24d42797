"""Whether an answer has the tags that it should have."""

from __future__ import annotations

import re
from collections.abc import Sequence

from shadownb.engine.scoring.base import Score
from shadownb.errors import ConfigError


class Tags:
    """Score 1.0 where a completion is made of these tags: each once, closed, in this order, with something in it, and nothing else.

    It looks at all that the model wrote, reasoning too. What is in the tags is not judged: beside it there has to be a scorer
    that does.

    Parameters
    ----------
    names
        The tags, in order.
    alone
        False lets text stand around them.

    Examples
    --------
    >>> snb.scoring.Tags()("<think>6 x 7</think><answer>42</answer>").value
    1.0
    """

    name: str = "tags"

    def __init__(self, names: Sequence[str] = ("think", "answer"), *, alone: bool = True) -> None:
        if isinstance(names, str) or not names or not all(re.fullmatch(r"[\w:.-]+", name) for name in names):
            raise ConfigError(f"names={names!r} are no tags.", fix="Give their names in a list: ['think', 'answer'].")
        self.names, self.alone = tuple(names), alone

    def __repr__(self) -> str:
        return f"Tags({list(self.names)}, alone={self.alone})"

    def __call__(self, output: str, expected: str = "", *, completion: str = "") -> Score:
        """Return the score of a completion."""
        text = completion or output
        for name in self.names:
            opened, closed = text.count(f"<{name}>"), text.count(f"</{name}>")
            if (opened, closed) != (1, 1):
                return Score(0.0, f"<{name}> is opened {opened} times and closed {closed} times")
        between = r"\s*" if self.alone else ".*?"
        body = between.join(rf"<{re.escape(name)}>(.*?)</{re.escape(name)}>" for name in self.names)
        found = (re.fullmatch if self.alone else re.search)(rf"\s*{body}\s*", text, re.S)
        if found is None:
            return Score(0.0, "other text, or another order")
        empty = next(
            (name for name, inside in zip(self.names, found.groups(), strict=True) if not re.search(r"\w", inside)),
            None,
        )
        return Score(1.0, "as it should be") if empty is None else Score(0.0, f"<{empty}> is empty")
