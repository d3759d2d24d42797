"""In which orders a judge is shown several answers: position moves scores, so no order is asked alone."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Sequence
from itertools import combinations
from math import factorial


def orders_of(count: int, key: str, most: int) -> Iterator[list[int]]:
    """Yield different orders of ``count`` answers: a drawn one, that one the other way round, then other drawn ones.

    Parameters
    ----------
    key
        What decides the draw: the content of the task and answers, so that the same group is always asked in the same way.
    most
        How many at most; fewer where there are not so many.
    """
    draw = random.Random(int.from_bytes(hashlib.sha256(key.encode("utf-8", "replace")).digest()[:8], "big"))
    first = list(range(count))
    draw.shuffle(first)
    seen = {tuple(first)}
    yield first
    most = min(most, factorial(count) if count < 8 else most)
    if most > 1 and count > 1:
        seen.add(tuple(reversed(first)))
        yield first[::-1]
    while len(seen) < most:
        other = list(range(count))
        draw.shuffle(other)
        if tuple(other) not in seen:
            seen.add(tuple(other))
            yield other


def agree(scores: Sequence[Sequence[float]]) -> bool:
    """Whether all orders rank the answers alike: of each two the same one is better, or neither."""
    if len(scores) < 2:
        return False
    return all(
        len({(one[a] > one[b]) - (one[a] < one[b]) for one in scores}) == 1
        for a, b in combinations(range(len(scores[0])), 2)
    )
