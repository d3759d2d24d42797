"""Numbers in words, and tables as text, Markdown and HTML, as reports of evaluations have them."""

from __future__ import annotations

import math
from html import escape

from shadownb.engine.evals.intervals import Difference, Mean

_WIDE = 120  # pixels of an interval's picture


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


def text_lines(head: list[str], lines: list[list[str]]) -> list[str]:
    """Return a table as lines of text."""
    widths = [max(len(line[place]) for line in [head, *lines]) for place in range(len(head))]
    return [
        "  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in [head, *lines]
    ]


def markdown_table(head: list[str], lines: list[list[str]]) -> str:
    """Return a table as Markdown."""
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)


def html_table(head: list[str], lines: list[list[str]]) -> str:
    """Return a table; cells behind the first are HTML already."""
    titles = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)
    rows = "".join(
        f'<tr><th scope="row">{escape(line[0])}</th>' + "".join(f"<td>{cell}</td>" for cell in line[1:]) + "</tr>"
        for line in lines
    )
    return f"<table><thead><tr>{titles}</tr></thead><tbody>{rows}</tbody></table>"


def interval_picture(mean: Mean) -> str:
    """Return an interval on a line from 0 to 1 as a small picture."""
    if math.isnan(mean.value):
        return ""
    left, right, middle = (round(_WIDE * value, 1) for value in (mean.low, mean.high, mean.value))
    return (
        f'<br><svg width="{_WIDE}" height="8" aria-hidden="true"><path d="M0 4H{_WIDE}" stroke="#8884"/>'
        f'<path d="M{left} 4H{right}" stroke="#2456c7" stroke-width="3"/>'
        f'<circle cx="{middle}" cy="4" r="3.5" fill="#2456c7"/></svg>'
    )
