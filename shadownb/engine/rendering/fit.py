"""How well a template fits a data set: what it refuses, what it leaves out, and which turns it never offers as a reply."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from shadownb.engine.rendering.drops import CODES, WORDS

if TYPE_CHECKING:
    from shadownb.engine.rendering.drops import Kind
    from shadownb.engine.rendering.examples import Example
    from shadownb.errors import DataError

_BUNDLED = (
    "on_template_drop='bundled' has it written by a bundled template; on_template_drop='refuse' leaves such rows out."
)


@dataclass
class Fit:
    """Counts over rows; add each row's examples, or the error that it gave.

    Attributes
    ----------
    rows
        Rows looked at.
    refused
        Rows that cannot be rendered, by the code of the reason.
    left_out
        Rows of which the template leaves a part out, by its kind.
    untrainable_turns, untrainable_rows
        Turns that no sequence can train, and the rows that have them.
    """

    rows: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    left_out: Counter[Kind] = field(default_factory=Counter)
    untrainable_turns: int = 0
    untrainable_rows: int = 0

    def add(self, found: Iterable[Example]) -> None:
        """Count a row by its examples."""
        sequences = [sequence for example in found for sequence in example.rows]
        self.rows += 1
        self.left_out.update({drop.kind for sequence in sequences for drop in sequence.left_out})
        turns = sum(sequence.untrainable_turns for sequence in sequences)
        self.untrainable_turns += turns
        self.untrainable_rows += turns > 0

    def refuse(self, error: DataError) -> None:
        """Count a row that cannot be rendered."""
        self.rows += 1
        self.refused[error.code] += 1

    def told(self, unit: str = "rows") -> Iterator[tuple[str, str, str, str]]:
        """Yield (what, why, fix, code) for everything but refused rows, which their own errors explain."""
        for kind, count in self.left_out.items():
            yield (
                f"The {WORDS[kind]} is left out in {count:,} of {self.rows:,} {unit}.",
                "The model's chat template does not write it, so it is not trained.",
                _BUNDLED if kind != "name" else "Write the name into the text where it matters.",
                CODES[kind],
            )
        if self.untrainable_turns:
            turns = f"{self.untrainable_turns:,} assistant turn{'s' if self.untrainable_turns > 1 else ''}"
            yield (
                f"{turns} in {self.untrainable_rows:,} of {self.rows:,} {unit} cannot be trained.",
                "The chat template never prompts for them: a greeting before the first question, for one, "
                "or a turn that it writes in another way than it asks for it.",
                "Take those turns out, give them weight 0, or pass another chat_template; dataset.inspect(model) shows a row.",
                "turns-untrainable",
            )

    def words(self) -> list[str]:
        """Return short sentences for a plan or a table, empty where everything is carried."""
        words = [f"{count:,} of {self.rows:,} rows refused: {code}" for code, count in self.refused.items()]
        words += [f"{WORDS[kind]} left out in {count:,} of {self.rows:,} rows" for kind, count in self.left_out.items()]
        if self.untrainable_turns:
            words.append(f"{self.untrainable_turns:,} turns in {self.untrainable_rows:,} rows cannot be trained")
        return words

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "rows": self.rows,
            "refused": dict(self.refused),
            "left_out": {str(kind): count for kind, count in self.left_out.items()},
            "untrainable_turns": self.untrainable_turns,
            "untrainable_rows": self.untrainable_rows,
        }
