"""What a method trains on a loaded model, and what stays frozen there and why: a value that backends make and users read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Reach:
    """What is trained and what is not.

    Attributes
    ----------
    trained
        What is trained, in words.
    frozen
        What is not, as (what, why); an empty reason where there is nothing to say.
    notes
        What else is good to know about the trained part.
    missed
        What target_modules means and this method has no adapter for, as (what, why).
    """

    trained: str
    frozen: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    missed: tuple[tuple[str, str], ...] = ()

    @property
    def frozen_words(self) -> str:
        """What is not trained, in one line; an empty string where all is."""
        parts = [f"{what} ({why})" if why else what for what, why in self.frozen]
        return f"frozen: {', '.join(parts)}" if parts else ""

    @property
    def summary(self) -> str:
        """What is trained, and what is good to know about it, in one line."""
        return "; ".join((self.trained, *self.notes))

    def __str__(self) -> str:
        return "; ".join(part for part in (self.summary, self.frozen_words) if part)

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON-compatible values."""
        return {
            "words": str(self),
            "trained": self.trained,
            "frozen": [list(entry) for entry in self.frozen],
            "notes": list(self.notes),
        }
