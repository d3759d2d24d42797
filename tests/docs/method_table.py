"""The table of methods and backends on ``docs/methods.md``: ``python -m tests.docs.method_table`` writes it."""

from __future__ import annotations

import re
from pathlib import Path

from shadownb.engine import methods

PAGE = Path(__file__).parents[2] / "docs" / "methods.md"
BACKENDS = ("torch", "mlx")
_PLACE = re.compile(r"(?<=<!-- methods and backends -->\n\n).*?(?=\n\n<!-- end -->)", re.DOTALL)


def table() -> str:
    """Return the table: a line for the methods that have the same backends for the same reasons."""
    alike: dict[tuple[str, ...], list[str]] = {}
    for spec in (*methods.available(), methods.get("trl:orpo")):
        told = methods.backends(spec.name)
        cells = tuple("yes" if told[name] is None else f"no: {told[name]}" for name in BACKENDS)
        alike.setdefault(cells, []).append("trl's trainers" if spec.guest else f"`{spec.name}`")
    lines = [f"| {', '.join(names)} | {' | '.join(cells)} |" for cells, names in alike.items()]
    return "\n".join([f"| method | {' | '.join(f'`{name}`' for name in BACKENDS)} |", "|---|---|---|", *lines])


def text() -> str:
    """Return the page with the table as the code has it."""
    page = PAGE.read_text(encoding="utf-8")
    if not _PLACE.search(page):
        raise LookupError(f"{PAGE} has no place for the table.")
    return _PLACE.sub(lambda _: table(), page)


if __name__ == "__main__":
    PAGE.write_text(text(), encoding="utf-8")
