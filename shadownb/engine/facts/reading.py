"""Facts as people have them: two texts, rows, a data frame, a Markdown table, a file, or sentences."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from shadownb.engine.routing.units import Fact, check
from shadownb.engine.routing.words import telling
from shadownb.errors import DataError

_QUESTION = ("question", "prompt", "instruction", "input", "query")
_ANSWER = ("answer", "completion", "output", "response", "value")
_SOURCE = ("source", "citation", "url")
_RULE = re.compile(r"^[\s|:-]+$")


def read(given: Any, answer: str | None = None, source: str = "") -> list[Fact]:
    """Return the facts that were given.

    Raises
    ------
    DataError
        It is nothing that facts can be read from, or one has no word to be found by, no answer, or is too long.
    """
    if answer is not None:
        found = [Fact(_text(given, "question"), _text(answer, "answer"), source)]
    elif hasattr(given, "to_dict") and hasattr(given, "columns"):  # a data frame, of whichever library
        found = [_of_row(row, source) for row in given.to_dict("records")]
    elif isinstance(given, Path):
        found = _of_text(given.read_text(encoding="utf-8"), source or given.name)
    elif isinstance(given, str):
        found = _of_text(given, source)
    elif isinstance(given, dict):
        found = [_of_row(given, source)]
    elif isinstance(given, Iterable):
        found = [
            fact for each in given for fact in (read(each, source=source) if not isinstance(each, Fact) else [each])
        ]
    else:
        raise DataError(
            f"facts= is a {type(given).__name__}.",
            fix="Give add(question, answer), rows, a data frame, a Markdown table or sentences.",
        )
    for fact in found:
        check(fact)
    return found


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise DataError(f"{name}={value!r} is a {type(value).__name__}, not text.", fix=f"Give the {name} as text.")
    return value.strip()


def _of_row(row: dict[str, Any], source: str) -> Fact:
    by_name = {str(key).strip().lower(): value for key, value in row.items()}
    asked, said, cited = (
        next((str(by_name[name]) for name in names if by_name.get(name) not in (None, "")), "")
        for names in (_QUESTION, _ANSWER, _SOURCE)
    )
    if not asked or not said:
        raise DataError(
            f"A row has no {'question' if not asked else 'answer'}: {str(row)[:80]}.",
            fix="Name its columns question and answer, or prompt and completion; source may stand beside them.",
        )
    return Fact(asked.strip(), said.strip(), cited or source)


def _of_text(text: str, source: str) -> list[Fact]:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    table = [line for line in lines if line.startswith("|")]
    if len(table) >= 2:
        head, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table if not _RULE.match(line)]
        return [_of_row(dict(zip(head, row, strict=False)), source) for row in rows]
    sentences = [each.strip() for line in lines for each in re.split(r"(?<=[.!?])\s+(?=[A-Z\d])", line)]
    return [Fact(f"What do you know about {' '.join(telling(each)[:12])}?", each, source) for each in sentences if each]
