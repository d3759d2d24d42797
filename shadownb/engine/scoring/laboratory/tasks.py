"""Tasks of the lab, read from rows: what was asked, a right answer, and wrong ones."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from shadownb.engine.scoring.answers import without_reasoning
from shadownb.engine.scoring.base import Sample
from shadownb.engine.scoring.samples import EXPECTED, shown, text_of
from shadownb.errors import DataError

_PROMPTS = ("prompt", "question", "instruction", "problem", "query", "input")
_GOOD = ("completion", "chosen", "response", "output")
_BAD = ("rejected",)
_MARKERS = (
    re.compile(r"\\boxed\{([^{}]*)\}"),
    re.compile(r"####[ \t]*([^\n]+)"),
    re.compile(r"<answer>(.*?)</answer>", re.S),
)
_WRONG_ONES = 2  # wrong answers that a task gets of others


@dataclass
class Task:
    """One thing that was asked.

    Attributes
    ----------
    prompt
        A text, or a list of messages.
    good : str
        An answer that is right.
    expected : str
        What the scorer compares with.
    row
        The columns of the row.
    bad : list of str
        Answers that are wrong.
    """

    prompt: Any
    good: str
    expected: str
    row: Mapping[str, Any]
    bad: list[str] = field(default_factory=list)

    def sample(self, answer: str) -> Sample:
        """Return what a scorer is shown of an answer: a list of one message where the prompt is one of messages."""
        turns = not isinstance(self.prompt, str)
        return shown(
            self.prompt, [{"role": "assistant", "content": answer}] if turns else answer, self.row, self.expected
        )


def read(good: Any, bad: Any, expected: str | None, most: int) -> list[Task]:
    """Return the tasks of rows, at most ``most``, spread over them.

    Raises
    ------
    DataError
        A row has no answer, nothing is there, or there are no wrong answers and none can be taken from other rows.
    """
    rows = _rows(good)
    if not rows:
        raise DataError(
            "good has no answers.", fix="Give right answers: texts, rows with prompt and completion, or a Dataset."
        )
    step = max(1.0, len(rows) / most)
    tasks = [_task(rows[int(at * step)], int(at * step), expected) for at in range(min(most, len(rows)))]
    if bad is None:
        _borrow(tasks)
    else:
        _assign(tasks, _rows(bad))
    if not any(task.bad for task in tasks):
        raise DataError(
            "There are no wrong answers to look at.",
            why="Without bad= they are taken from other rows, and all of these have the same answer.",
            fix="Give some: bad=['...'], as many as good or fewer.",
        )
    return tasks


def _rows(given: Any) -> list[Any]:
    """Return rows and texts of whatever they were given as; of a Dataset its valid rows."""
    if hasattr(given, "valid_rows"):
        given = given.valid_rows()
    if isinstance(given, str | Mapping) or not isinstance(given, Iterable):
        given = [given]
    return list(given)


def _task(row: Any, number: int, expected: str | None) -> Task:
    if isinstance(row, str):
        return Task("", row, row, {})
    if not isinstance(row, Mapping):
        raise DataError(f"Answer {number} is a {type(row).__name__}.", fix="Give texts, or rows as mappings.")
    prompt, good = _asked(row), _first(row, _GOOD)
    turns = row.get("messages")
    if good is None and isinstance(turns, Sequence) and turns and turns[-1].get("role") == "assistant":
        prompt, good = list(turns[:-1]), turns[-1:]
    wanted = row.get(expected) if expected is not None else _first(row, EXPECTED)
    if expected is not None and wanted is None:
        raise DataError(f"Row {number} has no column {expected!r}.", fix=f"It has {', '.join(map(str, row))}.")
    good = good if good is not None else wanted
    if good is None:
        raise DataError(
            f"Row {number} has no right answer.",
            why=f"It has {', '.join(map(str, row))}.",
            fix=f"Give one of {', '.join((*_GOOD, *EXPECTED[:4]))}, or messages that end with the assistant's.",
        )
    bad = [text_of(row[name]) for name in _BAD if row.get(name)]
    return Task(prompt, text_of(good), text_of(good if wanted is None else wanted), row, bad)


def _asked(row: Mapping[str, Any]) -> Any:
    found = _first(row, _PROMPTS)
    return "" if found is None else found if _is_turns(found) else text_of(found)


def _is_turns(value: Any) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(turn, Mapping) for turn in value)


def _first(row: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((row[name] for name in names if row.get(name) is not None), None)


def _assign(tasks: list[Task], bad: list[Any]) -> None:
    """Give each wrong answer to the task whose prompt it has, else to the one at its place."""
    by_prompt = {text_of(task.prompt): task for task in tasks if task.prompt}
    for at, each in enumerate(bad):
        task = tasks[at % len(tasks)]
        if isinstance(each, Mapping):
            turns = each.get("messages")
            said = turns[-1:] if isinstance(turns, Sequence) and turns else _first(each, (*_GOOD, *_BAD, *EXPECTED))
            asked = list(turns[:-1]) if isinstance(turns, Sequence) and turns else _asked(each)
            task = by_prompt.get(text_of(asked), task)
        else:
            said = each
        if said is None:
            raise DataError(f"bad: row {at} has no answer.", fix=f"It has {', '.join(map(str, each))}.")
        task.bad.append(text_of(said))


def _borrow(tasks: list[Task]) -> None:
    """Give tasks without wrong answers those of others: right there, wrong here."""
    for at, task in enumerate(tasks):
        others = (tasks[(at + shift) % len(tasks)].good for shift in range(1, len(tasks)))
        own = {same(short(task.good)), same(short(task.expected))}
        for other in others:
            if len(task.bad) >= _WRONG_ONES:
                break
            if same(short(other)) not in own:
                task.bad.append(other)
                own.add(same(short(other)))


def short(answer: str) -> str:
    """Return the answer itself where a text says which of it that is: behind its reasoning, its last marker, in its last tag."""
    text = without_reasoning(answer).strip()
    for marker in _MARKERS:
        found = marker.findall(text)
        if found and found[-1].strip():
            return str(found[-1].strip())
    return text


def same(text: str) -> str:
    """Return what is left of a text where case and white space do not count."""
    return " ".join(text.split()).casefold()
