"""Personal data out of rows: every text of a row after the rules, with marks that are the same throughout the row."""

from __future__ import annotations

import json
from typing import Any

from shadownb.engine.privacy.literals import changed_inside
from shadownb.engine.privacy.rules import Numbers, Rules

# Words of the format and names of code, which no rule is meant for.
_STRUCTURE = frozenset({"role", "from", "type", "id", "tool_call_id", "call_id", "finish_reason", "weight"})
_DATA = "data:"  # a picture or a sound in base64


def cleaned(row: dict[str, Any], rules: Rules) -> tuple[dict[str, Any], dict[str, int]]:
    """Return a row without what the rules find, and how many places each kind was taken out of.

    Marks that a recording left (``[email 3f2a]``) become the row's own, also without rules. A row in which nothing changes is
    returned as it is.
    """
    numbers = Numbers()
    new = _changed(row, rules, numbers)
    return new, numbers.taken


def _changed(value: Any, rules: Rules, numbers: Numbers) -> Any:
    if isinstance(value, str):
        return value if value.startswith(_DATA) else changed_inside(value, lambda text: _text(text, rules, numbers))
    if isinstance(value, dict):
        new = {
            key: item if key in _STRUCTURE and isinstance(item, str) else _changed(item, rules, numbers)
            for key, item in value.items()
        }
        return value if all(new[key] is value[key] for key in value) else new
    if isinstance(value, list | tuple):
        items = [_changed(item, rules, numbers) for item in value]
        return value if all(a is b for a, b in zip(items, value, strict=True)) else items
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**7:
        written = json.dumps(value)  # a number may be that of a card
        return value if (said := _text(written, rules, numbers)) == written else said
    return value


def _text(text: str, rules: Rules, numbers: Numbers) -> str:
    text = numbers.renumbered(text)
    return rules.apply(text, numbers.mark) if rules else text
