"""RunsPanel: all runs of the store in a table that is searched, sorted and annotated; chosen ones side by side."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import traitlets as t

from shadownb.engine import runs as recorded
from shadownb.engine.disk import write_atomically
from shadownb.engine.home import subfolder
from shadownb.engine.runs.handle import Run
from shadownb.engine.runs.index import stamp_of
from shadownb.engine.runs.store import default_store
from shadownb.engine.runs.table import RunTable
from shadownb.errors import ConfigError, ShadowError

from ._finish import finishes
from ._finishing import Finishing
from ._naming import user_namespace
from ._queue import change_queue, queue_shown, queue_stamp
from ._runs_table import (
    DEFAULT_COLUMNS,
    columns_known,
    curves_of,
    line_of,
    metrics_of,
    run_in_full,
    side_by_side,
    title_of,
)
from ._stores import Follower
from ._worker import Worker

_PAGE = 25
_COMPARE_SECONDS = 5.0  # while a chosen run goes on
_MOST_CHOSEN = 12  # runs side by side; more colours cannot be told apart
_ASKED: dict[str, Any] = {
    "query": "",
    "sort": "created_at",
    "descending": True,
    "first": 0,
    "archived": False,
    "columns": list(DEFAULT_COLUMNS),
}
_REMEMBERED = ("sort", "descending", "columns")
_NO_CURVES: dict[str, Any] = {}


class RunsPanel(Finishing):
    """All runs: search, sort, tag, pin, archive, delete and restore them, and lay chosen ones side by side; usable alone.

    The columns and their order are remembered in the home.

    Parameters
    ----------
    query
        What the table is searched for at first; see :func:`shadownb.runs.search`.
    namespace
        A dict in which loaded models are looked up; None means the notebook's variables.

    Examples
    --------
    >>> panel = snb.RunsPanel("method:lora")
    >>> panel.look()
    >>> panel.settle(), panel.table["found"] > 0
    (True, True)
    >>> panel.close()
    """

    title = "Runs"
    _bundle = "runs"
    _charts = True

    asked: t.Dict[str, Any] = t.Dict(_ASKED, help="Query, sorting, page and columns of the table.").tag(sync=True)
    table: t.Dict[str, Any] = t.Dict(help="The page of the table: lines, how many there are, what is being read.").tag(
        sync=True
    )
    known: t.List[Any] = t.List(help="The columns that can be shown, in groups.").tag(sync=True)
    chosen: t.List[str] = t.List(t.Unicode(), help="Ids of the runs that are laid side by side.").tag(sync=True)
    comparison = t.Dict(help="The chosen runs: differences, results, axes.").tag(sync=True)
    curves = t.Dict(_NO_CURVES, help="The chosen runs' curves.").tag(sync=True)
    opened = t.Dict(help="The run that is open, in full, or empty.").tag(sync=True)
    queue: t.List[Any] = t.List(help="Devices on which runs wait, or that are paused, with the runs in order.").tag(
        sync=True
    )
    trash = t.Dict(help="How many runs can be restored, and what was deleted here last.").tag(sync=True)
    linked = t.Bool(False, help="Whether somebody shows a run that is asked for.").tag(sync=True)
    code = t.Dict(help="What does the same in a cell.").tag(sync=True)

    def __init__(self, query: str = "", *, namespace: Mapping[str, Any] | None = None) -> None:
        self._namespace = namespace
        self._store = default_store()
        self._table = RunTable(self._store)
        self._follower: Follower | None = None
        self._listed = 0  # when the folder of runs was changed last, of those that were read
        self._show: Callable[[Run], None] | None = None
        self._undo: list[str] = []
        self._compared: tuple[Any, Any, float] = (
            None,
            None,
            0.0,
        )  # runs, how far each was, and when they were laid side by side
        super().__init__(asked={**_ASKED, **_remembered(), "query": query})
        self._slow = Worker("RunsPanel reading", self.show_error)
        self._renew_code()

    # -- for Python ----------------------------------------------------------------------------------------------

    def look(self) -> None:
        """Read the runs, and follow them from now on; the page does this once it is shown.

        Examples
        --------
        >>> panel = snb.RunsPanel()
        >>> panel.look()
        >>> panel.settle()
        True
        >>> panel.close()
        """
        if self._follower is None:
            self._follower = Follower(self._stamp, self._changed, self.show_error, seconds=1.0)
        self._changed()

    def on_show(self, show: Callable[[Run], None]) -> None:
        """Call ``show(run)`` when somebody wants to see a run; Studio opens its Run tab.

        Examples
        --------
        >>> panel = snb.RunsPanel()
        >>> panel.on_show(print)
        >>> panel.linked
        True
        """
        self._show = show
        self.linked = True

    def take_run(self, run: Any) -> None:
        """Take notice of a run that began."""
        if self._follower is not None:
            self._changed()

    def settle(self, timeout: float | None = 30.0) -> bool:
        """Wait until commands are handled and all runs are read; False if that took longer."""
        return super().settle(timeout) and self._slow.wait(timeout) and super().settle(timeout)

    def close(self) -> None:
        """Remove the panel from the page and stop following the runs."""
        if self._follower is not None:
            self._follower.stop()
        super().close()

    # -- reading ---------------------------------------------------------------------------------------------------

    def _stamp(self) -> tuple[Any, ...]:
        """Return what changes when a run begins, goes, or goes on."""
        going_on = []
        for run_id in self._table.active:
            with contextlib.suppress(ShadowError):
                going_on.append(stamp_of(self._store.find(run_id).events))
        return (self._folder_changed(), *queue_stamp(), *going_on)

    def _folder_changed(self) -> int:
        try:
            return os.stat(self._store.home / "runs").st_mtime_ns
        except OSError:
            return 0

    def _changed(self) -> None:
        self._slow.submit(self._read, key="read")

    def _read(self) -> None:
        """Read what changed: all of it where runs came or went, else those that go on, which is quick with any number."""
        listed = self._folder_changed()
        if listed == self._listed and self._table.active:
            self._table.refresh_some(self._table.active)
            self._writer.submit(self._turn_page, key="page")
            return
        self._listed = listed
        for done, count in self._table.refreshing():
            reading = [done, count] if done < count else None
            self._writer.submit(partial(self._turn_page, reading), key="page")

    def _turn_page(self, reading: list[int] | None = None) -> None:
        asked, problem = self.asked, ""
        options = {name: asked[name] for name in ("sort", "descending", "first", "archived")}
        try:
            page = self._table.page(asked["query"], count=_PAGE, **options)
        except ConfigError as error:
            problem = str(error)
            page = self._table.page(count=_PAGE, **options)
        columns = [key for key in asked["columns"] if isinstance(key, str)]
        rows = {row["id"]: row for row in self._table.rows}
        trashed = [run.id for run in self._store.trashed()]
        self._undo = [run_id for run_id in self._undo if run_id in trashed]
        self.write(
            table={
                "columns": [[key, title_of(key)] for key in columns],
                "lines": [line_of(row, columns) for row in page.rows],
                "found": page.found,
                "first": page.first,
                "count": _PAGE,
                "all": len(rows),
                "hidden": page.archived,
                "reading": reading,
                "problem": problem,
            },
            known=columns_known(self._table.keys),
            chosen=[run_id for run_id in self.chosen if run_id in rows],
            opened=self._in_full(self.opened["id"], rows) if self.opened.get("id") in rows else {},
            queue=queue_shown(),
            trash={"count": len(trashed), "undo": list(self._undo), "ids": trashed[:20]},
        )
        self._compare_again(rows)

    def _run(self, run_id: str) -> Run:
        return Run(self._store.find(run_id))

    def _run_to_finish(self, run: str) -> Run:
        return self._run(run)

    def _in_full(self, run_id: str, rows: dict[str, Any]) -> dict[str, Any]:
        run = self._run(run_id)
        names = self._namespace if self._namespace is not None else user_namespace()
        return {**run_in_full(run, rows), "finishes": finishes(run, names)}

    # -- commands of the page --------------------------------------------------------------------------------------

    def _do_look(self) -> None:
        self.look()

    def _do_ask(self, **changes: Any) -> None:
        """Change query, sorting, page or columns."""
        unknown = changes.keys() - _ASKED.keys()
        if unknown:
            raise ConfigError(f"The table knows no {', '.join(sorted(unknown))}.")
        if "first" not in changes:
            changes["first"] = 0
        self.asked = {**self.asked, **changes}
        if set(_REMEMBERED) & changes.keys():
            _remember({name: self.asked[name] for name in _REMEMBERED})
        self._turn_page()
        self._renew_code()

    def _do_choose(self, runs: list[str]) -> None:
        if len(runs) > _MOST_CHOSEN:
            raise ConfigError(
                f"{len(runs)} runs are too many to lay side by side.", fix=f"Choose at most {_MOST_CHOSEN}."
            )
        self.chosen = list(dict.fromkeys(runs))
        self._compare()
        self._renew_code()

    def _do_curves(self, metric: str, axis: str = "step", smoothing: float = 0.0) -> None:
        runs = [self._run(run_id) for run_id in self.chosen]
        labels = self.comparison.get("labels") or [run.id for run in runs]
        self.curves = curves_of(runs, labels, metric, axis, smoothing)

    def _do_open(self, run: str) -> None:
        self.opened = self._in_full(run, {row["id"]: row for row in self._table.rows})

    def _do_close(self) -> None:
        self.opened = {}

    def _do_show(self, run: str) -> None:
        if self._show is not None:
            self._show(self._run(run))

    def _do_resume(self, run: str) -> None:
        """Go on with a run; its model may have to be loaded first."""
        found = self._run(run)

        def resume() -> None:
            found.resume()
            self._writer.submit(partial(self._do_show, run))

        self._slow.submit(resume)

    def _do_mark(self, runs: list[str], **marks: Any) -> None:
        """Tag, annotate, pin or archive runs; ``tag`` and ``untag`` add and take away one tag."""
        tag, untag = marks.pop("tag", None), marks.pop("untag", None)
        for run in map(self._run, runs):
            if tag or untag:
                marks["tags"] = [each for each in (*run.marks.tags, *([tag] if tag else [])) if each != untag]
            run.mark(**marks)
        self._table.refresh_some(runs)
        self._turn_page()

    def _do_queue(self, action: str, run: str = "", device: str = "", place: int = 0) -> None:
        """Change the order of the runs that wait, hold one, let it go on, take it out; pause a device's queue."""
        change_queue(action, self._run(run) if run else None, device, place)
        self.queue = queue_shown()

    def _do_trash(self, runs: list[str]) -> None:
        gone: list[str] = []
        try:
            for run_id in runs:
                recorded.trash(run_id)
                gone.append(run_id)
        finally:
            self._undo = gone
            self._table.refresh()
            self._turn_page()

    def _do_restore(self, runs: list[str] | None = None) -> None:
        for run_id in self._undo if runs is None else runs:
            recorded.restore(run_id)
        self._undo = []
        self._table.refresh()
        self._turn_page()

    def _do_empty_trash(self) -> None:
        recorded.empty_trash()
        self._turn_page()

    # -- several runs --------------------------------------------------------------------------------------------

    def _compare_again(self, rows: dict[str, Any]) -> None:
        """Lay the chosen runs side by side anew where one of them went on; that reads whole journals, so not at every step."""
        runs = [(run_id, rows[run_id]["status"]) for run_id in self.chosen]
        steps = [rows[run_id].get("step") for run_id in self.chosen]
        runs_before, steps_before, at = self._compared
        if runs != runs_before or (steps != steps_before and time.monotonic() - at >= _COMPARE_SECONDS):
            self._compared = runs, steps, time.monotonic()
            self._compare()

    def _compare(self) -> None:
        rows = {row["id"]: row for row in self._table.rows}
        runs = [self._run(run_id) for run_id in self.chosen]
        if len(runs) > 1:
            self.comparison = side_by_side(runs, rows)
        elif runs:
            self.comparison = {"ids": self.chosen, "labels": self.chosen, "metrics": metrics_of([rows[self.chosen[0]]])}
        else:
            self.comparison, self.curves = {}, {}
        if runs:
            shown = self.curves
            metrics = self.comparison["metrics"]
            metric = shown.get("metric") if shown.get("metric") in metrics else next(iter(metrics), None)
            if metric is not None:
                self._do_curves(metric, shown.get("axis", "step"), shown.get("smoothing", 0.6))

    def _renew_code(self) -> None:
        asked = self.asked
        options = [repr(asked["query"])] if asked["query"] else []
        options += [f"sort={asked['sort']!r}"] if asked["sort"] != "created_at" else []
        options += ["descending=False"] if not asked["descending"] else []
        options += ["archived=True"] if asked["archived"] else []
        lines = ["import shadownb as snb", f"snb.runs.search({', '.join(options)})"]
        if len(self.chosen) > 1:
            lines.append(f"snb.runs.diff({', '.join(map(repr, self.chosen))})")
        self.code = {"python": "\n".join(lines)}


def _remembered() -> dict[str, Any]:
    """Return how the table was sorted last and its columns; nothing where that cannot be read."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        found = json.loads((subfolder("panels") / "runs.json").read_text(encoding="utf-8"))
        columns = [key for key in found["columns"] if isinstance(key, str)]
        return {"sort": str(found["sort"]), "descending": bool(found["descending"]), "columns": columns}
    return {}


def _remember(values: dict[str, Any]) -> None:
    with contextlib.suppress(OSError, ShadowError):  # a home that cannot be written still has a table
        write_atomically(subfolder("panels") / "runs.json", json.dumps(values))
