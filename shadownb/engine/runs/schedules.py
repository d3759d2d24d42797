"""Learning rate schedules as functions of the step: no object, no state, nothing to save.

The names and values are those of transformers' schedulers, which need torch and an optimizer; a test compares every rate.
"""

from __future__ import annotations

import math
from collections.abc import Callable

Rate = Callable[[int], float]

_LEAST_SHARE = 0.1  # of the peak, at the end of cosine_with_min_lr
_ROOT_STEPS = 10_000  # inverse_sqrt without warm-up


def schedule(kind: str, peak: float, steps: int, warmup: int, *, decay: int = 0) -> Rate:
    """Return the rate of the n-th update, counted from 0.

    Parameters
    ----------
    kind
        A value of ``lr_scheduler_type``.
    decay
        Steps of the fall at the end of ``warmup_stable_decay``.
    """
    shape = _SHAPES[kind]

    def rate(n: int) -> float:
        if n < warmup and kind != "constant":
            return peak * (n / max(1, warmup))
        return peak * shape(n, steps, warmup, decay)

    return rate


def _constant(n: int, steps: int, warmup: int, decay: int) -> float:
    return 1.0


def _linear(n: int, steps: int, warmup: int, decay: int) -> float:
    return max(0.0, (steps - n) / max(1, steps - warmup))


def _half_wave(n: int, length: int) -> float:
    return 0.5 * (1.0 + math.cos(math.pi * 0.5 * 2.0 * (n / max(1, length))))


def _cosine(n: int, steps: int, warmup: int, decay: int) -> float:
    return max(0.0, _half_wave(n - warmup, steps - warmup))


def _cosine_with_min_lr(n: int, steps: int, warmup: int, decay: int) -> float:
    return max(0.0, _half_wave(n - warmup, steps - warmup) * (1 - _LEAST_SHARE) + _LEAST_SHARE)


def _inverse_sqrt(n: int, steps: int, warmup: int, decay: int) -> float:
    scale = warmup or _ROOT_STEPS
    return 1.0 / math.sqrt((n + scale - warmup) / scale)


def _stable_decay(n: int, steps: int, warmup: int, decay: int) -> float:
    into_decay = n - (steps - decay)
    if into_decay < 0:
        return 1.0
    return max(0.0, _half_wave(into_decay, decay)) if into_decay < decay else 0.0


_SHAPES: dict[str, Callable[[int, int, int, int], float]] = {
    "constant": _constant,
    "constant_with_warmup": _constant,
    "linear": _linear,
    "cosine": _cosine,
    "cosine_with_min_lr": _cosine_with_min_lr,
    "inverse_sqrt": _inverse_sqrt,
    "warmup_stable_decay": _stable_decay,
}
