"""RunPanel: watch a run, live or past, and stop, pause or resume it.

The run's watcher thread calls back at most four times a second; each call queues one tick on the panel's writer, which
sends a small ``status`` and the new points of the curves (``delta``). A page that loads later gets everything from
:meth:`RunPanel.get_state`, computed at that moment and never sent otherwise. Displaying the panel makes two outputs:
the widget, and a static snapshot that is still there when the kernel is gone.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import traitlets as t

from shadownb.engine.runs.charts import Chart, extra_charts
from shadownb.engine.runs.state import ENDED

from ._base import Panel
from ._feed import CurveFeed
from ._snapshot import STATUS_WORDS, caption, publish, snapshot_bundle
from ._worker import Worker

_KEPT_SAMPLES = 12  # evaluations whose sampled answers the page gets
_SAMPLE_LENGTH = 800  # characters of one of them


class RunPanel(Panel):
    """The live view of one run.

    Parameters
    ----------
    run
        A run handle: of this kernel or another process, active or ended.
    """

    _bundle = "run"
    _charts = True

    about = t.Dict(help="Run id, method, model, folder.").tag(sync=True)
    status = t.Dict(help="Everything small that changes with each step.").tag(sync=True)
    delta = t.Dict(help="New points of the curves.").tag(sync=True)
    snapshot = t.Dict(help="Whole curves; a page that loads gets all of them.").tag(sync=True)
    charts: t.List[Any] = t.List(help="Charts beside the common ones: id, title, curves, share.").tag(sync=True)
    record = t.Dict(help="What the run was estimated to need and what it really ran with.").tag(sync=True)
    samples: t.List[Any] = t.List(help="Answers sampled at evaluations.").tag(sync=True)
    checkpoints: t.List[Any] = t.List().tag(sync=True)
    warnings: t.List[Any] = t.List().tag(sync=True)
    failure = t.Dict(help="Why the run failed, as a card, or empty.").tag(sync=True)
    pictured = t.Unicode(help="Caption of the static snapshot that was displayed last, or empty.").tag(sync=True)
    code = t.Dict(help="What does the same in a cell.").tag(sync=True)

    def __init__(self, run: Any) -> None:
        self._run = run
        self._feed = CurveFeed()
        self._unsubscribe: Callable[[], None] = lambda: None
        self._displays: list[Any] = []
        self._milestone: tuple[Any, ...] = ()
        self._samples_known: tuple[int, int] | None = None
        self._samples_shown: list[dict[str, Any]] = []
        self._slow = Worker("RunPanel resume", self.show_error)
        state = run.state
        # Before the model opens: what its first snapshot has beyond this, the first delta repeats and the page drops.
        self._feed.begin(state)
        super().__init__(about=_about(run), code=_code(run.id), **self._values(state))
        self._unsubscribe = run.subscribe(self._on_state)

    @property
    def run(self) -> Any:
        """The run that is shown."""
        return self._run

    def close(self) -> None:
        """Stop following the run and take the panel off the page; the run goes on."""
        self._unsubscribe()
        super().close()

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
        self._refresh_displays(state)

    def _values(self, state: Any) -> dict[str, Any]:
        return {
            "status": _status(state, self._run.status),
            "charts": [_chart(chart) for chart in extra_charts(state.series)],
            "record": _record(state.record),
            "samples": self._samples_of(state),
            "checkpoints": self._checkpoints_of(state),
            "warnings": list(state.warnings),
            "failure": self._failure_of(state),
        }

    def _samples_of(self, state: Any) -> list[dict[str, Any]]:
        """Return the sampled answers; they lie in files, so they are read only when there are new ones."""
        known = (state.attempt, len(state.samples))
        if known != self._samples_known:
            self._samples_known = known
            self._samples_shown = [_shortened(sample) for sample in self._run.samples()[-_KEPT_SAMPLES:]]
        return self._samples_shown

    def _checkpoints_of(self, state: Any) -> list[dict[str, Any]]:
        folder = self._run.path / "checkpoints"
        return [{**c, "path": str(folder / c["path"])} for c in state.checkpoints]

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

    # -- the static snapshot ---------------------------------------------------------------------------------------

    def _ipython_display_(self) -> None:
        publish(*(self._repr_mimebundle_() or ({"text/plain": repr(self)}, {})))
        state = self._run.state
        self._displays.append(publish(*snapshot_bundle(state, self._title), updatable=True))
        self._milestone = _milestone(state)
        self.pictured = caption(state)

    def _refresh_displays(self, state: Any) -> None:
        milestone = _milestone(state)
        if not self._displays or milestone == self._milestone:
            return
        self._milestone = milestone
        data, metadata = snapshot_bundle(state, self._title)
        for handle in self._displays:
            if handle is not None:  # there is none outside of IPython
                handle.update(data, metadata=metadata, raw=True)
        self.pictured = data["text/plain"].splitlines()[0]

    @property
    def _title(self) -> str:
        return "  ".join(str(self.about[k]) for k in ("method", "model", "id") if self.about.get(k))

    def __repr__(self) -> str:
        status = self._run.status
        return f"RunPanel({self._run.id}: {STATUS_WORDS.get(status, status)})"


def _about(run: Any) -> dict[str, Any]:
    return {
        "id": run.id,
        "method": run.config.method,
        "model": str(run.folder.spec["model"]["name"]),
        "path": str(run.path),
    }


def _code(run_id: str) -> dict[str, str]:
    python = "\n".join(
        (
            "import shadownb as snb",
            f'run = snb.runs.load("{run_id}")',
            "run.figure()            # the curves, as a plotly figure",
            "# run.wait()            # block until it ends",
            "# run.stop()            # stop and save",
        )
    )
    following = "\n".join(
        (
            "import shadownb as snb",
            f'model = snb.load("{run_id}")',
            'model.chat([{"role": "user", "content": "..."}])',
            'model.save("my-adapter")',
        )
    )
    keep = f'import shadownb as snb\nsnb.RunPanel(snb.runs.load("{run_id}"))'
    return {"python": python, "next": following, "keep": keep, "magic": f"%shadow plot {run_id}"}


def _status(state: Any, status: str) -> dict[str, Any]:
    return {
        "status": status,
        "phase": {k: v for k, v in state.phase.items() if v not in (None, "")},
        "step": state.step,
        "total": state.total_steps,
        "epoch": round(state.epoch, 3),
        "attempt": state.attempt,
        "elapsed": round(state.elapsed_s, 1),
        "eta": None if state.eta_s is None else round(state.eta_s, 1),
        "stopping": state.stopping,
        "last": {k: _number(state.last[k]) for k in (*state.series, "tokens") if state.last.get(k) is not None},
        "best": state.best and {"step": state.best["step"], "eval_loss": _number(state.best["eval_loss"])},
    }


def _chart(chart: Chart) -> dict[str, Any]:
    curves = [list(curve) for curve in chart.curves]
    return {"id": chart.name, "title": chart.title, "curves": curves, "share": chart.share}


def _record(record: dict[str, Any]) -> dict[str, Any]:
    """Return the part of a run's record that the page shows; empty before the run has written it."""
    if not record:
        return {}
    return {
        "estimate": record.get("estimate") or {},
        "trainable": record.get("trainable_parameters"),
        "decisions": record.get("decisions") or {},
        "had": record.get("had") or {},
        "versions": record.get("versions") or {},
    }


def _number(value: float) -> float:
    return float(f"{value:.6g}")


def _shortened(sample: dict[str, Any]) -> dict[str, Any]:
    items = [{k: _short(item.get(k, "")) for k in ("prompt", "completion")} for item in sample["items"]]
    return {"step": sample["step"], "items": items}


def _short(text: Any) -> str:
    shown: str = text if isinstance(text, str) else json.dumps(text, ensure_ascii=False)
    return shown if len(shown) <= _SAMPLE_LENGTH else shown[: _SAMPLE_LENGTH - 1] + "…"


def _milestone(state: Any) -> tuple[Any, ...]:
    """Return what a new snapshot is due for: an evaluation, a change of status, each quarter of the way."""
    quarter = 4 * state.step // state.total_steps if state.total_steps else 0
    return (state.status, len(state.evals), quarter, state.step > 1)
