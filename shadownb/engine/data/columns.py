"""The columns of a row: which names are known, and a reader that knows afterwards which of them were read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from shadownb.engine.messages.values import REASONINGS, Unread, is_empty, plain_name

CONVERSATIONS = ("messages", "conversations", "conversation", "dialog", "dialogue", "chat", "transcript")
PROMPTS = ("instruction", "question", "prompt", "query", "input", "problem", "user_prompt", "user", "human")
RESPONSES = (
    "output", "answer", "response", "completion", "target", "solution", "reply", "answers", "assistant", "gpt", "bot",
)  # fmt: skip
SYSTEMS = ("system", "system_prompt", "system_message", "system_instruction")
# What stands behind the instruction in the same message: alpaca's input, dolly's context, a question beside an instruction.
BESIDE = ("input", "context", "passage", "question", "query")
HISTORIES = ("history",)
TOOLS = ("tools", "functions", "available_tools")
CALLS = ("tool_calls", "function_calls", "function_call")
STEPS, STEP_VERDICTS = "completions", "labels"  # of an answer that is judged step by step
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
    STEPS, STEP_VERDICTS,
    *(name for pair in BETTER_WORSE for name in pair), *(name for compared in COMPARED for name in compared[:3]),
))  # fmt: skip
# What makes a row of one format look like another: who names the format has said that these are not meant.
OTHER_SHAPES = frozenset((
    *CONVERSATIONS, *PROMPTS, *RESPONSES, *VERDICTS, "text", *(name for pair in BETTER_WORSE for name in pair),
))  # fmt: skip


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
