"""The parts of a suite in reports: a line a language, task or database, and where they share problems a table of both."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from shadownb.engine.evals.evaluation.parts import grid
from shadownb.engine.evals.evaluation.tables import html_table, shown

if TYPE_CHECKING:
    from shadownb.engine.evals.evaluation.evaluation import Evaluation
    from shadownb.engine.evals.evaluation.graded import Cell, Graded

_RIGHT, _WRONG = "#0a7d4022", "#c6283022"


def shares_problems(evaluation: Evaluation, suite: str) -> bool:
    """Whether a suite asks the same problems in several parts: languages; plain text tells those apart alone."""
    return grid(evaluation.items(suite, evaluation.sides[0])) is not None


def parts_table(evaluation: Evaluation, suite: str) -> tuple[list[str], list[list[str]]] | None:
    """Return head and lines: a line a part, a column a side; None where the suite has no parts."""
    by_side = {side: evaluation.by_part(suite, side) for side in evaluation.sides}
    first = by_side[evaluation.sides[0]]
    if not first:
        return None
    lines = [
        [
            part,
            str(max(found[part].mean.items for found in by_side.values())),
            *(_told(by_side[side][part]) for side in by_side),
        ]
        for part in first
    ]
    return [suite, "items", *evaluation.sides], lines


def _told(cell: Cell) -> str:
    """Return a part's mean, or why there is none."""
    if cell.mean.items == 0 and cell.outcomes:
        return ", ".join(f"{count} {outcome}" for outcome, count in cell.outcomes.items())
    return shown(cell.mean)


def parts_html(evaluation: Evaluation, suite: str) -> str:
    """Return the parts of a suite as HTML, folded; nothing where it has none."""
    found = parts_table(evaluation, suite)
    if found is None:
        return ""
    head, lines = found
    told = html_table(head, [[line[0], *map(escape, line[1:])] for line in lines])
    grids = "".join(_grid_html(evaluation, suite, side) for side in evaluation.sides)
    return f"<details><summary>{escape(suite)}, part by part</summary>{told}{grids}</details>"


def _grid_html(evaluation: Evaluation, suite: str, side: str) -> str:
    found = grid(evaluation.items(suite, side))
    if found is None:
        return ""
    titles = "".join(f'<th scope="col">{escape(part)}</th>' for part in found.parts)
    rows = "".join(
        f'<tr><th scope="row">{escape(problem)}</th>{"".join(map(_square, line))}</tr>' for problem, line in found.lines
    )
    table = f"<table><thead><tr><th>problem</th>{titles}</tr></thead><tbody>{rows}</tbody></table>"
    return f"<details><summary>{escape(side)}, problem by problem</summary>{table}</details>"


def _square(graded: Graded | None) -> str:
    if graded is None:
        return "<td></td>"
    if graded.score is None:
        return "<td>–</td>"
    colour = _RIGHT if graded.score >= 1 else _WRONG if graded.score <= 0 else ""
    style = f' style="background:{colour}"' if colour else ""
    return f"<td{style}>{'right' if graded.score >= 1 else 'wrong' if graded.score <= 0 else f'{100 * graded.score:.0f} %'}</td>"
