"""Text that is no Unicode: a surrogate that lost its other half can be neither hashed, stored nor tokenized.

JSON may hold half a character (``"\\ud83d"``): what a cut at a fixed number of UTF-16 units leaves. Two halves side by side are
one character and are joined; one alone makes its row a bad one.
"""

from __future__ import annotations

import math
from typing import Any


class RowProblem(ValueError):
    """The reason one row cannot be used; a report or an error carries its text."""


def is_whole(text: str) -> bool:
    """Whether a text has no surrogate."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def joined(text: str, where: str) -> str:
    """Return ``text`` with halves that stand side by side joined. Raises :class:`RowProblem` for one that stands alone."""
    if is_whole(text):
        return text
    try:
        return text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        half = next(character for character in text if "\ud800" <= character <= "\udfff")
        raise RowProblem(f"{where} holds half a character (the lone surrogate U+{ord(half):04X})") from None


def json_value(value: Any, where: str) -> Any:
    """Return a nested value as JSON has it, its texts and keys joined.

    Raises :class:`RowProblem` for what JSON cannot say (NaN, dates, bytes, keys that are no text): a template would write
    something that no model should learn, or raise.
    """
    if isinstance(value, str):
        return joined(value, where)
    if isinstance(value, dict):
        odd = next((key for key in value if not isinstance(key, str)), None)
        if odd is not None:
            raise RowProblem(f"{where} holds a key of type {type(odd).__name__}, not text")
        return {joined(key, where): json_value(entry, where) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_value(entry, where) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        raise RowProblem(f"{where} holds {value}, which is no number of JSON")
    if value is None or isinstance(value, (bool, int, float)):
        return value
    raise RowProblem(
        f"{where} holds a value of type {type(value).__name__}, which JSON does not have; write it as text"
    )


def shown(text: str) -> str:
    """Return ``text`` as it can be shown: U+FFFD for each half character."""
    return text if is_whole(text) else "".join("�" if "\ud800" <= c <= "\udfff" else c for c in text)
