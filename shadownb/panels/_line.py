"""The live line of a cell, and which runs a cell shows already.

The line is one output that is updated at most twice a second. Of a run it ends as the run's static snapshot, so that what
is saved says the same however long the work took.
"""

from __future__ import annotations

import time
from typing import Any

from shadownb.engine.live import Progress

_LEAST_SECONDS = 0.5  # between two updates: a front end that draws slowly must not fall behind

_shown_in: dict[str, str] = {}  # by run id: the cell that shows the run


def this_cell() -> str:
    """Return what identifies the cell that runs now, also where cells have no number; empty outside of a kernel."""
    from IPython.core.getipython import get_ipython

    parent: dict[str, Any] = getattr(get_ipython(), "get_parent", dict)()
    return str((parent.get("header") or {}).get("msg_id", ""))


def show_in_this_cell(run_id: str) -> bool:
    """Note that this cell shows a run, and return whether it did not yet."""
    cell = this_cell()
    before = _shown_in.get(run_id)
    _shown_in[run_id] = cell
    return not cell or before != cell


def is_in_this_cell(run_id: str) -> bool:
    """Return whether this cell shows a run, live or as a picture."""
    return bool(cell := this_cell()) and _shown_in.get(run_id) == cell


class CellLine:
    """The line of the cell that runs when it is made.

    Parameters
    ----------
    run
        The run that the line is about, or None.
    """

    def __init__(self, run: Any = None) -> None:
        self._run = run
        # A panel of the run in this very cell says it all, live and afterwards.
        self._needless = run is not None and is_in_this_cell(run.id)
        self._display: Any = None
        self._drawn = ("", "")  # phase and text
        self._drawn_at = float("-inf")

    def show(self, progress: Progress) -> None:
        """Draw the line, unless that was just done or the run has ended: then :meth:`end` shows it."""
        text = "  ".join(part for part in (progress.bar, progress.text) if part)
        now = time.monotonic()
        if self._needless or (progress.phase, text) == self._drawn or now - self._drawn_at < _LEAST_SECONDS:
            return
        if self._run is not None and not self._run.is_active:
            return
        self._drawn, self._drawn_at = (progress.phase, text), now
        self._put({"text/plain": text}, {})

    def end(self, text: str = "") -> None:
        """Replace the line by the text, or by the run's snapshot where there is none."""
        if self._needless:
            return
        if text:
            self._put({"text/plain": text}, {})
        elif self._run is not None and show_in_this_cell(self._run.id):
            from ._snapshot import run_bundle

            self._put(*run_bundle(self._run))

    def _put(self, data: dict[str, Any], metadata: dict[str, Any]) -> None:
        if self._display is not None:
            self._display.update(data, metadata=metadata, raw=True)
            return
        from ._snapshot import publish

        self._display = publish(data, metadata, updatable=True)
