"""What people and programs think of calls: scores and notes, and the tags that a client gives its calls.

A score is of a call; an episode's is that of its last scored call. So it stays where it is when an episode goes on, and is there
for whoever reads the calls in another way.
"""

from __future__ import annotations

import contextlib
import math
import re
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from numbers import Real
from typing import Any

from shadownb.engine.jsontext import mended_text
from shadownb.errors import ConfigError

REWARD = "score"
"""The name under which a score is the reward of an episode; those of other names are metrics."""

CORRECTION = "correction"
"""The name under which the answer that a person would have given stands, as its note."""
RANK = "rank"
"""The name under which the place of an attempt among those at the same task stands, 1 for the best."""

_NAME = re.compile(r"[A-Za-z][\w.-]{0,63}")
_LONGEST_NOTE, _LONGEST_ANSWER = 10_000, 200_000
_MOST_TAGS, _LONGEST_TAG = 16, 200


@dataclass(frozen=True)
class Score:
    """One judgement of a call.

    Attributes
    ----------
    call, name
        Id of the call, and what was judged.
    value, note
        A number, or None; and words about it.
    at
        Seconds since 1970.
    """

    call: str
    name: str
    value: float | None
    note: str
    at: float

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)


def checked(call: str, value: Any, name: Any, note: Any) -> Score:
    """Return a score of what was given. Raises :class:`ConfigError` where it is none."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ConfigError(
            f"name={name!r} cannot name a score.", fix="Use letters, digits, '.', '_' and '-', a letter first."
        )
    longest = _LONGEST_ANSWER if name == CORRECTION else _LONGEST_NOTE
    if not isinstance(note, str) or len(note) > longest:
        raise ConfigError(f"note= is no text of at most {longest:,} characters.", fix="Give a shorter text.")
    if value is None and not note.strip():
        raise ConfigError("Neither a value nor a note is given.", fix="Give value=1.0, note='...', or both.")
    number = None if value is None else _number(value)
    return Score(call, name, number, mended_text(note.strip().replace("\0", "")), time.time())


def _number(value: Any) -> float:
    if isinstance(value, Real):  # those of numpy as well
        with contextlib.suppress(OverflowError):  # JSON may have integers of any length
            if math.isfinite(number := float(value)):
                return number
    raise ConfigError(
        f"value={str(value)[:40]} is not a number.", fix="Give one, for example 1.0 for good and 0.0 for bad."
    )


def tags_of(header: str | None) -> dict[str, str]:
    """Return the tags of a header ``name=value, name=value``. Raises :class:`ConfigError` where it is none."""
    found: dict[str, str] = {}
    for part in (header or "").split(","):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not part.strip():
            continue
        if not equals or not _NAME.fullmatch(name) or not value or len(value) > _LONGEST_TAG:
            raise ConfigError(f"{part.strip()[:80]!r} is no tag.", fix="Give tags as name=value, name=value.")
        found[name] = value
    if len(found) > _MOST_TAGS:
        raise ConfigError(f"{len(found)} tags are more than the {_MOST_TAGS} that a call may have.", fix="Give fewer.")
    return found


def reward_and_metrics(scores: Mapping[str, list[Score]], calls: list[str]) -> tuple[float | None, dict[str, float]]:
    """Return the reward and the metrics of an episode: of each name the newest value of its last call that has one."""
    found: dict[str, float] = {}
    for call in calls:
        found |= {score.name: score.value for score in scores.get(call, ()) if score.value is not None}
    return found.pop(REWARD, None), found
