"""Merging the deltas of a stream into the object they add up to, fields nobody has heard of included."""

from __future__ import annotations

import copy
from typing import Any

# Strings that are sent whole and perhaps repeatedly; every other string of a delta is a piece of text.
_WHOLE = frozenset(
    {"id", "type", "role", "name", "object", "model", "format", "status", "call_id", "signature", "finish_reason"}
)


def merge(total: dict[str, Any], delta: dict[str, Any]) -> dict[str, Any]:
    """Add ``delta`` to ``total`` in place: text is appended, lists are merged by the ``index`` of their items."""
    for key, value in delta.items():
        known = total.get(key)
        if value is None:
            total.setdefault(key, None)
        elif known is None:
            total[key] = _by_index([], value) if isinstance(value, list) else copy.deepcopy(value)
        elif isinstance(value, str) and isinstance(known, str):
            if key not in _WHOLE:
                total[key] = known + value
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
