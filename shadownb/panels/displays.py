"""How engine objects show themselves in a notebook beyond what they know on their own.

The engine draws no pictures and knows no widgets; the extension calls :func:`install_formatters` and displays of a run
then carry a PNG as well, which code hosts show where they drop everything else.
"""

from __future__ import annotations

from typing import Any

from shadownb.engine.runs.handle import after_wait

from ._comparison import comparison_bundles
from ._snapshot import publish, run_bundle


def show_snapshot(run: Any) -> None:
    """Display the static snapshot of a run below the current cell; ``run.wait()`` ends with it in a notebook."""
    publish(*run_bundle(run))


def _show_after_wait(run: Any) -> None:
    """End a ``run.wait()`` with the final picture.

    Also where a panel keeps one: after a page reload the front end no longer updates displays from before.
    """
    show_snapshot(run)


def display_run(run: Any) -> None:
    """Display a run: as a live panel while somebody works on it, as its static snapshot afterwards."""
    if run.is_active:
        from .run import RunPanel

        RunPanel(run)._ipython_display_()
    else:
        show_snapshot(run)


def display_comparison(comparison: Any) -> None:
    """Display several runs: their table, and their losses in one picture."""
    for data, metadata in comparison_bundles(comparison):
        publish(data, metadata)


_DISPLAYED = (
    ("shadownb.engine.runs.handle", "Run", display_run),
    ("shadownb.engine.runs.comparison", "RunComparison", display_comparison),
)


def install_formatters(shell: Any) -> None:
    """Make ``shell`` show runs and comparisons of them through the functions above, without importing the engine."""
    formatter = shell.display_formatter.ipython_display_formatter
    for module, name, show in _DISPLAYED:
        formatter.for_type_by_name(module, name, show)
    if _show_after_wait not in after_wait:
        after_wait.append(_show_after_wait)


def remove_formatters(shell: Any) -> None:
    """Undo :func:`install_formatters`."""
    if _show_after_wait in after_wait:
        after_wait.remove(_show_after_wait)
    formatter = shell.display_formatter.ipython_display_formatter
    for module, name, _ in _DISPLAYED:
        formatter.deferred_printers.pop((module, name), None)
        for kind in [k for k in formatter.type_printers if (k.__module__, k.__name__) == (module, name)]:
            formatter.type_printers.pop(kind)
