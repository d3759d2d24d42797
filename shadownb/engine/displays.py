"""Small HTML for rich displays: plain, escaped, inheriting the notebook's colours."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any

_CELL = "padding:2px 12px 2px 0;text-align:left;vertical-align:top;border:none;background:none"


def facts_html(title: str, facts: Mapping[str, Any]) -> str:
    """Return a titled two-column table."""
    rows = "".join(
        f'<tr style="background:none"><th scope="row" style="{_CELL};font-weight:normal;opacity:.75">{html.escape(str(name))}</th>'
        f'<td style="{_CELL}">{html.escape(str(value))}</td></tr>'
        for name, value in facts.items()
    )
    return f'<div style="color:inherit"><strong>{html.escape(title)}</strong><table style="border:none">{rows}</table></div>'
