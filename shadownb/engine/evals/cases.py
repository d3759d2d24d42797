"""Held-out rows as cases: the conversation up to the last assistant turn, and that turn as the reference."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from shadownb.engine.evals.turns import Turn
from shadownb.errors import DataError


@dataclass(frozen=True)
class Case:
    """One question with its reference answer; ``index`` is the row's number in the data set."""

    index: int
    messages: list[dict[str, Any]]
    reference: Turn
    tools: list[dict[str, Any]] | None = None

    @property
    def expected(self) -> str:
        """The reference as text, as scorers get it."""
        return self.reference.text


def cases_of(dataset: Any) -> tuple[list[Case], int]:
    """Return the cases of a Dataset or a list of rows, and how many rows had no answer to compare with.

    Raises
    ------
    DataError
        Not a single row has one.
    """
    cases = []
    skipped = 0
    for index, row in enumerate(_rows_of(dataset)):
        messages = row.get("messages") if isinstance(row, Mapping) else None
        turns = [i for i, message in enumerate(messages or ()) if message.get("role") == "assistant"]
        if messages and turns and turns[-1] > 0:
            reference = Turn.of_message(messages[turns[-1]])
            cases.append(Case(index, list(messages[: turns[-1]]), reference, row.get("tools") or None))
        else:
            skipped += 1
    if not cases:
        raise DataError(
            f"None of the {skipped} rows can be compared.",
            why="A comparison needs conversations with an assistant turn as the reference answer.",
            fix="Give held-out chat rows: {'messages': [..., {'role': 'assistant', 'content': ...}]}.",
        )
    return cases, skipped


def _rows_of(dataset: Any) -> Iterator[Any]:
    """Yield every row in canonical form at the place it has in the data set; ``None`` for one that is no row."""
    if not hasattr(dataset, "canonical_rows"):
        yield from dataset
        return
    dataset.canonical_rows()  # raises with the reasons where no row can be used
    for index in range(len(dataset)):
        try:
            yield dataset.canonical_row(index)
        except DataError:
            yield None


def batches_of(cases: Iterable[Case], size: int) -> Iterator[list[Case]]:
    """Yield runs of at most ``size`` cases that offer the same tools."""
    for _, group in itertools.groupby(cases, key=lambda case: json.dumps(case.tools, sort_keys=True, default=str)):
        members = iter(group)
        while batch := list(itertools.islice(members, size)):
            yield batch
