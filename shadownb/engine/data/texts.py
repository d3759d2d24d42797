"""Text that is no Unicode: a surrogate that lost its other half can be neither hashed, stored nor tokenized.

JSON may hold half a character (``"\\ud83d"``): what a cut at a fixed number of UTF-16 units leaves. Two halves side by side are
one character and are joined; one alone makes its row a bad one.
"""

from __future__ import annotations

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


def joined_value(value: Any, where: str) -> Any:
    """Return a nested value whose texts and keys went through :func:`joined`."""
    if isinstance(value, str):
        return joined(value, where)
    if isinstance(value, dict):
        return {joined(key, where) if isinstance(key, str) else key: joined_value(v, where) for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [joined_value(entry, where) for entry in value]
    return value


def shown(text: str) -> str:
    """Return ``text`` as it can be shown: U+FFFD for each half character."""
    return text if is_whole(text) else "".join("�" if "\ud800" <= c <= "\udfff" else c for c in text)
