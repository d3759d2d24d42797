"""Suites that have parts: languages, tasks, databases; each part's mean, and where the parts share problems a table of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shadownb.engine.evals.evaluation.graded import Cell, Graded, cell_of

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Grid:
    """Problems by parts of a suite, as one model did.

    Attributes
    ----------
    parts
        Names of the columns.
    lines
        A problem with its item in each part; None where a part has no such problem.
    """

    parts: list[str]
    lines: list[tuple[str, list[Graded | None]]]


def by_part(suite: str, side: str, graded: Sequence[Graded]) -> dict[str, Cell]:
    """Return what the items of each part come to, in the order of the suite; nothing where it has fewer than two."""
    of_part: dict[str, list[Graded]] = {}
    for each in graded:
        of_part.setdefault(each.item.part, []).append(each)
    if len(of_part) < 2:
        return {}
    return {part: cell_of(suite, side, items) for part, items in of_part.items()}


def grid(graded: Sequence[Graded]) -> Grid | None:
    """Return problems by parts; None where no problem is in two parts."""
    parts = list(dict.fromkeys(each.item.part for each in graded if each.item.part))
    lines: dict[str, list[Graded | None]] = {}
    for each in graded:
        if each.item.part and each.item.cluster is not None:
            line = lines.setdefault(each.item.cluster, [None] * len(parts))
            place = parts.index(each.item.part)
            if line[place] is not None:  # a cluster of a part is no problem: a database, a task
                return None
            line[place] = each
    if len(parts) < 2 or all(sum(each is not None for each in line) < 2 for line in lines.values()):
        return None
    return Grid(parts, list(lines.items()))


def matrix(graded: Sequence[Graded]) -> pd.DataFrame:
    """Return scores as a DataFrame: a line a problem, a column a part; NaN where there is no verdict."""
    import pandas as pd

    found = grid(graded) or Grid([], [])
    scores = {problem: [each.score if each is not None else None for each in line] for problem, line in found.lines}
    made = pd.DataFrame.from_dict(scores, orient="index", columns=found.parts, dtype=float)
    return made.rename_axis("problem")
