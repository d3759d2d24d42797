"""ExportPanel: a model as files that others run, with estimated sizes before, progress meanwhile, and the report afterwards."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import traitlets as t

from shadownb.engine import live
from shadownb.errors import ConfigError, ShadowError

from . import _choices, _contestants, _exported, _scorers
from ._base import as_card
from ._finish import keeps_base, model_at_hand
from ._snapshot_panel import SnapshotPanel
from ._stores import as_choices, loaded_models
from ._worker import Background

_OPENED = "open:"


class ExportPanel(SnapshotPanel):
    """What a model can be exported as, and how good each file is; usable alone.

    Parameters
    ----------
    model
        The loaded model that is offered first. None: the newest of the notebook's variables.
    namespace
        Where models, rows and scorers are looked up; None means the notebook's variables.

    Examples
    --------
    >>> panel = snb.ExportPanel(model, namespace={"model": model})
    >>> panel.settle(), panel.name == model.name
    (True, True)
    >>> [each["name"] for each in panel.formats][:3]
    ['q4_k_m', 'q5_k_m', 'q6_k']
    >>> panel.exported is None  # the last export that was made here
    True
    >>> panel.close()
    """

    title = "Export"
    _bundle = "export"
    _charts = True

    sources = t.List(t.Dict(), help="Models of the notebook, and results of runs that can be loaded.").tag(sync=True)
    source = t.Unicode(help="The chosen one.").tag(sync=True)
    name = t.Unicode(help="Of the chosen model; empty where there is none.").tag(sync=True)
    formats = t.List(t.Dict(), help="What it can be exported as.").tag(sync=True)
    suggested = t.Unicode(help="How a folder for it could be called.").tag(sync=True)
    merge_bytes = t.Int(help="What the merge in 32 bits takes on the disk meanwhile.").tag(sync=True)
    free_bytes = t.Int(help="Free on the disk of the notebook's folder.").tag(sync=True)
    held_out = t.Int(help="How many rows the model's run held out.").tag(sync=True)
    data = t.List(t.Dict(), help="Other rows to measure on.").tag(sync=True)
    scorers = t.List(t.Dict(), help="What can score the answers.").tag(sync=True)
    state: t.Dict[str, Any] = t.Dict({"stage": "ready"}, help="What is being done, or has failed.").tag(sync=True)
    report = t.Dict(help="The last export, or empty.").tag(sync=True)
    wanted = t.Dict(help="What the form was filled with last, or empty.").tag(sync=True)
    pushed = t.Dict(help="What was uploaded, or would be, and what is wrong with it; or empty.").tag(sync=True)
    code = t.Dict(help="What does the same in a cell.").tag(sync=True)

    def __init__(self, model: Any = None, *, namespace: Mapping[str, Any] | None = None) -> None:
        self._namespace, self._given = namespace, model
        self._lists_runs = False  # only once somebody looks: reading their records takes a moment
        self._opened: tuple[str, Any] | None = None  # what it was loaded by
        self._offers: dict[str, Any] = {}
        self._counted: tuple[Any, int] = (None, 0)
        self._fills = 0
        self._stop = threading.Event()
        self.exported: Any = None
        """The last :class:`~shadownb.Export` that was made here, or None."""
        super().__init__()
        self._work = Background("ExportPanel work", self._writer)
        self._writer.submit(self._look)

    # -- for Python ---------------------------------------------------------------------------------------------------

    def take_model(self, model: Any) -> None:
        """Offer a model first, and choose it unless an export goes on.

        Examples
        --------
        >>> panel = snb.ExportPanel(namespace={})
        >>> panel.take_model(model)
        >>> panel.settle(), panel.name == model.name
        (True, True)
        >>> panel.close()
        """
        self._given = model

        def choose() -> None:
            if self.state["stage"] != "working":
                self.source = self._id_of(model)
            self._look()

        self._writer.submit(choose)

    def fill(self, run: Any, what: str) -> None:
        """Choose the result of a run and what it is written as: "save" (what was trained), "push", "export"; returns at once."""

        def choose() -> None:
            if self.state["stage"] == "working":
                raise ConfigError(f"This panel is busy: {self.state['doing']}.", fix="Wait until that is done.")
            self._lists_runs = True
            formats = [] if what == "export" else ["adapter"] if keeps_base(run) else ["merged"]
            choice, _ = model_at_hand(run, self._names())
            self._do_choose(choice or f"run:{run.id}")
            self._fills += 1
            self.wanted = {"what": what, "formats": formats, "measure": what == "export", "count": self._fills}

        self._writer.submit(choose)

    def settle(self, timeout: float | None = 30.0) -> bool:
        """Wait until commands are handled and all work is done; False if that took longer."""
        return super().settle(timeout) and self._work.wait(timeout)

    # -- commands of the page -----------------------------------------------------------------------------------------

    def _do_look(self) -> None:
        self._lists_runs = True
        self._look()

    def _do_choose(self, source: str) -> None:
        """Choose a model; the result of a run, a folder or a name is loaded first."""
        kind, _, rest = source.partition(":")
        if source in self._models():
            self.source = source
            self._look()
            return
        asked = (rest if kind == "run" else source).strip()
        if not asked:
            raise ConfigError("No model is chosen.", fix="Choose one, or give a folder, a run or a name.")
        self._refuse_while_working()
        self._stop.clear()
        progress = _Progress(self, f"loading {asked}")

        def load() -> Any:
            from shadownb.engine.models import load

            with live.heard(progress.hear), live.stoppable(self._stop.is_set):
                return load(asked)

        def loaded(model: Any) -> None:
            before, self._opened = self._opened, (asked, model)
            if before is not None and before[1] is not model:
                before[1].unload()
            self.write(source=f"{_OPENED}{asked}", state={"stage": "ready"})
            self._look()

        self._work.submit("load", load, loaded, self._failed)

    def _do_start(self, format: str, folder: str, compare: list[str], data: str = "", scorer: str = "") -> None:
        self._refuse_while_working()
        name, model = self._chosen()
        first, others = self._offer(format), [self._offer(each) for each in compare if each != format]
        if not folder.strip():
            raise ConfigError("No folder to write to.", fix="Give one, such as triage-gguf.")
        target = folder.strip()
        if not data and not self.held_out and (others or scorer):
            raise ConfigError(
                "There are no rows to compare on: this model's run held none out.",
                fix="Choose rows to measure on, best ones that it was not trained on.",
            )
        names = self._names()
        if data == _exported.NOTHING and (others or scorer):
            raise ConfigError("Nothing is compared without measuring.", fix="Choose rows to measure on.")
        rows = _choices.open_data(data, names) if data not in ("", _exported.NOTHING) else None
        judge = _scorers.open_scorer(scorer, names) if scorer else None
        opened = self.source.startswith(_OPENED)
        run = name if opened else model.trained[0] if model.trained else ""
        self.code = _exported.code(name, opened, run, first, others, target, data, scorer)
        self._stop.clear()
        progress = _Progress(self, f"exporting {first.name}")

        def export() -> Any:
            with live.heard(progress.hear), live.stoppable(self._stop.is_set):
                return model.export(
                    Path(target), first.format, dataset=rows, scorer=judge, report=data != _exported.NOTHING,
                    compare=[{"format": each.format, **each.options} for each in others], **first.options,
                )  # fmt: skip

        self._work.submit("export", export, self._done, self._failed)

    def _do_push(self, repo: str, private: bool = True, send: bool = False) -> None:
        """Say what an upload of the last export would send, or send it."""
        exported = self.exported
        if exported is None:
            raise ConfigError("Nothing was exported here yet.", fix="Export it first, then push that.")
        self._refuse_while_working()
        _Progress(self, f"sending to {repo}" if send else "looking at what would be sent")
        self.code = {"python": _exported.push_code(self.code.get("python", ""), repo, private, send)}

        def told(pushed: Any) -> None:
            self.write(pushed=_exported.pushed(pushed), state={"stage": "ready"})

        self._work.submit(
            "push", lambda: exported.push_to_hub(repo.strip(), private=private, dry_run=not send), told, self._failed
        )

    def _do_stop(self) -> None:
        """End the export at its next piece of work: files that are not whole are thrown away, whole ones are kept unmeasured."""
        if self.state["stage"] == "working" and not self._stop.is_set():
            self._stop.set()
            self.state = {**self.state, "stopping": True}

    # -- what follows ---------------------------------------------------------------------------------------------------

    def _done(self, exported: Any) -> None:
        self.exported = exported
        self.write(report=_exported.report(exported), pushed={}, state={"stage": "ready"})
        self._look()

    def _failed(self, error: Exception) -> None:
        if isinstance(error, live.Stopped):
            self.state = {"stage": "ready", "stopped": "Stopped: nothing has changed."}
        else:
            self.state = {"stage": "failed", "error": as_card(error)}
        self._look()

    def _refuse_while_working(self) -> None:
        if self.state["stage"] == "working":
            raise ConfigError(f"This panel is busy: {self.state['doing']}.", fix="Wait until that is done.")

    def _look(self) -> None:
        """Show what there is to choose from, and what the chosen model can be exported as."""
        models = self._models()
        names = self._names()
        if self.source not in models:
            self.source = self._id_of(self._given) or next(reversed(models), "")
        loaded = [
            *({**each, "group": "Loaded"} for each in as_choices(models)),
        ]
        if self._lists_runs:
            loaded += [each for each in _contestants.choices({}) if each["id"].startswith("run:")]
        values: dict[str, Any] = {
            "sources": loaded,
            "data": [{key: each[key] for key in ("id", "title", "group")} for each in _choices.data_choices(names)],
            "scorers": _scorers.scorer_choices(names),
            "free_bytes": shutil.disk_usage(Path.cwd()).free,
        }
        found = models.get(self.source)
        if found is None:
            self._offers = {}
            values |= {"name": "", "formats": [], "held_out": 0}
        else:
            values |= self._of_model(found[1])
        self.write(**values)
        self._refresh_displays()

    def _of_model(self, model: Any) -> dict[str, Any]:
        from shadownb.engine.exporters.calibration import rows_of_run
        from shadownb.engine.exporters.whole import slug
        from shadownb.engine.exports.offering import offers

        found = offers(model)
        self._offers = {_exported.identity(each.format, each.options): each for each in found}
        if self._counted[0] != model.trained:
            try:
                self._counted = model.trained, len(rows_of_run(model, "eval_dataset") or ())
            except ShadowError:  # rows that have changed since; the export says so
                self._counted = model.trained, 0
        return {
            "name": model.name,
            "formats": [_exported.shown(each) for each in found],
            "suggested": slug(model.name),
            "merge_bytes": 4 * model.weights.parameters_total,
            "held_out": self._counted[1],
        }

    def _offer(self, wanted: str) -> Any:
        if wanted not in self._offers:
            raise ConfigError(f"{wanted!r} is not a format of this model.", fix="Choose one of the table.")
        return self._offers[wanted]

    def _chosen(self) -> tuple[str, Any]:
        """Return the chosen model and what it is called in code."""
        found = self._models().get(self.source)
        if found is None:
            raise ConfigError("There is no model to export.", fix='Run model = snb.load("smollm2-135m") in a cell.')
        if self.source.startswith(_OPENED):
            return self.source.removeprefix(_OPENED), found[1]
        return _choices.name_of(found[1], self._names()) or "model", found[1]

    def _models(self) -> dict[str, tuple[str, Any]]:
        found = loaded_models(self._names(), self._given)
        if self._opened is not None:
            asked, model = self._opened
            found[f"{_OPENED}{asked}"] = (f"{asked} (loaded by this panel)", model)
        return {key: each for key, each in found.items() if each[1].is_loaded}

    def _id_of(self, model: Any) -> str:
        return next((key for key, (_, each) in self._models().items() if each is model), "")

    def _names(self) -> Mapping[str, Any]:
        return self._namespace if self._namespace is not None else _choices.user_namespace()

    # -- the static snapshot --------------------------------------------------------------------------------------------

    def _snapshot_text(self) -> str:
        return _exported.snapshot(self.exported)

    def _milestone(self) -> Any:
        return id(self.exported)

    def __repr__(self) -> str:
        return f"ExportPanel({self.exported.path})" if self.exported is not None else "ExportPanel()"


class _Progress:
    """Shows the phases of an export with the seconds that each took."""

    def __init__(self, panel: ExportPanel, what: str) -> None:
        self._panel, self._began = panel, time.monotonic()
        self._steps: list[dict[str, Any]] = []
        self._show(what)

    def hear(self, phase: str) -> None:
        """Begin a phase."""
        now = time.monotonic()
        if self._steps:
            self._steps[-1]["seconds"] = now - self._began
        self._began = now
        self._steps.append({"text": phase, "seconds": None})
        self._show(phase)

    def _show(self, doing: str) -> None:
        steps = [dict(each) for each in self._steps]
        self._panel.state = {"stage": "working", "doing": doing, "steps": steps, "stopping": self._panel._stop.is_set()}
