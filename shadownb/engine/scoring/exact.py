"""Exact comparison of texts, apart from case and white space unless told otherwise."""

from __future__ import annotations

from typing import Any

from shadownb.engine.scoring.base import Score


class Exact:
    r"""Scores 1.0 if the output is the expected text, else 0.0.

    Parameters
    ----------
    ignore_case
        Whether case makes no difference.
    ignore_spaces
        Whether runs of white space count as one blank, and are ignored at both ends.

    Examples
    --------
    >>> score = snb.Exact()
    >>> score(" Billing\n", "billing").value
    1.0
    >>> score("billing, I think", "billing").value
    0.0
    >>> snb.Exact(ignore_case=False)("Billing", "billing").value
    0.0
    """

    name: str = "exact"

    def __init__(self, *, ignore_case: bool = True, ignore_spaces: bool = True) -> None:
        self.ignore_case = ignore_case
        self.ignore_spaces = ignore_spaces

    def __repr__(self) -> str:
        return f"Exact(ignore_case={self.ignore_case}, ignore_spaces={self.ignore_spaces})"

    def __call__(self, output: str, expected: Any, prompt: str | None = None) -> Score:
        """Return the score of an output; ``prompt`` is not looked at."""
        got, wanted = self._plain(output), self._plain(str(expected))
        if got == wanted:
            return Score(1.0, "the same text")
        at = next((n for n, (a, b) in enumerate(zip(got, wanted, strict=False)) if a != b), min(len(got), len(wanted)))
        return Score(0.0, f"differs at character {at}: {got[at : at + 30]!r}, expected {wanted[at : at + 30]!r}")

    def _plain(self, text: str) -> str:
        text = " ".join(text.split()) if self.ignore_spaces else text
        return text.casefold() if self.ignore_case else text
