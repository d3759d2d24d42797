"""What scores answers in the tests of policy gradients; other processes import it by name."""

from __future__ import annotations

from typing import Any


def vowels(prompts: list[Any], completions: list[Any], **columns: Any) -> list[float]:
    """The share of vowels: graded, and an untrained model has some."""
    return [sum(letter in "aeiouAEIOU" for letter in str(said)) / max(1, len(str(said))) for said in completions]


def shortness(prompts: list[Any], completions: list[Any], **columns: Any) -> list[float]:
    """More for shorter answers."""
    return [1.0 - len(str(said)) / 64 for said in completions]
