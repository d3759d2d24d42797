"""How an evaluation is shown: a table of models and suites as text, Markdown and HTML, and what regressed, item by item."""

from __future__ import annotations

import difflib
import math
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from shadownb.engine.evals.intervals import Difference, Mean

if TYPE_CHECKING:
    from shadownb.engine.evals.evaluation.evaluation import Evaluation, Graded

_REGRESSIONS = 20  # items a suite that a page shows
_SHOWN = 1500  # characters of an answer on a page
_STYLE = (
    "body{font:14px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem;color-scheme:light dark}"
    "table{border-collapse:collapse}td,th{padding:.3rem .7rem;border-bottom:1px solid #8886;text-align:left;vertical-align:top}"
    "pre{white-space:pre-wrap;overflow-wrap:anywhere;margin:0}"
)


def shown(mean: Mean) -> str:
    """Return a mean with its interval: in percent where it is a share."""
    if math.isnan(mean.value):
        return "--"
    if mean.low >= 0 and mean.high <= 1:
        return f"{100 * mean.value:.1f} % ({100 * mean.low:.1f} to {100 * mean.high:.1f})"
    return f"{mean.value:.3g} ({mean.low:.3g} to {mean.high:.3g})"


def shown_difference(gap: Difference, *, share: bool) -> str:
    """Return a difference with its interval: in points where it is one of shares."""
    if not gap.items:
        return "--"
    scale, unit, digits = (100, " points", ".1f") if share else (1, "", ".3g")
    return f"{scale * gap.value:+{digits}}{unit} ({scale * gap.low:+{digits}} to {scale * gap.high:+{digits}})"


def table(evaluation: Evaluation) -> tuple[list[str], list[list[str]]]:
    """Return head and lines: a line a suite, a column a side, and differences of each later side to the first."""
    first, *others = evaluation.sides
    head = ["suite", "items", *evaluation.sides, *(f"{side} minus {first}" for side in others)]
    corrected = {side: evaluation.p_values(side, first) for side in others}
    lines = []
    for suite in evaluation.suites:
        cells = [evaluation.cell(suite, side) for side in evaluation.sides]
        share = all(cell.mean.low >= 0 and cell.mean.high <= 1 for cell in cells if not math.isnan(cell.mean.value))
        line = [suite, str(max(cell.mean.items for cell in cells)), *(shown(cell.mean) for cell in cells)]
        for side in others:
            told = shown_difference(evaluation.difference(suite, side, first), share=share)
            chance = corrected[side].get(suite)
            line.append(told if chance is None else f"{told}, p {_chance(chance)}")
        lines.append(line)
    return head, lines


def _chance(value: float) -> str:
    return "<0.0001" if value < 0.0001 else f"{value:.3g}"


def remarks(evaluation: Evaluation) -> list[str]:
    """Return what the means do not show."""
    told = ["Intervals hold 95 %; p is the sign test, corrected for the number of suites (Holm)."]
    if evaluation.samples > 1:
        told.append(f"{evaluation.samples} samples an item.")
    for suite in evaluation.suites:
        for side in evaluation.sides:
            cell = evaluation.cell(suite, side)
            notes = [f"{count} {note}" for note, count in cell.notes.items()]
            ways = [
                f"{count} {way}" for way, count in cell.outcomes.items() if way not in ("passed", "failed", "exact")
            ]
            if cell.by_extraction:
                by_rule = ", ".join(f"{rule} {100 * value:.1f} %" for rule, value in cell.rules.items())
                ways.append(f"{cell.by_extraction} verdicts hang on how the answer is taken out ({by_rule})")
            if notes or ways:
                told.append(f"{suite}, {side}: {', '.join([*notes, *ways])}.")
    first, *others = evaluation.sides
    for side in others:
        for suite in evaluation.suites:
            lost = len(evaluation.regressions(suite, side, first))
            if lost:
                told.append(f"{suite}: {lost} items got worse from {first} to {side}.")
    return [*told, *(f"{problem}." for problem in evaluation.problems())]


def text(evaluation: Evaluation) -> str:
    """Return the table and the remarks as plain text."""
    head, lines = table(evaluation)
    widths = [max(len(line[place]) for line in [head, *lines]) for place in range(len(head))]
    body = [
        "  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in [head, *lines]
    ]
    return "\n".join([*body, "", *remarks(evaluation), *_theirs(evaluation)])


def markdown(evaluation: Evaluation) -> str:
    """Return the table and the remarks as Markdown."""
    head, lines = table(evaluation)
    rows = [head, ["---"] * len(head), *lines]
    body = "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)
    return body + "\n\n" + "\n".join([*(f"- {line}" for line in remarks(evaluation)), *_theirs(evaluation)]) + "\n"


def _theirs(evaluation: Evaluation) -> list[str]:
    told = evaluation.tables().items()
    return [f"\n{suite}, {side}, as its own tool has it:\n\n{table}" for (suite, side), table in told]


def html(evaluation: Evaluation) -> str:
    """Return the table and the remarks as HTML, with regressions folded below."""
    head, lines = table(evaluation)
    titles = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)
    rows = "".join(
        f'<tr><th scope="row">{escape(line[0])}</th>'
        + "".join(f"<td>{escape(cell)}</td>" for cell in line[1:])
        + "</tr>"
        for line in lines
    )
    told = "".join(f"<li>{escape(line)}</li>" for line in remarks(evaluation))
    theirs = "".join(
        f"<details><summary>{escape(suite)}, {escape(side)}, as its own tool has it</summary><pre>{escape(table)}</pre></details>"
        for (suite, side), table in evaluation.tables().items()
    )
    return (
        f'<div class="shadownb-evaluation"><p>Evaluation {escape(evaluation.name)}</p>'
        f"<table><thead><tr>{titles}</tr></thead><tbody>{rows}</tbody></table><ul>{told}</ul>{theirs}{_regressions(evaluation)}</div>"
    )


def page(evaluation: Evaluation, path: Path | None) -> str:
    """Return a whole page, and write it where a path is given."""
    whole = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(evaluation.name)}</title>'
        f"<style>{_STYLE}</style><body>{html(evaluation)}</body></html>"
    )
    if path is not None:
        from shadownb.engine.disk import write_atomically

        write_atomically(path, whole)
    return whole


def _regressions(evaluation: Evaluation) -> str:
    first, *others = evaluation.sides
    parts = []
    for side in others:
        for suite in evaluation.suites:
            lost = evaluation.regressions(suite, side, first)
            if lost:
                rows = "".join(_regression(before, after) for before, after in lost[:_REGRESSIONS])
                parts.append(
                    f"<details><summary>{escape(suite)}: {len(lost)} items got worse from {escape(first)} to {escape(side)}"
                    f"{f', {_REGRESSIONS} of them here' if len(lost) > _REGRESSIONS else ''}</summary>"
                    f"<table><thead><tr><th>item</th><th>what changed</th><th>why</th></tr></thead><tbody>{rows}</tbody></table>"
                    "</details>"
                )
    return "".join(parts)


def _regression(before: Graded, after: Graded) -> str:
    place = next((n for n, v in enumerate(after.verdicts) if v is not None), 0)
    old, new = (str((each.verdicts[place] or {}).get("extracted") or "")[:_SHOWN] for each in (before, after))
    changes = difflib.unified_diff(old.splitlines(), new.splitlines(), "before", "after", lineterm="", n=2)
    reason = (after.verdicts[place] or {}).get("reason", "")
    cells = (after.item.id, "\n".join(changes) or "the same text", str(reason))
    return "<tr>" + "".join(f"<td><pre>{escape(cell)}</pre></td>" for cell in cells) + "</tr>"
