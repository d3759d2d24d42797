"""SweepPanel: start a sweep, watch its trials, and see which options mattered and which trial was best."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import traitlets as t

from shadownb.engine.runs.handle import Run
from shadownb.engine.runs.index import stamp_of
from shadownb.engine.runs.store import default_store
from shadownb.engine.sweeps.folder import folders
from shadownb.engine.sweeps.sweep import Sweep
from shadownb.errors import ConfigError

from ._base import Panel
from ._stores import Follower
from ._sweep_view import listed, options_offered, shown
from ._worker import Worker

_LISTED = 50


class SweepPanel(Panel):
    """Sweeps: a form that starts one, the table of its trials, parallel coordinates, importance; usable alone.

    Parameters
    ----------
    model, dataset
        What trials train; in Studio those of the Train panel.
    sweep
        A sweep to show, or its name; None shows the newest.
    method
        The training method.
    **fields
        Options that all trials share.

    Examples
    --------
    >>> panel = snb.SweepPanel(model.fresh_copy(), rows, max_steps=2)
    >>> panel.look()
    >>> panel.settle()
    True
    >>> panel.close()
    """

    title = "Sweep"
    _bundle = "sweep"
    _charts = True

    sweeps: t.List[Any] = t.List(help="The newest sweeps: name, status, how many trials are done.").tag(sync=True)
    sweep = t.Dict(help="The sweep that is shown, in full, or empty.").tag(sync=True)
    offered: t.List[Any] = t.List(help="The options that can be swept.").tag(sync=True)
    base = t.Dict(help="What trials train, in words, and what is missing.").tag(sync=True)
    linked = t.Bool(False, help="Whether somebody shows runs, and takes the best options.").tag(sync=True)
    code = t.Dict(help="What does the same in a cell.").tag(sync=True)

    def __init__(
        self, model: Any = None, dataset: Any = None, sweep: Any = None, *, method: str = "lora", **fields: Any
    ) -> None:
        self._given = (model, dataset, method, fields)
        self._source: Callable[[], tuple[Any, Any, str, dict[str, Any]]] = lambda: self._given
        self._name = sweep.name if isinstance(sweep, Sweep) else sweep or ""
        self._follower: Follower | None = None
        self._show: Callable[[Run], None] | None = None
        self._take: Callable[[str, dict[str, Any]], None] | None = None
        self._own: dict[str, Sweep] = {}  # those that this panel drives
        super().__init__(offered=options_offered())
        self._slow = Worker("SweepPanel reading", self.show_error)

    # -- for Python --------------------------------------------------------------------------------------------------

    def look(self) -> None:
        """Read the sweeps, and follow them from now on; the page does this once it is shown.

        Examples
        --------
        >>> panel = snb.SweepPanel()
        >>> panel.look()
        >>> panel.settle(), panel.base["missing"]
        (True, 'Choose data and a model first.')
        >>> panel.close()
        """
        if self._follower is None:
            self._follower = Follower(self._stamp, self._changed, self.show_error, seconds=1.0)
        self._changed()

    def link(
        self,
        source: Callable[[], tuple[Any, Any, str, dict[str, Any]]],
        show: Callable[[Run], None],
        take: Callable[[str, dict[str, Any]], None],
    ) -> None:
        """Have a frame say what trials train, show runs, and take the best trial's method and options.

        Examples
        --------
        >>> panel = snb.SweepPanel()
        >>> panel.link(lambda: (model, rows, "lora", {}), print, print)
        >>> panel.linked
        True
        """
        self._source, self._show, self._take = source, show, take
        self.linked = True

    def settle(self, timeout: float | None = 30.0) -> bool:
        """Wait until commands are handled and all is read; False if that took longer."""
        return super().settle(timeout) and self._slow.wait(timeout) and super().settle(timeout)

    def close(self) -> None:
        """Remove the panel from the page; sweeps go on."""
        if self._follower is not None:
            self._follower.stop()
        super().close()

    # -- reading -----------------------------------------------------------------------------------------------------

    def _stamp(self) -> tuple[Any, ...]:
        found = folders()[:_LISTED]
        running = self._running()
        events = (stamp_of(running.folder.events),) if running is not None else ()
        return (*(stamp_of(folder.events) for folder in found), *events, self._source_words())

    def _running(self) -> Run | None:
        """Return the run of the trial that goes on in the sweep that is shown."""
        rows = [row for row in self.sweep.get("rows", ()) if row["state"] == "running" and row["run"]]
        return Run(default_store().find(rows[-1]["run"])) if rows else None

    def _changed(self) -> None:
        self._slow.submit(self._read, key="read")

    def _read(self) -> None:
        found = [Sweep(folder) for folder in folders()[:_LISTED]]
        names = [sweep.name for sweep in found]
        if self._name not in names:
            self._name = names[0] if names else ""
        opened = next((sweep for sweep in found if sweep.name == self._name), None)
        self._writer.submit(
            partial(
                self.write,
                sweeps=[listed(sweep) for sweep in found],
                sweep=shown(opened) if opened is not None else {},
                base=self._base(),
            ),
            key="read",
        )

    def _base(self) -> dict[str, Any]:
        model, dataset, method, fields = self._source()
        missing = "" if model is not None and dataset is not None else "Choose data and a model first."
        return {
            "words": self._source_words(),
            "missing": missing,
            "options": [[k, str(v)] for k, v in fields.items()],
            "method": method,
        }

    def _source_words(self) -> str:
        model, dataset, method, _ = self._source()
        if model is None or dataset is None:
            return ""
        return f"{method} of {model.name} on {getattr(dataset, 'name', 'the rows')} ({len(dataset):,} rows)"

    # -- commands of the page ----------------------------------------------------------------------------------------

    def _do_look(self) -> None:
        self.look()

    def _do_open(self, name: str) -> None:
        self._name = name
        self._read()

    def _do_start(self, **asked: Any) -> None:
        """Start a sweep as the form says."""
        model, dataset, method, fields = self._source()
        if model is None or dataset is None:
            raise ConfigError("There is nothing to train.", fix="Choose data and a model in the Train panel first.")
        options = _asked(asked)
        space = options.pop("space")
        given = {name: value for name, value in fields.items() if name not in space}
        if "method" not in space:
            given["method"] = method
        made = model.sweep(dataset, space, background=True, **options, **given)
        self._own[made.name] = made
        self._name = made.name
        self._read()

    def _do_code(self, **asked: Any) -> None:
        """Show what the form would do, as a cell."""
        _, _, method, fields = self._source()
        options = _asked(asked)
        space = options.pop("space")
        given = {**options, **({} if method == "lora" else {"method": method}), **fields}
        lines = [f"    {name}={value!r}," for name, value in given.items() if name not in space]
        self.code = {
            "python": "\n".join(["sweep = model.sweep(", "    data,", f"    {space!r},", *lines, ")", "sweep"])
        }

    def _do_stop(self) -> None:
        self._current().stop()

    def _do_resume(self) -> None:
        """Go on with the sweep that is shown: with the chosen model where that is of its base, else with one that is loaded."""
        sweep, model = self._current(), self._source()[0]
        same = model is not None and model.base_hash == sweep.spec["model"]["base_hash"] and model.active_run is None

        def work() -> None:
            sweep.resume(model if same else None, background=True)
            self._read()

        self._slow.submit(work)

    def _do_show(self, run: str) -> None:
        if self._show is not None:
            self._show(Run(default_store().find(run)))

    def _do_train_best(self) -> None:
        """Fill the Train panel with the best trial's options; without one, train with them."""
        sweep = self._current()
        options = sweep.best_options()
        if self._take is not None:
            options.pop("save_total_limit", None)
            self._take(options.pop("method"), options)
            return
        self._slow.submit(lambda: sweep.train_best(model=self._source()[0], background=True))

    def _current(self) -> Sweep:
        if not self._name:
            raise ConfigError("There is no sweep yet.", fix="Start one.")
        return self._own.get(self._name) or Sweep(next(folder for folder in folders() if folder.name == self._name))


def _asked(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return the form as arguments of ``model.sweep``."""
    space = {str(name): str(text) for name, text in asked.get("space", []) if str(name) and str(text).strip()}
    if not space:
        raise ConfigError(
            "No option is to be tried.", fix="Choose one and give its values: 4, 8, 16 or 1e-5..1e-3 log."
        )
    budget = str(asked.get("budget") or "").strip()
    options: dict[str, Any] = {"space": space, "metric": str(asked.get("metric") or "eval_loss").strip()}
    if budget:
        options["budget"] = int(budget) if re.fullmatch(r"\d+", budget) else budget
    options |= {name: asked[name] for name in ("sampler", "pruner") if asked.get(name, "auto") != "auto"}
    return options | ({"name": asked["name"]} if asked.get("name") else {})


def source_of(train: Any) -> tuple[Any, Any, str, dict[str, Any]]:
    """Return what the Train panel would train: model, data, method, options."""
    config = train.config
    fields = (
        {} if config is None else {name: getattr(config, name) for name in config.model_fields_set if name != "method"}
    )
    return train.model, train.dataset, train.method, fields
