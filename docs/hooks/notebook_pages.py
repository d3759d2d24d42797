"""The notebooks as pages, with the outputs that they were saved with; nothing is run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

FOLDER = "notebooks"


def page_of(source: str) -> str | None:
    """Return the page of a notebook of the repository; None for any other file."""
    path = Path(source)
    return f"{FOLDER}/{path.stem}.md" if path.suffix == ".ipynb" else None


def navigation(root: Path) -> list[tuple[str, str]]:
    """Return title and page of each."""
    return [(_title(file), f"{FOLDER}/{file.stem}.md") for file in _notebooks(root)]


def pages(root: Path) -> Iterator[tuple[str, str | bytes]]:
    """Yield each page, and its pictures."""
    from nbconvert import MarkdownExporter
    from traitlets.config import Config

    # Pictures before widgets, which need a kernel.
    order = ["image/png", "text/html", "text/markdown", "text/plain"]
    exporter = MarkdownExporter(config=Config({"NbConvertBase": {"display_data_priority": order}}))
    for file in _notebooks(root):
        stem = file.stem
        text, resources = exporter.from_filename(str(file), {"unique_key": stem, "output_files_dir": stem})
        yield f"{FOLDER}/{stem}.md", _tidy(text, file)
        for name, content in resources["outputs"].items():
            yield f"{FOLDER}/{name}", content


def _tidy(text: str, file: Path) -> str:
    text = re.sub(r"<style[^>]*>.*?</style>", "", text, flags=re.DOTALL)
    text = re.sub(r"!\[png\]\(", "![Picture of the output above](", text)
    text = re.sub(r"^```python\n%%?\w", lambda m: m[0].replace("python", "ipython", 1), text, flags=re.MULTILINE)
    where = f"This page is `{FOLDER}/{file.name}` with the outputs it was saved with; open it with `make lab`.\n"
    title, _, rest = text.lstrip().partition("\n")
    if not title.startswith("# "):  # it begins with a cell of code
        title, rest = f"# {_title(file)}", text
    return f"{title}\n\n{where}\n{rest}"


def _title(file: Path) -> str:
    import nbformat

    cells = nbformat.read(file, as_version=4).cells
    first = cells[0].source.strip().split("\n")[0] if cells and cells[0].cell_type == "markdown" else ""
    return (
        str(first.removeprefix("# "))
        if first.startswith("# ")
        else file.stem.lstrip("0123456789_").replace("_", " ").capitalize()
    )


def _notebooks(root: Path) -> list[Path]:
    return sorted((root / FOLDER).glob("[0-9]*.ipynb"))
