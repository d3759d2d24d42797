"""GSM8K: 1,319 word problems of grade-school mathematics (Cobbe et al. 2021), graded by the number that an answer gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from shadownb.engine.evals.suites import places
from shadownb.engine.evals.suites.base import Item
from shadownb.engine.evals.suites.scored import Scored, asks
from shadownb.engine.scoring import Numeric


class Gsm8k(Scored):
    """GSM8K's test set."""

    name = "gsm8k"
    fix = "Set SHADOWNB_DATA to a folder that has gsm8k/test.jsonl, or be online once."

    def sources(self) -> Sequence[tuple[str, Callable[[], places.Rows]]]:
        """Return the folder of data, and the hub."""
        return [
            ("SHADOWNB_DATA", self._of_folder),
            ("the hub", lambda: places.from_hub("openai/gsm8k", config="main", split="test")),
        ]

    def _of_folder(self) -> places.Rows:
        path = places.file("gsm8k/test.jsonl", of=self.name, fix=self.fix)
        return places.json_lines(path)

    def item(self, number: int, row: Mapping[str, Any]) -> Item:
        """Return the problem, asked for its number behind ``####``."""
        asked = f"{row['question']}\n\nThink step by step, then end with a line: #### and the number alone."
        return Item(f"gsm8k/{number}", asks(asked), row["answer"].rpartition("####")[2].strip(), row=row)

    def scorer(self) -> Callable[..., Any]:
        """Return the scorer of numbers."""
        return Numeric()
