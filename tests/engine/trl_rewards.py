"""What judges answers in the tests of trl's trainers; a reward has to be importable."""

from __future__ import annotations

from typing import Any


def shortness(prompts: list[Any], completions: list[Any], **columns: Any) -> list[float]:
    """More for shorter answers."""
    return [-len(str(completion)) / 100 for completion in completions]


def names_the_colour(prompts: list[Any], completions: list[Any], colour: list[str], **columns: Any) -> list[float]:
    """One where the answer has the row's colour."""
    return [float(word in str(completion)) for completion, word in zip(completions, colour, strict=True)]
