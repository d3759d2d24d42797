"""What ``chat`` was given: one conversation or several."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from shadownb.errors import DataError


def conversations_of(messages: Any) -> tuple[list[Any], bool]:
    """Return the conversations that ``chat`` is asked to answer, and whether it was given a single one; a text is one message.

    Raises
    ------
    DataError
        It is a message without a list around it, a list of texts, which may be meant as one conversation or as several, or
        something else that is no list.
    """
    if isinstance(messages, str):
        return [[{"role": "user", "content": messages}]], True
    if isinstance(messages, Mapping):
        fix = "Put it into a list: [message]." if "role" in messages else "Of a row of data give row['messages']."
        raise DataError("messages is one mapping, not a list of messages.", fix=fix)
    if isinstance(messages, bytes) or not isinstance(messages, Iterable):
        raise DataError(
            f"messages is of type {type(messages).__name__}, which is no conversation.", fix="Give a text or a list."
        )
    given = list(messages)
    if any(isinstance(each, str) for each in given):
        raise DataError(
            "messages is a list of texts, which is no conversation.",
            fix='Give a text, a list of messages such as {"role": "user", "content": "..."}, or a list of such lists. '
            "generate takes a list of texts.",
        )
    single = bool(given) and isinstance(given[0], Mapping)
    return ([given] if single else given), single
