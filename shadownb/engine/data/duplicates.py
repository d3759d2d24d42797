"""Rows that say again what an earlier row says, word for word or nearly so."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from shadownb.engine.data.matching import texts_of_row
from shadownb.engine.data.near import Near, shingles
from shadownb.engine.data.writers import to_json
from shadownb.errors import ConfigError


def duplicates(rows: Sequence[Mapping[str, Any]], near: float | None = None) -> dict[int, int]:
    """Return, by the position of a row that repeats one, the position of the earlier row that stays.

    Parameters
    ----------
    rows
        In canonical form; what a row has in columns that are not read makes it no other row.
    near
        From this share of common five-word sequences on (above 0, at most 1) a row repeats another; None takes rows that are
        the same word for word. Words that more than half of the rows have are the frame of a prompt and do not count.

    Raises
    ------
    ConfigError
        The share is out of range.
    """
    if near is not None and (isinstance(near, bool) or not 0 < near <= 1):
        raise ConfigError(f"near={near!r} is out of range.", fix="Give a share above 0, at most 1, such as 0.8.")
    first: dict[bytes, int] = {}
    found: dict[int, int] = {}
    for number, row in enumerate(rows):
        earlier = first.setdefault(_identity(row), number)
        if earlier != number:
            found[number] = earlier
    if near is None:
        return found
    left = [number for number in range(len(rows)) if number not in found]
    # Of each part by itself: a word at the end of a question would otherwise change the sequences that reach into its answer,
    # and of two questions of 14 words that differ in it 0.67 would be the same rather than 0.92.
    index = Near([frozenset().union(*map(shingles, texts_of_row(rows[number]))) for number in left])
    gone: set[int] = set()
    for place, number in enumerate(left):
        if place in gone:
            continue
        # What stays is compared with all behind it, so that no row goes for its likeness to one that went.
        for other in index.alike(place, near):
            if other > place and other not in gone:
                gone.add(other)
                found[left[other]] = number
    return dict(sorted(found.items()))


def _identity(row: Mapping[str, Any]) -> bytes:
    said = {name: value for name, value in row.items() if name != "columns"}
    return hashlib.sha256(to_json(said, sort_keys=True).encode(errors="surrogatepass")).digest()
