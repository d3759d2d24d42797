"""The contract every scorer follows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True)
class Score:
    """The verdict on one model output.

    Attributes
    ----------
    value : float
        From 0.0 (wrong) to 1.0 (right).
    reason : str
        One line that says why, fit to be shown next to the output.
    """

    value: float
    reason: str


@runtime_checkable
class Scorer(Protocol):
    """Anything that can judge an output against an expected answer.

    Attributes
    ----------
    name : str
        Short identifier, used as a column title in reports.
    """

    @property
    def name(self) -> str:
        """Short identifier, used as a column title in reports."""
        ...

    def __call__(self, output: str, expected: str, prompt: str | None = None) -> Score:
        """Judge one output.

        Parameters
        ----------
        output : str
            What the model wrote, unchanged.
        expected : str
            The reference answer.
        prompt : str or None, optional
            The message that was answered, for scorers that need it.

        Returns
        -------
        Score
            The value and the reason for it.
        """
        ...
