"""Merging the deltas of a stream into the object they add up to, fields nobody has heard of included."""

from __future__ import annotations

import copy
from typing import Any

# Strings that are sent whole and perhaps repeatedly; every other string of a delta is a piece of text.
_WHOLE = frozenset(
    {"id", "type", "role", "name", "object", "model", "format", "status", "call_id", "signature", "finish_reason"}
)


class Growing:
    """A text that grows by pieces; a string that grows in an object is copied whole for each of them."""

    __slots__ = ("_pieces",)

    def __init__(self, *pieces: str) -> None:
        self._pieces = list(pieces)

    def __deepcopy__(self, memo: Any) -> Growing:
        return Growing(*self._pieces)

    def __bool__(self) -> bool:
        return any(self._pieces)

    def __str__(self) -> str:
        if len(self._pieces) > 1:
            self._pieces = ["".join(self._pieces)]
        return self._pieces[0] if self._pieces else ""

    def add(self, piece: str) -> None:
        """Add a piece."""
        self._pieces.append(piece)


def settled(value: Any) -> Any:
    """Return what deltas add up to with every growing text as a string."""
    if isinstance(value, Growing):
        return str(value)
    if isinstance(value, dict):
        return {key: settled(item) for key, item in value.items()}
    return [settled(item) for item in value] if isinstance(value, list) else value


def merge(total: dict[str, Any], delta: dict[str, Any]) -> dict[str, Any]:
    """Add ``delta`` to ``total`` in place: text grows (see :func:`settled`), lists are merged by the ``index`` of their items."""
    for key, value in delta.items():
        known = total.get(key)
        if value is None:
            total.setdefault(key, None)
        elif known is None:
            total[key] = _by_index([], value) if isinstance(value, list) else copy.deepcopy(value)
        elif isinstance(value, str) and isinstance(known, Growing):
            known.add(value)
        elif isinstance(value, str) and isinstance(known, str):
            if key not in _WHOLE:
                total[key] = Growing(known, value)
            elif value:
                total[key] = value
        elif isinstance(value, dict) and isinstance(known, dict):
            merge(known, value)
        elif isinstance(value, list) and isinstance(known, list):
            total[key] = _by_index(known, value)
        else:
            total[key] = value
    return total


def _by_index(known: list[Any], items: list[Any]) -> list[Any]:
    places = {item["index"]: item for item in known if isinstance(item, dict) and isinstance(item.get("index"), int)}
    for item in items:
        place = item.get("index") if isinstance(item, dict) else None
        if isinstance(place, int) and place in places:
            merge(places[place], item)
        else:
            own = copy.deepcopy(item)
            known.append(own)
            if isinstance(place, int):
                places[place] = own
    return known
