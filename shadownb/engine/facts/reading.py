"""Facts as people have them: two texts, rows, a data frame, a Markdown table, a file, or sentences."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from shadownb.engine.data.readers import READERS, read_file, read_frame, read_text
from shadownb.engine.routing.units import Fact, check
from shadownb.engine.routing.words import telling
from shadownb.errors import DataError

_QUESTION = ("question", "prompt", "instruction", "input", "query")
_ANSWER = ("answer", "completion", "output", "response", "value")
_SOURCE = ("source", "citation", "url")
_BAR = re.compile(r"(?<!\\)\|")
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
    elif hasattr(given, "to_dicts"):  # polars
        found = [_of_row(row, source) for row in given.to_dicts()]
    elif hasattr(given, "to_dict") and hasattr(given, "columns"):
        found = [_of_row(row, source) for row in read_frame(given).rows]
    elif isinstance(given, Path):
        found = _of_file(given, source or given.name)
    elif isinstance(given, str):
        found = _of_file(Path(given), source or Path(given).name) if _is_path(given) else _of_text(given, source)
    elif isinstance(given, dict):
        found = [_of_row(given, source)]
    elif isinstance(given, Iterable):
        found = [fact for each in given for fact in _of_item(each, source)]
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
        next((str(by_name[name]) for name in names if _is_there(by_name.get(name))), "")
        for names in (_QUESTION, _ANSWER, _SOURCE)
    )
    if not asked or not said:
        raise DataError(
            f"A row has no {'question' if not asked else 'answer'}: {str(row)[:80]}.",
            fix="Name its columns question and answer, or prompt and completion; source may stand beside them.",
        )
    return Fact(asked.strip(), said.strip(), cited or source)


def _of_item(item: Any, source: str) -> list[Fact]:
    if isinstance(item, Fact):
        return [item]
    if isinstance(item, tuple) and len(item) in (2, 3):
        asked, said, *cited = item
        return read(asked, said, cited[0] if cited else source)
    return read(item, source=source)


def _is_there(value: Any) -> bool:
    return value is not None and value != "" and value == value  # noqa: PLR0124  NaN is what pandas has for nothing


def _is_path(given: str) -> bool:
    """Return whether a text names a file: one that is there, or one word with the ending of a table or a text."""
    known = Path(given).suffix.lower() in {*READERS, ".md", ".txt"}
    return known and (len(given.split()) == 1 or Path(given).expanduser().is_file())


def _of_file(path: Path, source: str) -> list[Fact]:
    path = path.expanduser()
    if path.suffix.lower() not in READERS:
        return _of_text(read_text(path), source)
    loaded = read_file(path)
    if loaded.unreadable:
        bad = loaded.unreadable[0]
        raise DataError(f"{path}, {loaded.place} {bad.row}: {bad.reason}.", fix="Correct it, or leave it out.")
    return [_of_row(row, source) for row in loaded.rows]


def _of_text(text: str, source: str) -> list[Fact]:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    table = [line for line in lines if line.startswith("|")]
    if len(table) >= 2:
        head, *rows = [_cells(line) for line in table if not _RULE.match(line)]
        return [_of_row(dict(zip(head, row, strict=False)), source) for row in rows]
    sentences = [each.strip() for line in lines for each in re.split(r"(?<=[.!?])\s+(?=[A-Z\d])", line)]
    return [Fact(f"What do you know about {' '.join(telling(each)[:12])}?", each, source) for each in sentences if each]


def _cells(line: str) -> list[str]:
    """Return the cells of a line of a Markdown table; a bar with a backslash before it belongs to a cell."""
    inner = line.removeprefix("|")
    inner = inner[:-1] if inner.endswith("|") and not inner.endswith("\\|") else inner
    return [cell.strip().replace("\\|", "|").replace("<br>", "\n") for cell in _BAR.split(inner)]
