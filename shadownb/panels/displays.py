"""How engine objects show themselves in a notebook beyond what they know on their own.

The engine draws no pictures and knows no widgets. Importing ``shadownb`` in a kernel calls :func:`install`: displays of a
run then carry a PNG, which code hosts show where they drop everything else, and what takes long has a live line.
"""

from __future__ import annotations

from typing import Any

from shadownb.engine import live

from ._line import CellLine, show_in_this_cell


def display_run(run: Any) -> None:
    """Display a run: as a live panel while somebody works on it, as its static snapshot afterwards.

    Nothing where the cell shows it already: ``run.wait()`` as a cell's last line would be there twice.
    """
    if run.is_active:
        from .run import RunPanel

        RunPanel(run)._ipython_display_()
    elif show_in_this_cell(run.id):
        from ._snapshot import publish, run_bundle

        publish(*run_bundle(run))


def display_comparison(comparison: Any) -> None:
    """Display several runs: their table, and their losses in one picture."""
    from ._comparison import comparison_bundles
    from ._snapshot import publish

    for data, metadata in comparison_bundles(comparison):
        publish(data, metadata)


_DISPLAYED = (
    ("shadownb.engine.runs.handle", "Run", display_run),
    ("shadownb.engine.runs.comparison", "RunComparison", display_comparison),
)


def install(shell: Any) -> None:
    """Make ``shell`` show runs and comparisons of them through the functions above, and live lines in its cells.

    The engine is not imported for it. Doing it twice changes nothing.
    """
    formatter = shell.display_formatter.ipython_display_formatter
    for module, name, show in _DISPLAYED:
        formatter.for_type_by_name(module, name, show)
    live.notebook_place = CellLine
