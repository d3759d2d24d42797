"""Whether an answer fits a regular expression."""

from __future__ import annotations

from typing import Any

from shadownb.engine.scoring.answers import plain
from shadownb.engine.scoring.base import Score
from shadownb.errors import ConfigError

_SECONDS = 1.0  # some patterns take for ever on some texts


class Regex:
    r"""Score 1.0 where a whole answer fits a regular expression.

    Parameters
    ----------
    pattern
        As the package ``regex`` takes it. None: the expected answer is the pattern.
    search
        Let it be enough that a part fits; whoever writes everything fits then.

    Raises
    ------
    ConfigError
        The pattern is none.

    Examples
    --------
    >>> snb.scoring.Regex(r"[A-Z]{2}-[0-9]{3}")("AB-123").value
    1.0
    """

    name: str = "regex"

    def __init__(self, pattern: str | None = None, *, search: bool = False) -> None:
        self.pattern, self.search = pattern, search
        self.needs_expected = pattern is None
        if pattern is not None:
            try:
                _package().compile(pattern)
            except _package().error as error:
                raise ConfigError(
                    f"pattern={pattern!r} is no regular expression: {error}.",
                    fix=r"Escape what is meant as it is, as \. for a dot.",
                ) from None

    def __repr__(self) -> str:
        return f"Regex({self.pattern!r}, search={self.search})"

    def check(self, expected: str) -> None:
        """Raise ValueError where the expected answer is to be the pattern and is none."""
        if self.pattern is None:
            try:
                _package().compile(expected)
            except _package().error as error:
                raise ValueError(f"{expected[:40]!r} is no regular expression: {error}") from None

    def __call__(self, output: str, expected: str = "") -> Score:
        """Return the score of an answer."""
        self.check(expected)
        pattern = self.pattern if self.pattern is not None else expected
        find = _package().search if self.search else _package().fullmatch
        try:
            found = find(pattern, plain(output), timeout=_SECONDS)
        except TimeoutError:
            return Score(None, f"the pattern took longer than {_SECONDS:g} s")
        return Score(float(found is not None), f"{'fits' if found else 'does not fit'} {pattern[:60]!r}")


def _package() -> Any:
    """Return the package, which takes 30 ms to import."""
    import regex

    return regex
