"""Rows as public data sets have them, what each becomes, and the table in the docs that is made of both.

``python -m tests.engine.data_shapes`` writes docs/data-shapes.md; a test fails while the file says something else.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from shadownb.engine.data import Dataset
from shadownb.engine.data.unread import LONGEST_LABEL

Row = dict[str, Any]
TABLE = Path(__file__).parents[2] / "docs" / "data-shapes.md"


@dataclass(frozen=True)
class Shape:
    """One shape of rows.

    Attributes
    ----------
    title, seen_in
        What it is called, and public sets or tools that have it.
    rows
        An example; more than one row where the shape needs several.
    becomes
        The first row in canonical form; None where the set is refused as it stands.
    options
        How the rows are read, where a plain reading refuses them.
    unread
        What is not read: name to kind.
    """

    title: str
    seen_in: str
    rows: list[Row]
    becomes: Row | None
    format: str = "instruction"
    options: dict[str, Any] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)


def _load() -> list[Shape]:
    entries = yaml.safe_load(EXAMPLES.read_text(encoding="utf-8"))
    return [Shape(**{name.replace(" ", "_"): value for name, value in entry.items()}) for entry in entries]


EXAMPLES = Path(__file__).with_suffix(".yaml")
SHAPES = _load()

HEAD = """\
# Rows of public data sets

What `Dataset` makes of rows as public sets have them. Names are compared without case, blanks and hyphens. A test makes this page
(`python -m tests.engine.data_shapes`); it reads an example of each.

**What is not read is told.** `data.report.unread` names and counts every column and key that was not read. Numbers, dates, flags,
and one line of at most {longest} characters under a name that says metadata (its last word is id, source, language, category,
model, date ...) are told and left; any other text, a call, a tool, a verdict or bytes refuses the row, unless it repeats what
was read or `ignore=` names it.

Names of your own are mapped with `columns=`, here, in the Train panel, and as `--columns` in the magic and the command line:

```python
data = snb.Dataset.load("rows.csv", columns={{"frage": "prompt", "antwort": "completion"}}, ignore=["notiz"])
```

Lists, files, pandas and polars frames, Arrow tables and a `datasets.Dataset` are read alike; `train`, `compare`, `loss` and
`leakage` take them as they are. Nulls that Arrow fills into schemas and arguments are taken out.
"""


def read(shape: Shape) -> Dataset:
    return Dataset.from_list(shape.rows, **shape.options)


def table() -> str:
    """Return the page of the docs."""
    lines = [
        *HEAD.format(longest=LONGEST_LABEL).splitlines(),
        *_line(["shape", "seen in", "read as", "options", "not read"]),
    ]
    lines += ["|---|---|---|---|---|"]
    for shape in SHAPES:
        data = read(shape)
        usable = data.format != "raw" and data.report.ok
        unread = ", ".join(f"{column.name} ({column.kind})" for column in data.report.unread)
        options = ", ".join(f"`{name}={value}`" for name, value in shape.options.items())
        cells = [shape.title, shape.seen_in, data.format if usable else "refused", options, unread or "--"]
        lines += _line(cells)
    return "\n".join([*lines, ""])


def _line(cells: list[str]) -> list[str]:
    return ["| " + " | ".join(cell.replace("|", "\\|").replace("<", "&lt;") for cell in cells) + " |"]


if __name__ == "__main__":
    TABLE.write_text(table(), encoding="utf-8")
