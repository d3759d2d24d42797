"""Means with intervals that hold although a judge errs: by strata of right and wrong, or prediction-powered for grades."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from shadownb.engine.evals.intervals import student
from shadownb.engine.evals.statistics import wilson_interval
from shadownb.engine.judging.agreement import Interval, Z


def corrected(f: Any, y: Any, rest: Any, threshold: float, factor: float = 1.0) -> tuple[float, Interval]:
    """Return mean and interval; ``factor`` is how many times as many verdicts of people there would be."""
    binary = bool(np.isin(y, (0, 1)).all())
    if not len(rest):  # people have judged all: nothing is left to be told by the judge
        return float(y.mean()), wilson_interval(int(y.sum()), len(y)) if binary else plain(y)
    if binary:
        return _in_strata(f >= threshold, y, rest >= threshold, factor)
    return _powered(f, y, rest, factor)


def _in_strata(f: Any, y: Any, rest: Any, factor: float) -> tuple[float, Interval]:
    everything = np.concatenate([f, rest])
    share = float(everything.mean())
    mean, below, above, parts = 0.0, 0.0, 0.0, []
    for weight, members in ((share, f), (1 - share, ~f)):
        count, right = members.sum() * factor, (y * members).sum() * factor
        low, high, part = 0.0, 1.0, 0.5
        if count:
            part = float(right / count)
            centre, reach = (
                (part + Z**2 / (2 * count)),
                Z * math.sqrt(part * (1 - part) / count + Z**2 / (4 * count**2)),
            )
            low, high = (centre - reach) / (1 + Z**2 / count), (centre + reach) / (1 + Z**2 / count)
        mean += weight * part
        below += (weight * (part - low)) ** 2
        above += (weight * (high - part)) ** 2
        parts.append(part)
    of_share = Z**2 * share * (1 - share) / len(everything) * (parts[0] - parts[1]) ** 2
    return mean, (max(0.0, mean - math.sqrt(below + of_share)), min(1.0, mean + math.sqrt(above + of_share)))


def _powered(f: Any, y: Any, rest: Any, factor: float) -> tuple[float, Interval]:
    count, others = len(y), max(1, len(rest))
    pool = rest if len(rest) > 1 else f
    spread = float(pool.var(ddof=1)) if len(pool) > 1 else 0.0
    weight = 0.0
    if spread > 0:
        weight = float(np.clip(np.cov(y, f)[0, 1] / ((1 + count / others) * spread), 0, 1))
    left = y - weight * f
    mean = float(weight * pool.mean() + left.mean())
    variance = float(left.var(ddof=1)) / (count * factor) + weight**2 * spread / others
    reach = student(max(1, round(count * factor) - 2)) * math.sqrt(variance)
    return mean, (max(0.0, mean - reach), min(1.0, mean + reach))


def plain(y: Any) -> Interval:
    reach = student(len(y) - 1) * math.sqrt(float(y.var(ddof=1)) / len(y))
    return max(0.0, float(y.mean()) - reach), min(1.0, float(y.mean()) + reach)
