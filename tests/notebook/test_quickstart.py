"""The committed notebooks: small, static, without paths of a machine. What they do is run by nbval."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


def test_there_are_notebooks() -> None:
    assert NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_is_small_and_static(path: Path) -> None:
    assert path.stat().st_size <= 300_000
    notebook = nbformat.read(path, as_version=4)
    assert "widgets" not in notebook.metadata
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert outputs, "a code host would show nothing"
    kinds = {kind for output in outputs for kind in output.get("data", {})}
    assert "application/vnd.jupyter.widget-view+json" not in kinds
    if any(".train(" in cell.source for cell in notebook.cells):
        assert "image/png" in kinds, "the curves must be seen without a kernel"
    text = path.read_text(encoding="utf-8")
    assert "/home/" not in text and "/root/" not in text and "/tmp/" not in text


def test_the_quickstart_is_short() -> None:
    quickstart = nbformat.read(NOTEBOOKS[0], as_version=4)
    assert len(quickstart.cells) <= 12
