"""RunPanel: watch a run, live or past, stop, pause or resume it, and go on with what it made.

The run's watcher thread calls back at most four times a second; each call queues one tick on the panel's writer, which
sends a small ``status`` and the new points of the curves (``delta``). A page that loads later gets everything from
:meth:`RunPanel.get_state`, computed at that moment and never sent otherwise. Displaying the panel makes two outputs:
the widget, and a static snapshot that is still there when the kernel is gone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import traitlets as t

from shadownb.engine.notifications.telling import chosen, problems
from shadownb.engine.runs.charts import extra_charts
from shadownb.engine.runs.results import asked_of
from shadownb.engine.runs.state import ENDED
from shadownb.errors import ShadowError

from . import _checkpoints
from ._base import as_card
from ._completions import NOTHING, Completions
from ._feed import CurveFeed
from ._finish import finishes
from ._finishing import Finishing
from ._line import show_in_this_cell
from ._naming import user_namespace
from ._run_values import about_of, as_run, chart_of, code_of, pickable, record_of, shortened, status_of, with_asked
from ._snapshot import STATUS_WORDS, milestone, run_bundle
from ._snapshot_panel import SnapshotPanel
from ._worker import Worker

_TOLD_SECONDS = 40.0  # in which channels are told of an end
_KEPT_SAMPLES = 12  # evaluations whose sampled answers the page gets


class RunPanel(Finishing, SnapshotPanel):
    """Shows one run live: phase, progress, curves, samples, checkpoints; buttons to stop, pause, resume, and for what comes next.

    Parameters
    ----------
    run
        A run, or the id of one: of this kernel or another process, active or ended.
    namespace
        A dict in which loaded models are looked up; None means the notebook's variables.

    Examples
    --------
    >>> panel = snb.RunPanel(run)
    >>> panel.settle(), panel.run is run
    (True, True)
    >>> panel.close()
    """

    _bundle = "run"
    _charts = True
    _revived_by = ("about",)

    about = t.Dict(help="Run id, method, model, folder.").tag(sync=True)
    status = t.Dict(help="Everything small that changes with each step.").tag(sync=True)
    delta = t.Dict(help="New points of the curves.").tag(sync=True)
    snapshot = t.Dict(help="Whole curves; a page that loads gets all of them.").tag(sync=True)
    charts: t.List[Any] = t.List(help="Charts beside the common ones: id, title, curves, share.").tag(sync=True)
    record = t.Dict(help="What the run was estimated to need and what it really ran with.").tag(sync=True)
    samples: t.List[Any] = t.List(help="Answers sampled at evaluations.").tag(sync=True)
    answers = t.Dict(NOTHING, help="Scored answers of a step of reinforcement, group by group.").tag(sync=True)
    checkpoints: t.List[Any] = t.List(help="Each with its step, folder, loss, and whether it is the result.").tag(
        sync=True
    )
    losses = t.Dict(_checkpoints.NOT_MEASURED, help="Held-out loss of base and checkpoints, once asked for.").tag(
        sync=True
    )
    finishes: t.List[Any] = t.List(help="What can be done with the run, each with its code.").tag(sync=True)
    runs: t.List[Any] = t.List(help="Runs that can be shown instead.").tag(sync=True)
    warnings: t.List[Any] = t.List().tag(sync=True)
    failure = t.Dict(help="Why the run failed, as a card, or empty.").tag(sync=True)
    pictured = t.Unicode(help="Caption of the static snapshot that was displayed last, or empty.").tag(sync=True)
    code = t.Dict(help="What does the same in a cell.").tag(sync=True)

    def __init__(self, run: Any, *, namespace: Mapping[str, Any] | None = None) -> None:
        run = self._run = as_run(run)
        self._namespace = namespace
        self._finishes_known: tuple[Any, ...] = ()
        self._finishes_shown: list[dict[str, Any]] = []
        self._feed = CurveFeed()
        self._unsubscribe: Callable[[], None] = lambda: None
        self._told = False
        self._samples_known: tuple[int, int] | None = None
        self._samples_shown: list[dict[str, Any]] = []
        self._completions = Completions(run)
        self._slow = Worker("RunPanel resume", self.show_error)
        state = run.state
        # Before the model opens: what its first snapshot has beyond this, the first delta repeats and the page drops.
        self._feed.begin(state)
        super().__init__(about=about_of(run), code=code_of(run.id), **self._values(state))
        self._unsubscribe = run.subscribe(self._on_state)

    @property
    def run(self) -> Any:
        """The run that is shown."""
        return self._run

    def show(self, run: Any) -> None:
        """Show another run, or the one of an id, in the place of this one.

        Examples
        --------
        >>> panel = snb.RunPanel(run)
        >>> other = model.train(rows, start="base", max_steps=2, background=False)
        >>> panel.show(other)
        >>> panel.settle(), panel.run is other
        (True, True)
        >>> panel.close()
        """
        run = as_run(run)
        self._unsubscribe()
        with self._gate:
            self._run = run
            self._completions, self._samples_known, self._finishes_known = Completions(run), None, ()
            sequence, self._feed = self._feed.sequence, CurveFeed()
            self._feed.sequence = sequence + 1  # a page takes no older one
            state = run.state
            self._feed.begin(state)
            values = {**self._values(state), "losses": _checkpoints.NOT_MEASURED, "delta": {}}
            self.write(about=about_of(run), code=code_of(run.id), **values, snapshot=self._feed.snapshot(state))
        self._unsubscribe = run.subscribe(self._on_state)

    def close(self) -> None:
        """Remove the panel from the page and stop following the run; the run continues."""
        self._unsubscribe()
        super().close()

    def _revival(self) -> str:
        return f'RunPanel("{self._run.id}")'

    # -- from the run to the page ----------------------------------------------------------------------------------

    def _on_state(self, state: Any) -> None:
        self._writer.submit(lambda: self._tick(state), key="tick")

    def _tick(self, state: Any) -> None:
        values = self._values(state)
        delta, snapshot = self._feed.advance(state, final=values["status"]["status"] in ENDED)
        if delta is not None:
            values["delta"] = delta
        if snapshot is not None:
            values["snapshot"] = snapshot
        self.write(**values)
        self._refresh_displays()
        if values["status"]["status"] in ENDED and not self._told:
            self._told = True
            if chosen(self._run.config.notify):
                self._slow.submit(self._await_notices)

    def _notices(self) -> list[dict[str, Any]]:
        """Return what did not reach a channel as warnings."""
        return [
            {"code": "notification", "what": f"A notification did not arrive: {each}.", "why": "", "fix": ""}
            for each in problems(self._run.path)
        ]

    def _await_notices(self) -> None:
        """Wait until channels have been told, which takes seconds after the end, and show what went wrong."""
        until = time.monotonic() + _TOLD_SECONDS
        while time.monotonic() < until and any(
            each["ok"] is None for each in self._run.notifications or [{"ok": None}]
        ):
            time.sleep(0.5)
        self._on_state(self._run.state)

    def _values(self, state: Any) -> dict[str, Any]:
        return {
            "status": status_of(state, self._run.status),
            "charts": [chart_of(chart) for chart in extra_charts(state.series)],
            "record": record_of(state.record),
            "samples": self._samples_of(state),
            "answers": self._completions.of(state),
            "checkpoints": _checkpoints.listed(self._run, state),
            "finishes": self._finishes_of(state),
            "warnings": [*state.warnings, *self._notices()],
            "failure": self._failure_of(state),
        }

    def _samples_of(self, state: Any) -> list[dict[str, Any]]:
        """Return the sampled answers; they lie in files, so they are read only when there are new ones."""
        known = (state.attempt, len(state.samples))
        if known != self._samples_known:
            self._samples_known = known
            asked = asked_of(self._run.folder)
            found = self._run.samples()[-_KEPT_SAMPLES:]
            self._samples_shown = [shortened(with_asked(sample, asked)) for sample in found]
        return self._samples_shown

    def _finishes_of(self, state: Any) -> list[dict[str, Any]]:
        """Return what can be done with the run; looked for anew when it ended or was gone on with."""
        known = (self._run.id, state.status, len(state.checkpoints))
        if known != self._finishes_known:
            self._finishes_known, self._finishes_shown = known, finishes(self._run, self._names())
        return self._finishes_shown

    def _names(self) -> Mapping[str, Any]:
        return self._namespace if self._namespace is not None else user_namespace()

    def _run_to_finish(self, run: str) -> Any:
        return self._run

    def _failure_of(self, state: Any) -> dict[str, Any]:
        if not state.error:
            return {}
        if self.failure.get("what") == state.error["what"]:
            return dict(self.failure)
        return {**state.error, "details": self._run.traceback()}

    def get_state(self, key: Any = None, drop_defaults: bool = False) -> dict[str, Any]:
        """Return the synced state, for a new page with the whole curves as they are now."""
        with self._gate:
            state = super().get_state(key, drop_defaults)
            if key is None:
                state["snapshot"] = self._feed.snapshot(self._run.state)
                state["delta"] = {}
            return state

    # -- from the page to the run: each call only enqueues ---------------------------------------------------------

    def _do_resync(self) -> None:
        self.snapshot = self._feed.snapshot(self._run.state)

    def _do_show_answers(self, step: int | None = None) -> None:
        """Show the scored answers of a step; without one those of the newest, as they come."""
        self._completions.choose(step)
        self.answers = self._completions.of(self._run.state)

    def _do_stop(self) -> None:
        self._run.stop(save=True)

    def _do_discard(self) -> None:
        self._run.discard()

    def _do_pause(self) -> None:
        self._run.pause()

    def _do_resume(self) -> None:
        if self._run.status == "paused":
            self._run.resume()
        else:  # may load the model first
            self._slow.submit(self._run.resume)

    def _do_look_for_runs(self) -> None:
        """List the runs that can be shown instead."""
        self._slow.submit(lambda: self.write(runs=pickable(self._run.id)), key="runs")

    def _do_show(self, run: str) -> None:
        self.show(run)

    def _do_promote(self, step: int) -> None:
        """Make a checkpoint what the run is loaded with."""
        from shadownb.engine import runs

        runs.promote(self._run.id, step)
        self._finishes_known = ()
        state = self._run.state
        self.write(checkpoints=_checkpoints.listed(self._run, state), finishes=self._finishes_of(state))

    def _do_measure(self) -> None:
        """Compute the loss of base and checkpoints on the rows that were held out."""
        run = self._run

        def told(losses: dict[str, Any]) -> None:
            if run is self._run:
                self.losses = losses

        def work() -> None:
            try:
                _checkpoints.measure(run, self._names(), told)
            except ShadowError as error:
                told({"stage": "failed", "error": as_card(error)})

        told({"stage": "working", "done": 0, "total": 0, "losses": {}})
        self._slow.submit(work, key="measure")

    # -- the static snapshot ---------------------------------------------------------------------------------------

    def _ipython_display_(self) -> None:
        show_in_this_cell(self._run.id)
        super()._ipython_display_()

    def _static_output(self) -> tuple[dict[str, Any], dict[str, Any]]:
        return run_bundle(self._run)

    def _milestone(self) -> Any:
        return milestone(self._run.state)

    def _after_snapshot(self, text: str) -> None:
        self.pictured = text.splitlines()[0]

    def __repr__(self) -> str:
        status = self._run.status
        return f"RunPanel({self._run.id}: {STATUS_WORDS.get(status, status)})"
