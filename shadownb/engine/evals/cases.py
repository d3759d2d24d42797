"""Held-out rows as cases: the conversation up to the last assistant turn, and that turn as the reference."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from shadownb.engine.evals.turns import Turn
from shadownb.errors import DataError


@dataclass(frozen=True)
class Case:
    """One question with its reference answer; ``index`` is the row's number in the data set, ``row`` the row as it was given."""

    index: int
    messages: list[dict[str, Any]]
    reference: Turn
    tools: list[dict[str, Any]] | None = None
    row: Mapping[str, Any] = field(default_factory=dict)

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
    for index, (row, given) in enumerate(_rows_of(dataset)):
        messages = row.get("messages") if isinstance(row, Mapping) else None
        turns = [i for i, message in enumerate(messages or ()) if message.get("role") == "assistant"]
        if messages and turns and turns[-1] > 0:
            reference = Turn.of_message(messages[turns[-1]])
            cases.append(Case(index, list(messages[: turns[-1]]), reference, row.get("tools") or None, given))
        else:
            skipped += 1
    if not cases:
        raise DataError(
            f"None of the {skipped} rows can be compared.",
            why="A comparison needs conversations with an assistant turn as the reference answer.",
            fix="Give held-out chat rows: {'messages': [..., {'role': 'assistant', 'content': ...}]}.",
        )
    return cases, skipped


def _rows_of(dataset: Any) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Yield every row in canonical form, and as it was given, at the place it has in the data set; None for one that is none."""
    from shadownb.engine.data import as_dataset

    given = not hasattr(dataset, "canonical_rows")
    data = as_dataset(dataset) if given else dataset
    data.canonical_rows()  # raises with the reasons where no row can be used
    at = 0
    for index in range(len(data)):
        while given and at < data.numbers[index]:  # an entry of the list that is no row
            at += 1
            yield None, {}
        at += 1
        try:
            yield data.canonical_row(index), dict(data.rows[index])
        except DataError:
            yield None, {}


def read_by(model: Any, cases: list[Case]) -> list[Case]:
    """Return cases whose references are read as the model's own replies are; a model without a renderer leaves them."""
    renderer = getattr(model, "renderer", None)
    if not hasattr(renderer, "read_reply"):
        return cases
    return [dataclasses.replace(case, reference=case.reference.read_by(renderer, case.tools)) for case in cases]


def fitting(model: Any, cases: list[Case]) -> tuple[list[Case], list[tuple[int, str]]]:
    """Return (the cases that a model can answer, row and reason of the others).

    A prompt that fills the model's positions leaves none for an answer, and one that its template refuses has no tokens.

    Raises
    ------
    DataError
        None can be answered.
    """
    renderer = getattr(model, "renderer", None)
    if renderer is None or not hasattr(model, "lengths"):
        return cases, []
    room = model.lengths.room_for_rows()
    kept: list[Case] = []
    left: list[tuple[int, str]] = []
    for case in cases:
        try:
            length = len(renderer.render_prompt(case.messages, case.tools))
        except DataError as error:
            left.append((case.index, error.what))
            continue
        if room is not None and length >= room:
            left.append((case.index, f"its prompt has {length:,} tokens, the model {room:,} positions"))
        else:
            kept.append(case)
    if not kept:
        raise DataError(
            f"None of the {len(cases):,} rows can be answered by this model.",
            why=f"Row {left[0][0]}: {left[0][1]}.",
            fix="Shorten the prompts, or compare with a model that has more positions.",
        )
    return kept, left


def batches_of(cases: Iterable[Case], size: int) -> Iterator[list[Case]]:
    """Yield runs of at most ``size`` cases that offer the same tools."""
    for _, group in itertools.groupby(cases, key=lambda case: json.dumps(case.tools, sort_keys=True, default=str)):
        members = iter(group)
        while batch := list(itertools.islice(members, size)):
            yield batch
