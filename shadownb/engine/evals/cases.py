"""Held-out rows as cases: the conversation up to the last assistant turn, and that turn as the reference."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from shadownb.errors import DataError


@dataclass(frozen=True)
class Case:
    """One question with its reference answer; ``index`` is the row's number in the data set."""

    index: int
    messages: list[dict[str, Any]]
    expected: str
    tools: list[dict[str, Any]] | None = None


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
            expected = as_text(messages[turns[-1]])
            cases.append(Case(index, list(messages[: turns[-1]]), expected, row.get("tools") or None))
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
    for _, group in itertools.groupby(cases, key=lambda case: json.dumps(case.tools, sort_keys=True)):
        members = iter(group)
        while batch := list(itertools.islice(members, size)):
            yield batch


def as_text(message: Mapping[str, Any]) -> str:
    """Return what a message says: its content, with tool calls as one JSON list of name and arguments."""
    content = message.get("content") or ""
    if not isinstance(content, str):
        content = "".join(part.get("text", "") for part in content)
    calls = [_call(call.get("function") or call) for call in message.get("tool_calls") or ()]
    return "\n".join(part for part in (content, json.dumps(calls, ensure_ascii=False) if calls else "") if part)


def _call(function: Mapping[str, Any]) -> dict[str, Any]:
    arguments = function.get("arguments", {})
    if isinstance(arguments, str):
        with contextlib.suppress(ValueError):
            arguments = json.loads(arguments)
    return {"name": function.get("name"), "arguments": arguments}
