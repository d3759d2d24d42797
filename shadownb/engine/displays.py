"""Small HTML for rich displays: plain, escaped, inheriting the notebook's colours."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

_NAME = "text-align:left;white-space:nowrap;font-weight:normal"
_CELL = "padding:2px 12px 2px 0;text-align:left;vertical-align:top;border:none;background:none"


def facts_html(title: str, facts: Mapping[str, Any]) -> str:
    """Return a titled two-column table."""
    rows = "".join(
        f'<tr style="background:none"><th scope="row" style="{_CELL};font-weight:normal;opacity:.75">{html.escape(str(name))}</th>'
        f'<td style="{_CELL}">{html.escape(str(value))}</td></tr>'
        for name, value in facts.items()
    )
    return f'<div style="color:inherit"><strong>{html.escape(title)}</strong><table style="border:none">{rows}</table></div>'


def table_html(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table that scrolls sideways where it is wider than its place; the first cell of a row names it."""
    head = "".join(f'<th scope="col" style="text-align:left">{html.escape(name)}</th>' for name in heads)
    body = "".join(
        f'<tr><th scope="row" style="{_NAME}">{html.escape(row[0])}</th>'
        + "".join(f'<td style="text-align:left;white-space:nowrap">{html.escape(cell)}</td>' for cell in row[1:])
        + "</tr>"
        for row in rows
    )
    table = f'<table style="color:inherit"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
    return f'<div style="overflow-x:auto" tabindex="0">{table}</div>'  # scrolled by keyboard, too


# Of figures that lie on a light page or a dark one, which their maker does not know: greys and hues with 3:1 on both.
_GREY, _GRID = "#7a7a7a", "rgba(128,128,128,0.25)"
_HUES = ("#3b74d8", "#c8641e", "#2e9157", "#a45bb0", "#9c8200", "#6b7680")


def on_any_page(figure: Any) -> Any:
    """Give a plotly figure the page's own ground, and colours that are read on a light one and on a dark one."""
    figure.update_layout(
        paper_bgcolor="rgba(0,0,0,0)", plot_bgcolor="rgba(0,0,0,0)", font={"color": _GREY}, colorway=_HUES
    )
    figure.update_xaxes(gridcolor=_GRID, linecolor=_GREY, zerolinecolor=_GRID)
    figure.update_yaxes(gridcolor=_GRID, linecolor=_GREY, zerolinecolor=_GRID)
    return figure


def table_text(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table as lines of aligned text."""
    lines = [heads, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )
