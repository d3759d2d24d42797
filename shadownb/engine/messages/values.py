"""What a single value of a row is, whatever it stands under, and the note of what was not read.

Names are compared without case, blanks and hyphens, so that a spreadsheet's ``System Prompt`` is ``system_prompt``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from shadownb.engine.jsontext import loads_piece

REASONINGS = (
    "reasoning_content", "reasoning", "thinking", "thought", "thoughts", "cot", "complex_cot", "chain_of_thought",
)  # fmt: skip
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


def from_json_text(value: Any) -> Any:
    """Return the list or dict that a text cell holds as JSON (as CSV and parquet exports do), else ``value``."""
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        try:
            return loads_piece(value, unique=True)
        except ValueError:
            return value
    return value


def word_for(value: Any) -> str:
    """Return what a value is, for a sentence."""
    names = {str: "text", list: "a list", tuple: "a list", dict: "an object", type(None): "missing"}
    return names.get(type(value), f"of type {type(value).__name__}")
