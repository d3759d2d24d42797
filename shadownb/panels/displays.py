"""How engine objects show themselves in a notebook beyond what they know on their own.

The engine draws no pictures and knows no widgets; the extension calls :func:`install_formatters` and displays of a run
then carry a PNG as well, which code hosts show where they drop everything else.
"""

from __future__ import annotations

from typing import Any

from shadownb.engine.runs.handle import after_wait

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


def install_formatters(shell: Any) -> None:
    """Make ``shell`` show runs through :func:`display_run`, without importing the engine."""
    formatter = shell.display_formatter.ipython_display_formatter
    formatter.for_type_by_name("shadownb.engine.runs.handle", "Run", display_run)
    if _show_after_wait not in after_wait:
        after_wait.append(_show_after_wait)


def remove_formatters(shell: Any) -> None:
    """Undo :func:`install_formatters`."""
    if _show_after_wait in after_wait:
        after_wait.remove(_show_after_wait)
    formatter = shell.display_formatter.ipython_display_formatter
    formatter.deferred_printers.pop(("shadownb.engine.runs.handle", "Run"), None)
    for kind in [
        k for k in formatter.type_printers if k.__module__ == "shadownb.engine.runs.handle" and k.__name__ == "Run"
    ]:
        formatter.type_printers.pop(kind)
