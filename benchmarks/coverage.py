"""How often the 95 % intervals of an evaluation hold the truth: ``python benchmarks/coverage.py [--draws 10000]``.

Each cell is a kind of data of which the truth is known: items right with a chance of their own (some are easy, some hard),
several samples an item, items that share a source, two sides that agree on most items. For each cell so many evaluations are
drawn, and the share of those whose interval holds the truth is printed. The mean of all cells and the worst one stand below.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np

from shadownb.engine.evals.intervals import difference_of, mean_of, pass_at_k

Draw = Callable[[np.random.Generator], bool]


def shares(count: int, share: float) -> Draw:
    """One sample an item."""

    def draw(random: np.random.Generator) -> bool:
        found = mean_of(random.random(count) < share)
        return found.low <= share <= found.high

    return draw


def sampled(count: int, share: float, samples: int, k: int = 1) -> Draw:
    """Several samples an item, whose chances scatter as a Beta(share, 1 - share) over 1/2."""
    a, b = 2 * share, 2 * (1 - share)
    # E[1 - (1 - p)^k] of a Beta
    truth = 1 - float(np.prod([(b + i) / (a + b + i) for i in range(k)]))

    def draw(random: np.random.Generator) -> bool:
        right = random.binomial(samples, random.beta(a, b, count))
        found = mean_of([pass_at_k(int(each), samples, k) for each in right])
        return found.low <= truth <= found.high

    return draw


def clustered(groups: int, size: int, share: float, alike: float) -> Draw:
    """Items that share a source; ``alike`` is the correlation within one."""
    a, b = share * (1 / alike - 1), (1 - share) * (1 / alike - 1)

    def draw(random: np.random.Generator) -> bool:
        sizes = random.integers(max(1, size // 2), size + size // 2 + 1, groups)
        of = np.repeat(np.arange(groups), sizes)
        found = mean_of(random.random(len(of)) < random.beta(a, b, groups)[of], of.tolist())
        return found.low <= share <= found.high

    return draw


def graded(count: int) -> Draw:
    """Scores between 0 and 1 with many at the ends, such as token F1."""

    def draw(random: np.random.Generator) -> bool:
        values = random.beta(0.5, 0.3, count)
        found = mean_of(values)
        return found.low <= 0.5 / 0.8 <= found.high

    return draw


def losses(count: int) -> Draw:
    """Scores without bounds, skewed: losses."""

    def draw(random: np.random.Generator) -> bool:
        found = mean_of(random.gamma(2.0, 1.0, count) + 1.0)
        return found.low <= 3.0 <= found.high

    return draw


def paired(count: int, better: float, worse: float, groups: int = 0, alike: float = 0.3) -> Draw:
    """Two sides with these chances that an item flips one way or the other."""

    def draw(random: np.random.Generator) -> bool:
        of = None
        chance = random.random(count)
        if groups:
            of = np.arange(count) % groups
            # what flips in a cluster flips together with this chance
            common = random.random(groups)[of]
            chance = np.where(random.random(count) < alike, common, chance)
        gaps = (chance < better).astype(float) - (chance > 1 - worse).astype(float)
        found = difference_of(gaps, np.zeros(count), None if of is None else of.tolist())
        return found.low <= better - worse <= found.high

    return draw


def paired_grades(count: int, shift: float) -> Draw:
    """Two sides' grades of the same items, many of them equal."""

    def draw(random: np.random.Generator) -> bool:
        moved = np.where(random.random(count) < 0.4, random.normal(shift / 0.4, 0.25, count), 0.0)
        found = difference_of(moved, np.zeros(count))
        return found.low <= shift <= found.high

    return draw


CELLS: dict[str, Draw] = {
    **{f"share {p:g} of {n}": shares(n, p) for n in (20, 50, 164, 500) for p in (0.05, 0.3, 0.5, 0.9)},
    **{f"5 samples, share {p:g} of {n}": sampled(n, p, 5) for n in (20, 50, 164) for p in (0.1, 0.5)},
    **{f"pass@5 of 10, share {p:g} of {n}": sampled(n, p, 10, 5) for n in (50, 164) for p in (0.1, 0.5)},
    **{
        f"{g} sources of {s}, share {p:g}, alike {r:g}": clustered(g, s, p, r)
        for g, s in ((12, 8), (30, 5), (100, 3))
        for p in (0.2, 0.5)
        for r in (0.1, 0.5)
    },
    **{f"grades of {n}": graded(n) for n in (20, 100)},
    **{f"losses of {n}": losses(n) for n in (20, 100)},
    **{
        f"pair of {n}, +{b:g} -{w:g}": paired(n, b, w)
        for n in (20, 50, 164, 500)
        for b, w in ((0.05, 0.05), (0.2, 0.05), (0.4, 0.1))
    },
    **{f"pair of {n} in {g} sources": paired(n, 0.2, 0.05, g) for n, g in ((60, 12), (200, 40))},
    **{f"pair of grades of {n}": paired_grades(n, 0.05) for n in (20, 100)},
}


def coverage(draws: int, seed: int = 0) -> dict[str, float]:
    """Return the share of intervals that hold the truth, by cell."""
    return {
        name: float(np.mean([draw(np.random.default_rng([seed, place, each])) for each in range(draws)]))
        for place, (name, draw) in enumerate(CELLS.items())
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    found = coverage(options.draws, options.seed)
    for name, share in found.items():
        print(f"{name:45}{100 * share:7.2f} %")
    worst = min(found, key=lambda name: found[name])
    print(f"\nmean of {len(found)} cells {100 * np.mean(list(found.values())):.2f} %")
    print(f"worst {100 * found[worst]:.2f} %: {worst} ({options.draws} draws a cell)")


if __name__ == "__main__":
    main()
