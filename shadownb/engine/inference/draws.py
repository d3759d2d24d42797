"""The luck of a row: one uniform number a token, from the call's seed and the row's own number, whoever computes.

A backend that takes its tokens by these draws gives a row the same ones alone, beside any others, after a break, and on any
device, as far as the rounding of its products goes; base and tuned weights have the same luck in a comparison.
"""

from __future__ import annotations

import hashlib
import secrets

import numpy as np

from shadownb.engine.inference.options import Sampling

RULE = "one number a token"  # how a seed becomes tokens; what is kept of answers that were drawn is kept by it


def seed_of(sampling: Sampling) -> int:
    """Return the seed of a call, a fresh one where none is given."""
    return secrets.randbits(63) if sampling.seed is None else sampling.seed


def row_draws(seed: int, *row: int) -> np.random.Generator:
    """Return the draws of a row; its ``random()`` gives the next token's number in [0, 1).

    Parameters
    ----------
    row
        The row's number in the call; for a rollout the numbers of prompt and sample.
    """
    text = ":".join(map(str, (seed, *row)))
    return np.random.Generator(
        np.random.PCG64(int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "big"))
    )
