"""A static snapshot beside a panel, in an output of its own, that is still there without a kernel.

A page without a kernel drops a widget together with everything in the same output.
"""

from __future__ import annotations

from typing import Any

from ._base import Panel
from ._snapshot import publish


class SnapshotPanel(Panel):
    """A panel with a snapshot beside it.

    A subclass gives ``_snapshot_text()`` (or ``_static_output()``, where it is more than a text) and ``_milestone()``; the
    snapshot is renewed whenever the milestone has changed.
    """

    def __init__(self, **traits: Any) -> None:
        self._displays: list[Any] = []
        self._shown_milestone: Any = None
        super().__init__(**traits)

    def keep_current(self, display: Any) -> None:
        """Put the snapshot into an existing display, now and at each milestone."""
        self._displays.append(display)
        self._shown_milestone = None
        self._refresh_displays()

    def _snapshot_text(self) -> str:
        raise NotImplementedError

    def _static_output(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return (data, metadata) of a display."""
        return {"text/plain": self._snapshot_text()}, {}

    def _milestone(self) -> Any:
        raise NotImplementedError

    def _after_snapshot(self, text: str) -> None:
        """Called with the text of a snapshot that has been displayed."""

    def _ipython_display_(self) -> None:
        publish(*(self._repr_mimebundle_() or ({"text/plain": repr(self)}, {})))
        self._shown_milestone = self._milestone()
        data, metadata = self._static_output()
        self._displays.append(publish(data, metadata, updatable=True))
        self._after_snapshot(data["text/plain"])

    def _refresh_displays(self) -> None:
        milestone = self._milestone()
        if not self._displays or milestone == self._shown_milestone:
            return
        self._shown_milestone = milestone
        data, metadata = self._static_output()
        for display in self._displays:
            if display is not None:  # there is none outside of IPython
                display.update(data, metadata=metadata, raw=True)
        self._after_snapshot(data["text/plain"])
