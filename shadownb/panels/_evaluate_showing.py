"""What an Evaluate panel shows of an evaluation: how far it is, means and differences, items one by one, the leaderboard."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import traitlets as t

from shadownb.engine.evals import evaluations
from shadownb.engine.evals.evaluation.evaluation import Evaluation
from shadownb.engine.evals.evaluation.folder import EvaluationFolder
from shadownb.errors import DataError

from . import _evaluation_grid, _evaluation_items, _evaluation_view
from ._snapshot_panel import SnapshotPanel
from ._stores import Follower


class Showing(SnapshotPanel):
    """The evaluation that an Evaluate panel shows, whoever evaluates."""

    shown = t.Unicode("", help="The name of the evaluation that is shown.").tag(sync=True)
    progress = t.Dict(help="How far it is, suite by suite.").tag(sync=True)
    summary = t.Dict(help="Its means and differences.").tag(sync=True)
    findings = t.Dict(help="What it says in sentences.").tag(sync=True)
    narrowing = t.Dict(help="How its intervals became narrower while it was watched.").tag(sync=True)
    browse = t.Dict(help="The page of items that is open.").tag(sync=True)
    item = t.Dict(help="The item that is open.").tag(sync=True)
    grid = t.Dict(help="The problems by languages of a suite that are open.").tag(sync=True)
    board = t.Dict(help="The leaderboard, once somebody has looked at it.").tag(sync=True)
    saved = t.Unicode("", help="Where the report was written.").tag(sync=True)

    _view: _evaluation_view.EvaluationView | None = None
    _follower: Follower | None = None

    def _open(self, name: str) -> None:
        self._forget()
        self._look_at(name)
        if self.progress["status"] == "working":  # by somebody else
            self._watch(name)

    def _watch(self, name: str) -> None:
        """Show what is answered as it comes, whoever evaluates."""
        folder = EvaluationFolder.named(name)
        look = partial(self._writer.submit, partial(self._look_at, name), key="look")
        self._follow(Follower(lambda: (folder.stamp(), folder.is_owned), look, self.show_error))

    def _follow(self, follower: Follower | None) -> None:
        if self._follower is not None:
            self._follower.stop()
        self._follower = follower

    def _forget(self) -> None:
        self._follow(None)
        self._view = None
        self.write(shown="", progress={}, summary={}, findings={}, narrowing={}, browse={}, item={}, grid={}, saved="")

    def _look_at(self, name: str) -> None:
        if self._view is None or self._view.evaluation.name != name:
            self._view = _evaluation_view.EvaluationView(evaluations.open(name))
        values = self._view.look(self.summary.get("to"))
        self.write(shown=name, **values)
        if self.browse:
            self._browse(self.browse)
        if self.grid:
            self._do_show_grid(self.grid["suite"], self.grid["side"])
        self._refresh_displays()

    def _do_compare_to(self, side: str) -> None:
        self.summary = {**self.summary, "to": side}
        self._look_at(self.shown)
        if self.browse:
            self._browse({**self.browse, "to": side})

    def _do_browse(self, item: str = "", **asked: Any) -> None:
        found = self._evaluation_shown()
        sides = found.sides
        first = str(self.summary.get("to") or sides[0])
        whole: dict[str, Any] = {
            "suite": found.suites[0] if found.suites else "",
            "to": first,
            "side": next((side for side in reversed(sides) if side != first), first),
            "filter": "all",
            **{key: self.browse[key] for key in ("suite", "to", "side", "filter") if key in self.browse},
            "page": 0,
            **asked,
        }
        self.item = {}
        self._browse(whole)
        if item:
            self._do_show_item(item)

    def _browse(self, asked: Mapping[str, Any]) -> None:
        names = ("suite", "side", "to", "filter", "page")
        self.browse = _evaluation_items.listed(self._evaluation_shown(), {name: asked[name] for name in names})

    def _do_show_item(self, item: str) -> None:
        asked = self.browse
        self.item = _evaluation_items.detail(self._evaluation_shown(), asked["suite"], item, asked["side"], asked["to"])

    def _do_show_grid(self, suite: str, side: str) -> None:
        found = self._evaluation_shown()
        to = str(self.summary.get("to") or found.sides[0])
        self.grid = _evaluation_grid.squares(found, suite, side, to)

    def _do_show_board(self, suite: str = "") -> None:
        self.board = _evaluation_view.board(suite or None)

    def _do_save_report(self, form: str) -> None:
        found = self._evaluation_shown()
        path = f"evaluation-{found.name}.{form}"
        (found.to_markdown if form == "md" else found.to_html)(path)
        self.saved = path

    def _evaluation_shown(self) -> Evaluation:
        if self._view is None:
            raise DataError("No evaluation is shown.", fix="Evaluate, or open one that is kept.")
        return self._view.evaluation
