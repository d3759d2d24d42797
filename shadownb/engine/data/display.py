"""How a Dataset looks in a cell: text and HTML, both without addresses and free of fixed colours."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from shadownb.engine.data.writers import to_json
from shadownb.engine.messages.texts import shown

if TYPE_CHECKING:
    from shadownb.engine.data.dataset import Dataset

ROWS = 5
CELL = 320

_TABLE = "border-collapse:collapse;background:transparent;color:inherit;text-align:left"
_CELL = (
    "border:1px solid rgba(128,128,128,.4);padding:.25em .6em;text-align:left;vertical-align:top;color:inherit;"
    "white-space:pre-wrap;overflow-wrap:anywhere;max-width:80ch"
)


def cell_text(value: Any, limit: int = CELL) -> str:
    """Return a value as the short text a preview shows; a conversation shows its turns."""
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        turns = [_turn(item) for item in value]
        share = max(24, limit // len(turns))
        text = "\n".join(shorten(turn, share) for turn in turns[:6])
        return text + (f"\n({len(turns) - 6} more)" if len(turns) > 6 else "")
    return shorten(value if isinstance(value, str) else to_json(value), limit)


def _turn(message: dict[str, Any]) -> str:
    role = message.get("role", message.get("from"))
    content = message.get("content", message.get("value"))
    if role is None:
        return to_json(message)
    shown = content if isinstance(content, str) else to_json(message.get("tool_calls") or content)
    return f"{role}: {shown}"


def shorten(text: str, limit: int) -> str:
    """Return ``text`` with at most ``limit`` characters."""
    text = shown(text)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def dataset_text(dataset: Dataset) -> str:
    """Return the one-line form, with what cannot be used and what was not read on the lines below."""
    count = len(dataset)
    line = f"Dataset({dataset.name!r}, {count:,} row{'' if count == 1 else 's'}, format={dataset.format!r})"
    if not dataset.report.ok:
        return f"{line}\n{dataset.report}"
    told = (dataset.report.unread_line(), dataset.report.redacted_line())
    return "\n  ".join([line, *filter(None, told)])


def dataset_html(dataset: Dataset) -> str:
    """Return a preview of the first rows and what is wrong with the others, everything escaped."""
    columns = dataset.columns[:8]
    head = "".join(f'<th scope="col" style="{_CELL}">{escape(shown(str(name)))}</th>' for name in ("", *columns))
    body = "".join(
        f'<tr><th scope="row" style="{_CELL}">{number}</th>'
        + "".join(f'<td style="{_CELL}">{escape(cell_text(row[name])) if name in row else ""}</td>' for name in columns)
        + "</tr>"
        for number, row in enumerate(dataset.rows[:ROWS])
    )
    more = f"<p>and {len(dataset) - ROWS:,} more rows</p>" if len(dataset) > ROWS else ""
    label = escape(f"First rows of {dataset.name}", quote=True)
    return (
        f'<div style="color:inherit"><p><b>{escape(dataset.name)}</b>: {escape(dataset.report.summary())}'
        f" ({escape(dataset.source)})</p>{_problems(dataset)}{_unread(dataset)}"
        f'<table aria-label="{label}" style="{_TABLE}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
        f"{more}</div>"
    )


def _problems(dataset: Dataset) -> str:
    bad = dataset.report.bad
    if not bad:
        return ""
    items = "".join(f"<li>{escape(str(entry))}</li>" for entry in bad[:20])
    rest = f"<li>and {len(bad) - 20:,} more</li>" if len(bad) > 20 else ""
    count = f"{len(bad):,} row{'' if len(bad) == 1 else 's'} cannot be used"
    return f"<details open><summary>⚠ {count}</summary><ul>{items}{rest}</ul></details>"


def _unread(dataset: Dataset) -> str:
    """Return what was not read, open where it refuses rows."""
    columns = dataset.report.unread
    if not columns:
        return ""
    items = "".join(
        f"<li><code>{escape(column.name)}</code>: {column.rows:,} row{'' if column.rows == 1 else 's'}, "
        f"{escape(column.kind)}{f' ({escape(shown(column.example))})' if column.example else ''}</li>"
        for column in columns[:20]
    )
    rest = f"<li>and {len(columns) - 20:,} more</li>" if len(columns) > 20 else ""
    opened = " open" if any(column.refuses for column in columns) else ""
    count = f"{len(columns):,} column{'' if len(columns) == 1 else 's'} or keys not read"
    return f"<details{opened}><summary>{count}</summary><ul>{items}{rest}</ul></details>"
