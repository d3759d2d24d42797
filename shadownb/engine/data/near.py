"""Texts that are nearly the same, by MinHash over five-word shingles (candidates from banded signatures) and then by the exact
share of common shingles, so that a figure that is reported is no estimate.

Shingles that most texts have are the frame of a prompt, not what it is about, and do not count.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterator

import numpy as np

WORDS = 5
# 32 bands of 4: pairs with 0.5 in common become candidates with 87 %, with 0.7 or more with 99.98 %.
BANDS, ROWS = 32, 4
FRAME_SHARE, FRAME_ROWS = 0.5, 8


def shingles(text: str) -> frozenset[int]:
    """Return the five-word sequences of a text, hashed; a shorter text is one, and one without words its signs."""
    words = re.findall(r"\w+", text.lower()) or text.split()  # signs alone, such as an emoji, are what there is then
    if not words:
        return frozenset()
    runs = (words[at : at + WORDS] for at in range(max(1, len(words) - WORDS + 1)))
    return frozenset(
        int.from_bytes(hashlib.blake2b(" ".join(run).encode(errors="replace"), digest_size=7).digest(), "big")
        for run in runs
    )


class Near:
    """Texts by the bands of their MinHash signatures; each is given as its shingles and goes by its position."""

    def __init__(self, rows: list[frozenset[int]]) -> None:
        counts = Counter(shingle for row in rows for shingle in row)
        often = len(rows) * FRAME_SHARE if len(rows) >= FRAME_ROWS else float("inf")
        self._frame = frozenset(shingle for shingle, count in counts.items() if count > often)
        generator = np.random.default_rng(0)
        size = BANDS * ROWS
        self._factors = generator.integers(0, 1 << 63, size, dtype=np.uint64)[:, None] * np.uint64(2) + np.uint64(1)
        self._offsets = generator.integers(0, 1 << 63, size, dtype=np.uint64)[:, None]
        self._rows = [row - self._frame for row in rows]
        self._bands: defaultdict[tuple[int, bytes], list[int]] = defaultdict(list)
        for number, row in enumerate(self._rows):
            for band in self._signature(row):
                self._bands[band].append(number)

    def _signature(self, shingles: frozenset[int]) -> list[tuple[int, bytes]]:
        if not shingles:
            return []
        values = np.fromiter(shingles, dtype=np.uint64, count=len(shingles))[None, :]
        # Modulo 2^64, as unsigned numbers overflow. Products that stay below the modulus would keep the order of the values, so
        # that the smallest value decided most rows of a signature: pairs with 0.78 in common were then missed.
        lowest = (self._factors * values + self._offsets).min(axis=1)
        return [(band, lowest[band * ROWS : (band + 1) * ROWS].tobytes()) for band in range(BANDS)]

    def nearest(self, shingles: frozenset[int]) -> tuple[int | None, float]:
        """Return the position of the most similar text and the share of common shingles; None where no other comes near."""
        own = shingles - self._frame
        candidates = {number for band in self._signature(own) for number in self._bands.get(band, ())}
        best, number = max(((_common(own, self._rows[n]), -n) for n in candidates), default=(0.0, 1))
        return (None, 0.0) if number > 0 else (-number, best)

    def alike(self, number: int, share: float) -> Iterator[int]:
        """Return the positions of the other texts that have at least this share of shingles in common with one of them."""
        own = self._rows[number]
        candidates = {other for band in self._signature(own) for other in self._bands[band] if other != number}
        return (other for other in sorted(candidates) if _common(own, self._rows[other]) >= share)


def _common(one: frozenset[int], other: frozenset[int]) -> float:
    shared = len(one & other)
    return shared / (len(one) + len(other) - shared) if shared else 0.0
