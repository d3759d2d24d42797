"""What a row says and how long it is, whatever its format: what filters, searches and duplicates go by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from shadownb.engine.data.writers import to_json
from shadownb.engine.trajectories.identity import calls_of, message_text, reasoning_of, role_of
from shadownb.errors import ConfigError

Row = Mapping[str, Any]


def messages_of(row: Row) -> Iterator[Row]:
    """Return the messages of a canonical row, those of both answers of a preference included."""
    for value in row.values():
        if isinstance(value, list):
            yield from (entry for entry in value if isinstance(entry, dict) and "role" in entry)


def text_of_row(row: Row) -> str:
    """Return all that a row says, a line a part."""
    return "\n".join(texts_of_row(row))


def texts_of_row(row: Row) -> list[str]:
    """Return all that a row says, part by part: content, reasoning and tool calls of messages, and the texts beside them.

    A row without a text, because it has no canonical form, is its JSON.
    """
    parts: list[str] = []
    for value in row.values():
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, str):
                parts.append(part)
            elif isinstance(part, dict) and "role" in part:
                calls = [f"{call['name']}({to_json(call['arguments'])})" for call in calls_of(part)]
                parts += [reasoning_of(part), message_text(part), *calls]
    return [part for part in parts if part] if parts else [to_json(dict(row))]


@dataclass(frozen=True)
class Match:
    """What rows are looked for; all that is given has to hold.

    Attributes
    ----------
    text
        Words as they stand in the row, upper and lower case alike.
    role
        A role that one of its messages has: ``system``, ``user``, ``assistant``, ``tool``.
    min_characters, max_characters
        How long the text of the row is, counted over all messages.
    """

    text: str = ""
    role: str = ""
    min_characters: int | None = None
    max_characters: int | None = None

    def __post_init__(self) -> None:
        low, high = self.min_characters, self.max_characters
        for name, value in (("min_characters", low), ("max_characters", high)):
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
                raise ConfigError(f"{name}={value!r} is no length.", fix="Give a whole number from 0.")
        if low is not None and high is not None and low > high:
            raise ConfigError(
                f"min_characters={low} is more than max_characters={high}.",
                fix="Give the smaller one as min_characters.",
            )

    @property
    def empty(self) -> bool:
        """Whether nothing is asked, so that every row has it."""
        return self == Match()

    @property
    def given(self) -> dict[str, Any]:
        """What is asked, as the keyword arguments of :meth:`Dataset.filter`."""
        return {name: value for name, value in vars(self).items() if value not in ("", None)}

    def holds(self, row: Row) -> bool:
        """Whether a row has it: a canonical one, or as it was given where it has no canonical form."""
        if self.role and not any(role_of(message) == self.role for message in messages_of(row)):
            return False
        if not self.text and self.min_characters is None and self.max_characters is None:
            return True
        said = text_of_row(row)
        if self.text and self.text.casefold() not in said.casefold():
            return False
        low = self.min_characters if self.min_characters is not None else 0
        return low <= len(said) and (self.max_characters is None or len(said) <= self.max_characters)
