"""Data sets of the Hugging Face hub as data: a choice is ``hub:{...}`` with repo, subset, split and how many rows, as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from shadownb.errors import DataError


@dataclass(frozen=True)
class OfHub:
    """What of which data set is meant; ``limit`` 0 takes all rows."""

    repo: str
    subset: str = ""
    split: str = "train"
    limit: int = 0

    @classmethod
    def of(cls, choice: str) -> OfHub:
        """Read a choice. Raises DataError where it is none."""
        try:
            return cls(**json.loads(choice.removeprefix("hub:")))
        except (ValueError, TypeError):
            raise DataError(f"{choice!r} is no data set of the hub.", fix="Choose it again.") from None

    @property
    def choice(self) -> str:
        """The choice id."""
        return f"hub:{json.dumps(asdict(self))}"

    @property
    def title(self) -> str:
        """What it is called in a list."""
        part = "/".join(filter(None, (self.subset, self.split)))
        return f"{self.repo} ({part}{f', first {self.limit:,} rows' if self.limit else ''})"

    def open(self) -> Any:
        """Download it. Raises DataError where that cannot be."""
        from shadownb.engine.data import Dataset

        return Dataset.from_hub(self.repo, self.subset or None, self.split, limit=self.limit or None)

    def as_python(self, more: str = "") -> str:
        """Return the code that opens the same; ``more`` are arguments."""
        subset = f", {json.dumps(self.subset)}" if self.subset else ""
        limit = f", limit={self.limit}" if self.limit else ""
        return (
            f"shadownb.Dataset.from_hub({json.dumps(self.repo)}{subset}, split={json.dumps(self.split)}{limit}{more})"
        )
