"""Seeds of a run's parts, each a function of what it is for."""

from __future__ import annotations

import hashlib


def derived_seed(*parts: int | str) -> int:
    """Return a 63-bit seed that depends on every part."""
    digest = hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
