"""Unit: one fact, or a few that belong together, with all that it is found by."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field
from typing import Any

from shadownb.engine.routing.words import telling
from shadownb.errors import DataError

MOST_CHARACTERS = 2000  # of a question and its answer; more is a document, of which one expert keeps little


@dataclass(frozen=True)
class Fact:
    """One question and its answer, and where that is from."""

    question: str
    answer: str
    source: str = ""


@dataclass(frozen=True)
class Unit:
    """What one expert knows; every fact in it can be asked for.

    Attributes
    ----------
    id
        Of its content, so that the same facts are the same unit everywhere.
    """

    facts: tuple[Fact, ...]
    id: str = field(default="")

    def __post_init__(self) -> None:
        if not self.id:
            said = "\x1f".join(f"{fact.question}\x1e{fact.answer}" for fact in self.facts)
            object.__setattr__(self, "id", hashlib.sha256(said.encode()).hexdigest()[:12])

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON-compatible values."""
        return {"id": self.id, "facts": [asdict(fact) for fact in self.facts]}

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Unit:
        """Return the unit that :meth:`to_dict` wrote."""
        return cls(tuple(Fact(**fact) for fact in content["facts"]), content["id"])


def check(fact: Fact) -> None:
    """Refuse a fact that could not be found or said.

    Raises
    ------
    DataError
        Its question has no word to be found by, it has no answer, or it is too long.
    """
    if not telling(fact.question):
        raise DataError(
            f"The question {fact.question[:60]!r} has no word to be found by.", fix="Name in it what the fact is about."
        )
    if not fact.answer.strip():
        raise DataError(f"The question {fact.question[:60]!r} has no answer.", fix="Give one, or leave the fact out.")
    size = len(fact.question) + len(fact.answer)
    if size > MOST_CHARACTERS:
        raise DataError(
            f"The fact {fact.question[:60]!r} has {size:,} characters, more than the {MOST_CHARACTERS:,} of one expert.",
            fix="Split it into facts that can each be asked for.",
        )
