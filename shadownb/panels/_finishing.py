"""The buttons of a run that has ended: Studio opens the panel of each, filled; alone a panel shows the cell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import traitlets as t

from shadownb.errors import ConfigError

from ._base import Panel
from ._finish import ACTIONS

Finish = Callable[[str, Any, Sequence[int]], None]


class Finishing(Panel):
    """A panel that shows a run and what can be done with it."""

    finishes_linked = t.Bool(False, help="Whether somebody opens the panels of the run's buttons.").tag(sync=True)
    _finish: Finish | None = None

    def on_finish(self, finish: Finish) -> None:
        """Call ``finish(action, run, steps)`` when somebody wants to go on with a run; Studio opens the panel that does it.

        ``steps`` are those of checkpoints that are meant, empty for the run's result.

        Examples
        --------
        >>> panel, wanted = snb.RunPanel(run), []
        >>> panel.on_finish(lambda action, run, steps: wanted.append(action))  # called when a button is pressed
        >>> [each["id"] for each in panel.finishes]
        ['chat', 'evaluate', 'save', 'export', 'serve', 'push', 'branch']
        """
        self._finish = finish
        self.finishes_linked = True

    def _run_to_finish(self, run: str) -> Any:
        raise NotImplementedError

    def _do_finish(self, action: str, run: str = "", steps: Sequence[int] = ()) -> None:
        """Go on with a run: "chat", "evaluate", "save", "export", "serve", "push", "branch"."""
        if action not in ACTIONS:
            raise ConfigError(f"{action!r} is nothing to do with a run.", fix=f"There are {', '.join(ACTIONS)}.")
        if self._finish is None:
            raise ConfigError("This panel stands alone.", fix="Run the cell that it shows, or open a Studio.")
        self._finish(action, self._run_to_finish(run), steps)
