"""What people do with the episode that is open: the commands of the Trajectories panel that keep a click, take it back, use it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import traitlets as t

from shadownb.engine.capture.index import PAGE
from shadownb.errors import DataError

from ._episodes import EpisodeIndex
from ._snapshot_panel import SnapshotPanel
from ._teaching import USES, Teaching


class TaughtPanel(SnapshotPanel):
    """A panel over an index of episodes, one of which may be open."""

    query: t.Dict[str, Any] = t.Dict(help="Search, filters, order, and where the page begins.").tag(sync=True)
    facets = t.Dict(help="What there is to filter by.").tag(sync=True)
    page = t.Dict(help="The rows on screen, and how many there are.").tag(sync=True)
    conversation = t.Dict(help="The episode that is open, or empty.").tag(sync=True)
    clicks = t.Dict(
        help="How many episodes people rated, corrected and ranked, and whether a click can be taken back."
    ).tag(sync=True)
    handed = t.Dict(help="What was handed over to be trained on.").tag(sync=True)

    def __init__(self, **traits: Any) -> None:
        self._open: Any = None
        self._index: EpisodeIndex | None = None
        self._teaching: Teaching | None = None
        self._users: list[Callable[[Any, str], None]] = []
        super().__init__(**traits)

    def on_use(self, callback: Callable[[Any, str], None]) -> None:
        """Call ``callback(rows, method)`` when somebody wants to train on clicks; called in the panel's own thread.

        Examples
        --------
        >>> panel, used = snb.TrajectoriesPanel(store), []
        >>> panel.on_use(lambda rows, method: used.append(method))
        >>> panel.close()
        """
        self._users.append(callback)

    # -- commands of the page -------------------------------------------------------------------------------------

    # The page names the episode that it showed: another one may be open by the time that its message is read.
    def _do_score(self, value: float | None = None, note: str = "", episode: int | None = None) -> None:
        if self._open is None:
            return
        self._taught().rate(self.conversation["id"] if episode is None else int(episode), value, note)
        self._clicked()

    def _do_correct(self, answer: str, episode: int | None = None) -> None:
        if self._open is not None:
            self._taught().correct(self.conversation["id"] if episode is None else int(episode), answer)
            self._clicked()

    def _do_rank(self, best_first: list[list[int]]) -> None:
        self._taught().rank(best_first)
        self._clicked()

    def _do_undo(self) -> None:
        self._taught().undo()
        self._clicked()

    def _do_step(self, by: int) -> None:
        """Open the next episode of the list, or the one before."""
        index = self._need_index()
        ids = [row["id"] for row in self.page.get("rows", ())]
        if not ids or by not in (1, -1):
            return
        at = ids.index(self.conversation["id"]) + by if self.conversation.get("id") in ids else 0
        if not 0 <= at < len(ids):
            offset = self.query["offset"] + by * PAGE
            if not 0 <= offset < index.table.page(self.query, 0)[1]:
                return
            self._do_query({"offset": offset})
            ids = [row["id"] for row in self.page["rows"]]
            at = 0 if by > 0 else len(ids) - 1
        self._do_open(ids[at])

    def _do_use(self, what: str) -> None:
        """Hand over what people clicked to be trained on."""
        rows = self._taught().rows(what)
        method = USES[what]
        self.handed = {"what": what, "method": method, "rows": len(rows), "taken": bool(self._users)}
        for callback in self._users:
            callback(rows, method)

    # -- what the panel over it does -------------------------------------------------------------------------------

    def _do_open(self, episode: int) -> None:
        raise NotImplementedError

    def _do_query(self, values: dict[str, Any]) -> None:
        raise NotImplementedError

    def _show_page(self) -> None:
        raise NotImplementedError

    def _window(self, number: int, begin: int) -> dict[str, Any]:
        raise NotImplementedError

    def _need_index(self) -> EpisodeIndex:
        if self._index is None:
            raise DataError("No capture is chosen.", fix="Choose one first.")
        return self._index

    def _taught(self) -> Teaching:
        self._need_index()
        assert self._teaching is not None
        return self._teaching

    def _clicked(self) -> None:
        """Show what a click has changed."""
        index, open_now = self._need_index(), self.conversation.get("id")
        self.write(facets=index.table.facets(), clicks=self._taught().counts())
        if open_now is not None:
            self._open = index.trajectory(open_now)
            self.conversation = self._window(open_now, self.conversation["begin"])
        self._show_page()
