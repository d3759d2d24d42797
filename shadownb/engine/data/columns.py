"""The columns of a row: which names are known, and a reader that knows afterwards which of them were read.

Names are compared without case, blanks and hyphens, so that a spreadsheet's ``System Prompt`` is ``system_prompt``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

CONVERSATIONS = ("messages", "conversations", "conversation", "dialog", "dialogue", "chat", "transcript")
PROMPTS = ("instruction", "question", "prompt", "query", "input", "problem", "user_prompt", "user", "human")
RESPONSES = (
    "output", "answer", "response", "completion", "target", "solution", "reply", "answers", "assistant", "gpt", "bot",
)  # fmt: skip
SYSTEMS = ("system", "system_prompt", "system_message", "system_instruction")
# What stands behind the instruction in the same message: alpaca's input, dolly's context, a question beside an instruction.
BESIDE = ("input", "context", "passage", "question", "query")
HISTORIES = ("history",)
REASONINGS = (
    "reasoning_content", "reasoning", "thinking", "thought", "thoughts", "cot", "complex_cot", "chain_of_thought",
)  # fmt: skip
TOOLS = ("tools", "functions", "available_tools")
CALLS = ("tool_calls", "function_calls", "function_call")
VERDICTS = ("label", "kto_tag", "verdict", "desirable", "thumbs_up", "is_good")
BETTER_WORSE = (
    ("chosen", "rejected"),
    ("chosen_response", "rejected_response"),
    ("preferred_output", "non_preferred_output"),
    ("preferred", "dispreferred"),
    ("response_j", "response_k"),
)
# (first, second, which is better, values of that column that mean the first, and the second)
COMPARED: tuple[tuple[str, str, str, tuple[Any, ...], tuple[Any, ...]], ...] = (
    ("human_ref_a", "human_ref_b", "labels", (1, "1"), (0, "0")),
    ("response_0", "response_1", "better_response_id", (0, "0"), (1, "1")),
    ("conversation_a", "conversation_b", "winner", ("model_a",), ("model_b",)),
    ("response_a", "response_b", "winner", ("model_a", "a", "A"), ("model_b", "b", "B")),
)

TARGETS = (
    "messages", "prompt", "completion", "system", "context", "history", "reasoning", "tools", "text", "chosen", "rejected",
    "label",
)  # fmt: skip
KNOWN = frozenset((
    *CONVERSATIONS, *PROMPTS, *RESPONSES, *SYSTEMS, *BESIDE, *HISTORIES, *REASONINGS, *TOOLS, *CALLS, *VERDICTS, "text",
    *(name for pair in BETTER_WORSE for name in pair), *(name for compared in COMPARED for name in compared[:3]),
))  # fmt: skip
# What makes a row of one format look like another: who names the format has said that these are not meant.
OTHER_SHAPES = frozenset((
    *CONVERSATIONS, *PROMPTS, *RESPONSES, *VERDICTS, "text", *(name for pair in BETTER_WORSE for name in pair),
))  # fmt: skip


@lru_cache(maxsize=4096)
def plain_name(name: str) -> str:
    """Return a column's name as it is compared: ``" System-Prompt"`` is ``system_prompt``."""
    return re.sub(r"[\s\-_]+", "_", name.strip("\ufeff \t\r\n")).lower()


@dataclass
class Unread:
    """What a reader met and did not read; columns and keys named in ``ignore`` are never read.

    Attributes
    ----------
    found
        (name, value) of each, for example ``("context", "...")`` or ``("messages[].audio", {...})``.
    """

    ignore: frozenset[str] = frozenset()
    found: list[tuple[str, Any]] = field(default_factory=list)

    def add(self, name: str, value: Any) -> None:
        """Note a value that was not read; one that is empty is nothing that could be lost."""
        if not is_empty(value):
            self.found.append((name, value))

    def keys(self, where: str, held: Mapping[Any, Any], read: Iterable[str]) -> None:
        """Note the entries of an object that are not among the keys that were read."""
        known = frozenset(read)
        for key, value in held.items():
            if key not in known:
                self.add(f"{where}.{key}", value)


