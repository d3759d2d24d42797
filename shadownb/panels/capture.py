"""CapturePanel: start and stop a recording, point clients at it, and see its calls, usage and cost as they come.

The token never enters a trait, because a saved notebook holds those: the page gets it as a message, when somebody asks to
see or copy it, and forgets it on reload. Calls are read in pages from the store; the page of the browser gets the twenty
that it shows and the sums.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import traitlets as t

from shadownb.errors import BusyError, ConfigError, ModelError

from . import _choices, _judging, _recording
from ._base import as_card
from ._recorded_data import Recorded
from ._snapshot_panel import SnapshotPanel
from ._stores import Follower, as_choices, capture_choices, loaded_models, newest_seq, recorder_of
from ._worker import Background

_NOTHING: dict[str, Any] = {"stage": "none"}
_KEYS = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY")


class CapturePanel(SnapshotPanel):
    """Shows a recording live, or the form that starts one.

    Parameters
    ----------
    source
        A base URL or a loaded model, to fill in the form; or a capture, its store or its id, to show. None shows the
        capture that is recording in this kernel, if there is one.
    namespace
        A dict in which loaded models are looked up; None means the notebook's variables.

    Examples
    --------
    >>> panel = snb.CapturePanel(store)
    >>> panel.settle(), panel.store.count(), panel.proxy
    (True, 3, None)
    >>> panel.close()
    """

    _bundle = "capture"
    _revived_by = ("recording",)

    form: t.Dict[str, Any] = t.Dict(help="What a new recording would be started with.").tag(sync=True)
    choices = t.Dict(help="Loaded models, earlier captures, and which keys the environment has.").tag(sync=True)
    recording = t.Dict(_NOTHING, help="The recording that is shown: stage, address, upstream. Never its token.").tag(
        sync=True
    )
    totals = t.Dict(help="Calls, tokens, cost, by status and by model.").tag(sync=True)
    page = t.Dict(help="The calls that are on screen, and the filter.").tag(sync=True)
    call = t.Dict(help="The call that is open, or empty.").tag(sync=True)
    costs = t.Dict(help="What each call site took, once that was asked for.").tag(sync=True)
    code = t.Dict(help="What does the same in a cell, as a magic, in a shell.").tag(sync=True)
    trainable = t.Bool(False, help="Whether somebody trains on what is shown.").tag(sync=True)

    def __init__(self, source: Any = None, *, namespace: Mapping[str, Any] | None = None) -> None:
        self._namespace = namespace
        self._given: Any = None
        self._store: Any = None
        self._recorder: Any = None
        self._follower: Follower | None = None
        self._before: int | None = None
        self._filters: dict[str, Any] = {}
        self._tags: list[str] = []
        self._watchers: list[Callable[[Any], None]] = []
        self._train: Callable[[str], None] | None = None
        super().__init__(form=dict(_recording.DEFAULTS))
        self._heavy = Background("CapturePanel worker", self._writer)
        self._take(source)
        self._do_refresh()

    # -- for Python ----------------------------------------------------------------------------------------------

    @property
    def proxy(self) -> Any:
        """The running capture that is shown, or None."""
        return self._recorder if self._recorder is not None and self._recorder.is_running else None

    @property
    def store(self) -> Any:
        """The :class:`CaptureStore` that is shown, or None."""
        return self._store

    def show(self, capture: Any) -> None:
        """Show a capture: the object, its store or its id.

        Examples
        --------
        >>> panel = snb.CapturePanel()
        >>> panel.show("tickets")
        >>> panel.settle(), panel.store.count()
        (True, 3)
        """
        from shadownb.engine.capture import CaptureStore

        store = capture if isinstance(capture, CaptureStore) else getattr(capture, "store", None)
        store = store if store is not None else CaptureStore.open(capture)
        self._leave()
        self._store = store
        self._recorder = recorder_of(self._store)
        self._before, self._filters = None, {}
        self._tags = _judging.tags_of(self._store)
        self.call = self.costs = {}
        self._tick()
        if self.recording["stage"] in ("recording", "elsewhere"):
            self._follower = Follower(self._look, self._changed, self.show_error)
        for callback in self._watchers:
            callback(self._store)

    def on_show(self, callback: Callable[[Any], None]) -> None:
        """Call ``callback(store)`` whenever another store is shown.

        Examples
        --------
        >>> panel, shown = snb.CapturePanel(), []
        >>> panel.on_show(shown.append)
        >>> panel.show("tickets")
        >>> panel.settle(), [each.id for each in shown]
        (True, ['tickets'])
        """
        self._watchers.append(callback)

    def take_model(self, model: Any) -> None:
        """Offer a model of Studio as what answers the recorded calls."""
        self._given = model
        self._writer.submit(self._do_refresh, key="models")

    def on_train(self, train: Callable[[str], None]) -> None:
        """Call ``train(choice)`` when somebody wants to train on what is shown; Studio chooses it in Train.

        Examples
        --------
        >>> panel, chosen = snb.CapturePanel("tickets"), []
        >>> panel.on_train(chosen.append)
        >>> panel.trainable
        True
        """
        self._train = train
        self.trainable = True

    def settle(self, timeout: float | None = 30.0) -> bool:
        """Wait until all commands are done; False if that takes longer than ``timeout`` seconds."""
        return super().settle(timeout) and self._heavy.wait(timeout)

    def close(self) -> None:
        """Remove the panel from the page; the recording continues."""
        self._leave()
        super().close()

    def _revival(self) -> str:
        shown = self.recording.get("id")
        return f'CapturePanel("{shown}")' if shown else super()._revival()

    # -- commands of the page --------------------------------------------------------------------------------------

    def _do_refresh(self) -> None:
        models = loaded_models(self._names(), self._given)
        keys = {name: bool(os.environ.get(name)) for name in _KEYS}
        self.choices = {"models": as_choices(models), "captures": capture_choices(), "keys": keys}
        if self.form["model"] and self.form["model"] not in models:
            self.form = {**self.form, "model": ""}
        if self._store is not None:
            self._tags = _judging.tags_of(self._store)
            self._tick()
        self._show_code()

    def _do_set(self, values: dict[str, Any]) -> None:
        self.form = {**self.form, **_recording.checked(values)}
        self._show_code()

    def _do_start(self) -> None:
        if self.recording["stage"] in ("starting", "stopping", "recording"):
            return
        form = dict(self.form)
        options, model = _recording.options_of(form), self._model_of(form["model"])
        self._leave()
        self._store = self._recorder = None
        self.write(recording={"stage": "starting"}, totals={}, page={}, call={}, costs={})
        self._heavy.submit("start", lambda: _start(form, model, options), self.show, self._not_started)

    def _do_stop(self) -> None:
        recorder = self.proxy
        if recorder is None:
            return
        self.recording = {**self.recording, "stage": "stopping"}
        self._heavy.submit("stop", recorder.stop, lambda _: self._tick(), self._not_stopped)

    def _do_new(self) -> None:
        if self.recording["stage"] in ("starting", "stopping"):
            return
        self._leave()
        self._store = self._recorder = None
        self.write(recording=dict(_NOTHING), totals={}, page={}, call={}, costs={})
        self._do_refresh()

    def _do_show(self, capture: str) -> None:
        if self.recording["stage"] in ("starting", "stopping"):
            raise BusyError("A recording is being started or stopped.", fix="Wait until that is done.")
        self.show(capture)
        self._show_code()

    def _do_token(self) -> None:
        recorder = self.proxy
        if recorder is None:
            raise ConfigError("Nothing is being recorded here, so there is no token.", fix="Start a recording.")
        with self._gate:
            self.send({"kind": "token", "capture": recorder.id, "token": recorder.token})

    def _do_turn(self, to: str) -> None:
        rows = self.page.get("rows") or []
        if to == "older" and rows:
            self._before = rows[-1]["seq"]
        elif to == "newer" and rows:
            newer = self._store.calls(after=rows[0]["seq"], limit=_recording.PAGE + 1, **self._filters)
            self._before = newer[-1].seq if len(newer) > _recording.PAGE else None
        else:
            self._before = None
        self._show_page()

    def _do_filter(self, search: str = "", status: str = "", tag: str = "") -> None:
        """Show the calls in which a text stands; where none has it, those with a part of it in title or session."""
        given = {"text": search.strip(), "status": status, "tag": tag}
        self._filters = {name: value for name, value in given.items() if value}
        self._before = None
        store = self._store
        if store is None or "text" not in self._filters:
            self._show_page()
            return

        def found(number: int) -> None:
            if store is not self._store or self._filters.get("text") != given["text"]:
                return  # something else is shown or asked for by now
            if not number:
                self._filters["search"] = self._filters.pop("text")
            self._show_page()

        # A store of an earlier version is indexed for that, once, which takes a while.
        self._heavy.submit("search", lambda: store.count(text=given["text"]), found, self.show_error)

    def _do_train(self) -> None:
        """Hand the calls that are shown to Train: all, or those that the filter leaves."""
        if self._store is None or self._train is None:
            raise ConfigError("There is nothing to train on here.", fix="Show a recording, in a Studio.")
        selection = {"calls": dict(self._filters)} if self._filters else {}
        self._train(Recorded(self._store.id, selection).choice)

    def _do_open(self, call: str) -> None:
        found = self._store.find(call) if self._store is not None else None
        if found is None:
            raise ConfigError("This call is no longer in the store.", fix="Choose another one.")
        self._open(found)

    def _open(self, found: Any) -> None:
        self.call = {**_recording.detail_of(found), **_judging.details_of(found)}

    def _do_shut(self) -> None:
        self.call = {}

    def _do_score(self, call: str, value: float | None = None, note: str = "") -> None:
        """Keep what somebody thinks of the open call."""
        if self._store is None:
            raise ConfigError("No capture is shown.", fix="Open one.")
        self._store.score(call, _judging.number(value), note=note)
        found = self._store.find(call)
        if found is not None and self.call.get("id") == found.id:
            self._open(found)
        self._show_page()

    def _do_costs(self, by: str = "system") -> None:
        """Add up what each call site took; a moment of work for each thousand calls."""
        store = self._store
        if store is None:
            raise ConfigError("No capture is shown.", fix="Open one.")
        self.costs = {"by": by, "working": True}

        def shown(found: dict[str, Any]) -> None:
            if store is self._store:
                self.costs = found

        def failed(error: Exception) -> None:
            self.costs = {}
            self.show_error(error)

        self._heavy.submit("costs", lambda: _judging.costs_of(store, by), shown, failed)

    # -- what follows ----------------------------------------------------------------------------------------------

    def _take(self, source: Any) -> None:
        from shadownb.engine.capture.proxy import running_here

        if source is None:
            if running_here:
                self.show(list(running_here.values())[-1])
        elif isinstance(source, str) and "://" in source:
            self.form = {**self.form, **_recording.checked({"url": source})}
        elif isinstance(source, str) or hasattr(source, "calls"):
            self.show(source)
        elif hasattr(source, "base_hash"):
            self._given = source
            name = _choices.name_of(source, self._names())
            self.form = {**self.form, "url": "", "model": f"var:{name}" if name else "given"}
        else:
            raise ConfigError(
                f"source={source!r} cannot be recorded or shown.",
                fix="Give a base URL, a loaded model, a capture, its store or its id.",
            )

    def _model_of(self, choice: str) -> Any:
        if not choice:
            return None
        models = loaded_models(self._names(), self._given)
        if choice not in models:
            raise ModelError("The notebook no longer has that model.", fix="Choose a model again.")
        return models[choice][1]

    def _not_started(self, error: Exception) -> None:
        self.write(recording=dict(_NOTHING), error=as_card(error))

    def _not_stopped(self, error: Exception) -> None:
        self._tick()
        self.show_error(error)

    def _look(self) -> Any:
        """Return what has changed when something is to be shown anew."""
        recorder = self._recorder
        counters = getattr(recorder, "counters", None) or {}
        running = recorder is not None and recorder.is_running
        return newest_seq(self._store), running, *(counters.get(n) for n in ("active", "refused", "failed"))

    def _changed(self) -> None:
        self._writer.submit(self._tick, key="tick")
        self._writer.wait(30)  # the follower rests in proportion to what this took

    def _tick(self) -> None:
        store = self._store
        if store is None:
            return
        if self.recording["stage"] != "stopping" or self.proxy is None:
            elsewhere = self._recorder is None and store.files.is_owned
            self.recording = _recording.describe(store, self._recorder, elsewhere)
        if self.recording["stage"] == "stopped":
            self._leave()
        self.totals = _recording.totals_of(store, self._recorder)
        self._show_page()
        self._show_code()
        self._refresh_displays()

    def _show_page(self) -> None:
        if self._store is None:
            return
        bounds = {} if self._before is None else {"before": self._before}
        calls = self._store.calls(limit=_recording.PAGE + 1, newest_first=True, **bounds, **self._filters)
        self.page = {
            "rows": _judging.scored([_recording.row_of(call) for call in calls[: _recording.PAGE]], self._store),
            "older": len(calls) > _recording.PAGE,
            "newer": self._before is not None,
            "total": self._store.count(**self._filters) if self._filters else self.totals.get("calls", 0),
            "search": self._filters.get("text", "") or self._filters.get("search", ""),
            "status": self._filters.get("status", ""),
            "tag": self._filters.get("tag", ""),
            "tags": self._tags,
        }

    def _show_code(self) -> None:
        choice = self.form["model"]
        name = choice.removeprefix("var:") if choice.startswith("var:") else "model" if choice else None
        self.code = _recording.code_of(self.form, name, self._store.id if self._store is not None else None)

    def _leave(self) -> None:
        if self._follower is not None:
            self._follower.stop()
            self._follower = None

    def _names(self) -> Mapping[str, Any]:
        return self._namespace if self._namespace is not None else _choices.user_namespace()

    # -- the static snapshot ---------------------------------------------------------------------------------------

    def _snapshot_text(self) -> str:
        return _recording.snapshot_text(self.recording, self.totals)

    def _milestone(self) -> Any:
        """A new snapshot is due when the stage changes, and each time the calls have doubled."""
        return self.recording["stage"], self.recording.get("id"), int(self.totals.get("calls") or 0).bit_length()

    def __repr__(self) -> str:
        return f"CapturePanel({self.recording.get('id') or ''})"


def _start(form: Mapping[str, Any], model: Any, options: dict[str, Any]) -> Any:
    """Start a recording as the form says, and return its handle."""
    if form["process"]:
        from shadownb.engine.capture import captures

        return captures.start(form["url"], **options)
    from shadownb.engine.capture import capture

    return capture(form["url"] or None, model=model, **options).start()
