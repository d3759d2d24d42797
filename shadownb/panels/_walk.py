"""The first walk through a Studio: the steps of a job from data to a served model, which are done, and where the next one is.

It is shown where no run was made yet, until somebody hides it; what was hidden is remembered in the home.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from shadownb.engine.disk import write_atomically
from shadownb.engine.home import subfolder
from shadownb.engine.runs.store import default_store
from shadownb.errors import ShadowError

if TYPE_CHECKING:
    from .studio import Studio

# id, title, what to do, tab
STEPS = (
    ("data", "Data", "Choose a data set, a variable, a file or a recording.", "train"),
    ("model", "Model", "Choose one and load it; a small one trains on any machine.", "train"),
    ("start", "Start", "See what will run and what it costs, then start.", "train"),
    ("watch", "Watch", "Curves, samples and time left; it may be paused and stopped.", "run"),
    ("chat", "Chat", "Ask the tuned model, the base beside it.", "chat"),
    (
        "evaluate",
        "Evaluate",
        "Score both on rows that were held out: the run's button Evaluate fills that in.",
        "evaluate",
    ),
    ("export", "Export", "Write files that others run: the run's button Export fills that in.", "export"),
    ("serve", "Serve", "Let clients ask it: the run's button Serve fills that in.", "serve"),
)
_FILE = "studio.json"


class Walk:
    """Which steps were done in a Studio; one that was done stays so."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self._done: set[str] = set()
        self.shown = not default_store().all() and not _was_hidden()
        looked_at: tuple[tuple[Any, list[str]], ...] = (
            (studio.train, ["data_state", "model_state", "run_state"]),
            (studio.chat, ["turns"]),
            (studio.evaluate, ["shown"]),
            (studio.export, ["report"]),
            (studio.serve, ["servers"]),
        )
        for panel, names in looked_at:
            panel.observe(lambda _: studio._writer.submit(self.look, key="walk"), names=names)

    def look(self) -> None:
        """See what was done, and tell the page."""
        for step, done in _TESTS.items():
            if step not in self._done and done(self._studio):
                self._done.add(step)
        self._studio.walk = self.state()

    def state(self) -> dict[str, Any]:
        """Return what the page shows."""
        steps = [
            {"id": name, "title": title, "about": about, "tab": tab, "done": name in self._done}
            for name, title, about, tab in STEPS
        ]
        return {"shown": self.shown, "steps": steps}

    def show(self, shown: bool) -> None:
        """Show it or hide it, also in the next Studio."""
        self.shown = shown
        with contextlib.suppress(OSError, ShadowError):  # a home that cannot be written shows it again
            write_atomically(subfolder("panels") / _FILE, json.dumps({"walk_hidden": not shown}))
        self.look()


_TESTS: dict[str, Callable[[Any], bool]] = {  # of a Studio
    "data": lambda studio: bool(studio.train.data_state["stage"] == "ready"),
    "model": lambda studio: bool(studio.train.model_state["stage"] == "ready"),
    "start": lambda studio: studio.train.run_state["stage"] in ("active", "ended"),
    "watch": lambda studio: bool(studio.train.run_state["stage"] == "ended"),
    "chat": lambda studio: bool(studio.chat.turns),
    "evaluate": lambda studio: bool(studio.evaluate.shown),
    "export": lambda studio: bool(studio.export.report),
    "serve": lambda studio: bool(studio.serve.servers),
}


def _was_hidden() -> bool:
    with contextlib.suppress(OSError, ValueError, AttributeError, ShadowError):
        found = json.loads((subfolder("panels") / _FILE).read_text(encoding="utf-8"))
        return bool(found.get("walk_hidden"))
    return False