class Columns:
    """One row by the names that are known, noting what is taken from it.

    Parameters
    ----------
    renamed
        The user's own names: column of the row to known name.
    """

    def __init__(self, row: Mapping[Any, Any], renamed: Mapping[str, str], ignore: frozenset[str]) -> None:
        self.row = row
        self.unread = Unread(ignore)
        self.texts: list[str] = []  # the texts that were read, in their order
        self.tools: list[Any] = []  # schemas that stood elsewhere than in a column of their own
        self._given: dict[str, Any] = {}
        self._taken: set[Any] = set()
        for name in row:
            if isinstance(name, str) and name not in ignore and name not in renamed:
                plain = plain_name(name)
                if plain not in self._given or name == plain:  # of Prompt and prompt the second is meant
                    self._given[plain] = name
        for name, known in renamed.items():
            if name in row:
                self._given[known] = name

    def has(self, name: str) -> bool:
        """Whether the row has the column, with or without a value."""
        return name in self._given

    def see(self, name: str) -> Any:
        """Return a column's value without taking it; None where it is missing."""
        return self.row[self._given[name]] if name in self._given else None

    def take(self, name: str) -> Any:
        """Return a column's value; it counts as read."""
        if name not in self._given:
            return None
        given = self._given[name]
        value = self.row[given]
        if given not in self._taken and isinstance(value, str):
            self.texts.append(value)
        self._taken.add(given)
        return value

    def title(self, name: str) -> str:
        """Return a column's name as the row has it."""
        return str(self._given.get(name, name))

    def first(self, names: Iterable[str]) -> str | None:
        """Return the first of the columns that holds something, else the first that is there."""
        there = [name for name in names if name in self._given]
        return next((name for name in there if not is_empty(self.see(name))), there[0] if there else None)

    def filled(self, names: Iterable[str]) -> str | None:
        """Return the first of the columns that holds something."""
        return next((name for name in names if name in self._given and not is_empty(self.see(name))), None)

    def rest(self) -> list[tuple[str, Any]]:
        """Return everything that was not read: columns, and what the readers of columns left."""
        columns = [(str(name), value) for name, value in self.row.items() if name not in self._taken]
        return [*((name, value) for name, value in columns if not is_empty(value)), *self.unread.found]


def is_empty(value: Any) -> bool:
    """Whether a value holds nothing: missing, blank text, or a list or object of only that."""
    if value is None:
        return True
    if isinstance(value, str):
        return not value.strip()
    if isinstance(value, dict):
        return all(is_empty(entry) for entry in value.values())
    if isinstance(value, (list, tuple)):
        return all(is_empty(entry) for entry in value)
    return isinstance(value, float) and math.isnan(value)


def verdict_of(value: Any) -> bool | None:
    """Return a verdict as true or false; None where it is neither."""
    if isinstance(value, str):
        word = re.sub(r"(?<=\w)[-_]", " ", value.strip().strip(".!").lower())
        return True if word in _GOOD else False if word in _BAD else None
    if isinstance(value, bool | int | float):
        return True if value == 1 else False if value in (0, -1) else None
    return None


def is_switch(value: Any) -> bool:
    """Whether a value under a name of reasoning says only whether, or how much, a model was to think (Nemotron: ``off``)."""
    return isinstance(value, str) and value.strip().strip("/").lower() in _SWITCHES


_SWITCHES = frozenset((
    "on", "off", "true", "false", "yes", "no", "0", "1", "none", "enabled", "disabled", "auto", "minimal", "low", "medium",
    "high", "think", "no_think",
))  # fmt: skip
_GOOD = frozenset((
    "1", "1.0", "+1", "true", "t", "yes", "y", "good", "correct", "right", "accepted", "accept", "chosen",
    "desirable", "preferred", "up", "upvote", "thumbs up", "like", "liked", "pass", "passed", "ok", "👍", "✓", "✅",
))  # fmt: skip
_BAD = frozenset((
    "0", "0.0", "-1", "false", "f", "no", "n", "bad", "incorrect", "wrong", "rejected", "reject",
    "undesirable", "dispreferred", "down", "downvote", "thumbs down", "dislike", "disliked", "fail", "failed", "👎", "✗", "❌",
))  # fmt: skip
