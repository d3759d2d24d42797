"""How often the intervals of a calibrated judge hold what is true, and how much narrower they are than people alone.

    python benchmarks/judge_coverage.py [--draws 10000] [--seed 0]

A cell draws so many data sets of items with a true share of right ones, a judge that errs with a given rate, and people who look
at some items drawn by chance; it prints how often the 95 % interval of :func:`shadownb.judging.calibrate` holds the true mean. The
second table does the same for grades, the judge's being people's with noise and an offset.
"""

from __future__ import annotations

import argparse
from itertools import product
from typing import Any

import numpy as np

from shadownb.engine.evals.statistics import wilson_interval
from shadownb.engine.judging.corrected import corrected, plain

PEOPLE, ITEMS = (20, 40, 80, 160), (200, 1000)
RIGHT, ACCURACY = (0.05, 0.2, 0.5, 0.8, 0.95), (0.6, 0.8, 0.95)
NOISE = (0.05, 0.2, 0.5)


def held(judge: Any, people: Any, rest: Any, true: float) -> tuple[bool, float]:
    """Return whether the interval holds the true mean, and its width."""
    low, high = corrected(judge, people, rest, 0.5)[1]
    return low <= true <= high, high - low


def verdicts(draw: Any, count: int, items: int, right: float, accuracy: float) -> tuple[bool, float, float]:
    """Draw one data set of verdicts; also the width of people's interval alone."""
    truth = draw.random(items) < right
    said = np.where(draw.random(items) < accuracy, truth, ~truth).astype(float)
    y = truth[:count].astype(float)
    low, high = wilson_interval(int(y.sum()), count)
    ok, width = held(said[:count], y, said[count:], right)
    return ok, width, high - low


def grades(draw: Any, count: int, items: int, noise: float) -> tuple[bool, float, float]:
    """Draw one data set of grades between 0 and 1."""
    truth = draw.beta(2, 3, items)
    said = np.clip(truth + 0.1 + draw.normal(0, noise, items), 0, 1)
    y = truth[:count]
    low, high = plain(y)
    ok, width = held(said[:count], y, said[count:], 0.4)
    return ok, width, high - low


def main() -> None:
    """Print both tables' means, worst cells and ratios of widths."""
    options = argparse.ArgumentParser()
    options.add_argument("--draws", type=int, default=10_000)
    options.add_argument("--seed", type=int, default=0)
    asked = options.parse_args()
    draw = np.random.default_rng(asked.seed)
    tables: dict[str, tuple[Any, list[tuple[Any, ...]]]] = {
        "verdicts": (verdicts, list(product(PEOPLE, ITEMS, RIGHT, ACCURACY))),
        "grades": (grades, list(product(PEOPLE, ITEMS, NOISE))),
    }
    for name, (made, cells) in tables.items():
        found = []
        for cell in cells:
            drawn = [made(draw, *cell) for _ in range(asked.draws)]
            share, width, alone = (float(np.mean(column)) for column in zip(*drawn, strict=True))
            found.append((share, width / alone, cell))
        found.sort()
        shares = [share for share, _, _ in found]
        print(f"{name}: {len(cells)} cells of {asked.draws:,} draws; coverage {np.mean(shares):.1%} in the mean")
        for share, ratio, cell in (found[0], found[1], found[-1]):
            print(f"  {share:.1%} at {cell}, {ratio:.2f} times as wide as people alone")
        good = [ratio for _, ratio, cell in found if cell[-1] in (0.95, 0.05)]
        every = [ratio for _, ratio, _ in found]
        print(
            f"  width beside people alone: {np.median(every):.2f} (median), {np.median(good):.2f} with the best judge"
        )


if __name__ == "__main__":
    main()
