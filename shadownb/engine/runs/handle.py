"""Run: the handle of a training run, the same for one that is going on here and one from last week.

All that it tells is read from the run's folder (:mod:`.view`, :mod:`.metrics`, :mod:`.results`); commands are only enqueued. So
a handle can be made in any kernel, at any time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shadownb.engine.config import TrainConfig
from shadownb.engine.live import notebook_shell
from shadownb.engine.runs import checkpoints, commands, curves, displays, executors, metrics
from shadownb.engine.runs.checkpoints import Checkpoint
from shadownb.engine.runs.folder import RunFolder
from shadownb.engine.runs.journal import Event
from shadownb.engine.runs.liveness import observed_status
from shadownb.engine.runs.origin import in_words
from shadownb.engine.runs.results import checkpoint_at, result_of, samples_of
from shadownb.engine.runs.state import ACTIVE, RunState
from shadownb.engine.runs.view import Metric, RunView, read_metrics
from shadownb.errors import CheckpointError, RunError, ShadowError, error_from_dict

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

    from shadownb.engine.data.trained_on import TrainedOn
    from shadownb.engine.loaded.model import LoadedModel


class Run:
    """A training run.

    Attributes
    ----------
    id
        Its name; ``shadownb.runs.load(id)`` gives the handle in any kernel.
    path
        Its folder.
    """

    def __init__(self, folder: RunFolder, *, model: LoadedModel | None = None) -> None:
        self.folder = folder
        self.id = folder.id
        self.path = folder.path
        self._view = RunView(folder.events)
        self._model = model
        self._config: TrainConfig | None = None

    @property
    def config(self) -> TrainConfig:
        """The configuration it was launched with."""
        if self._config is None:
            self._config = self.folder.config
        return self._config

    @property
    def base_model(self) -> str:
        """Name of the model that it trains, as it was given to ``load()``."""
        return str(self.folder.spec["model"]["name"])

    @property
    def state(self) -> RunState:
        """Everything known now: progress, last metrics, curves (bounded), samples, checkpoints, warnings, error."""
        state = self._view.observe(lambda state: observed_status(self.folder, state))
        if state.status == "interrupted":
            state.phase = {"name": "interrupted", "done": state.step, "total": state.total_steps, "unit": "steps"}
            state.eta_s = None
        return state

    @property
    def journalled(self) -> RunState:
        """What the journal says, without a look at whether somebody still works on the run."""
        return self._view.refresh()

    @property
    def status(self) -> str:
        """``queued, running, paused, succeeded, stopped, failed, interrupted`` or ``discarded``."""
        return self.state.status

    @property
    def is_active(self) -> bool:
        """Whether somebody works on it, or will."""
        return self.status in ACTIVE

    @property
    def executor(self) -> str:
        """Name of the executor that trains it: ``thread``, ``process``, or one that was registered."""
        return self._view.refresh().executor

    @property
    def shares_memory(self) -> bool:
        """Whether it trains the very model that it was started on, or waits to: that one answers with the newest weights."""
        return executors.known_by(self.executor).shares_memory

    @property
    def error(self) -> ShadowError | None:
        """What made it fail, or None."""
        found = self.state.error
        return error_from_dict(found) if found else None

    @property
    def step(self) -> int:
        """Optimizer steps done."""
        return self.state.step

    @property
    def total_steps(self) -> int | None:
        """Optimizer steps planned; None before the data is prepared."""
        return self.state.total_steps

    @property
    def progress(self) -> float:
        """Share done, 0 to 1."""
        state = self.state
        return state.step / state.total_steps if state.total_steps else 0.0

    @property
    def loss(self) -> float | None:
        """Last training loss."""
        return self.state.last.get("loss")

    @property
    def eval_loss(self) -> float | None:
        """Last evaluation loss."""
        last = self.state.evals.last
        return last[1] if last else None

    @property
    def started_at(self) -> float | None:
        """When its first attempt began, in seconds since 1970; None while it waits."""
        return self.state.started_at

    @property
    def ended_at(self) -> float | None:
        """When it ended, in seconds since 1970; None while it goes on, and where nothing could note the end (interrupted)."""
        return self.state.ended_at

    @property
    def duration_s(self) -> float:
        """Seconds of its work up to the newest step, without pauses and waiting for inference.

        Its work is steps, evaluations, samples, checkpoints, and the reference of DPO and KTO; loading and preparing data and
        model is not.
        """
        return self.state.elapsed_s

    @property
    def eta_s(self) -> float | None:
        """Seconds to go; None while that is still being estimated."""
        return self.state.eta_s

    @property
    def steps_per_s(self) -> float | None:
        """Optimizer steps a second of :attr:`duration_s`, which has more than steps; a step's own is its ``tokens_per_s``."""
        state = self.state
        return state.step / state.elapsed_s if state.elapsed_s else None

    @property
    def tokens(self) -> int:
        """Real tokens trained on so far."""
        return int(self.state.last.get("tokens") or 0)

    @property
    def peak_memory_gb(self) -> float | None:
        """Most memory seen while training, in units of 1e9 bytes."""
        return self.state.last.get("peak_memory_gb")

    @property
    def estimated_memory_gb(self) -> float | None:
        """What it was expected to need before the first step, in units of 1e9 bytes; beside :attr:`peak_memory_gb`."""
        found = (self.state.record.get("estimate") or {}).get("expected_gb")
        return None if found is None else float(found)

    @property
    def trained_parameters(self) -> int | None:
        """How many numbers it trains; None before the model is prepared."""
        found = (self.state.record.get("actual_setup") or {}).get("trained_parameters")
        return None if found is None else int(found)

    @property
    def reach(self) -> str | None:
        """What is trained of the model, what stays frozen and why, in words; None before the model is prepared."""
        found = self.state.record.get("reach") or {}
        return found.get("words")

    @property
    def resumed(self) -> bool:
        """Whether an attempt went on from a checkpoint."""
        return any(attempt.get("checkpoint") for attempt in self.state.attempts)

    @cached_property
    def trained_on(self) -> TrainedOn | None:
        """What its rows have in common: system prompt, tools, chat or plain text; None where that is not known any more."""
        return self.folder.trained_on

    @property
    def erased(self) -> dict[str, Any] | None:
        """When data that this run, or one it went on from, was trained on was deleted for a person's sake (``at``), and how many
        rows (``rows``, 0 where it was the other run's); None where none was. See ``captures.delete(where=...)``."""
        found: dict[str, Any] | None = self.folder.spec.get("erased")
        return found

    @property
    def parent(self) -> str | None:
        """Id of the run whose result it started from."""
        return self.folder.spec.get("parent")

    @property
    def started_from(self) -> str:
        """What its weights were at the start, in words: ``the base``, ``step 40 of run ...``, ``the adapter in ...``."""
        return in_words(self.folder.spec)

    def events(self, since: int = 0) -> Iterator[Event]:
        """Yield the journal's events with a sequence number above ``since``."""
        return executors.known_by(self.executor).events(self.path, since)

    def traceback(self) -> str:
        """Return the technical details of a failure, or an empty string."""
        found = [event["text"] for event in self.events() if event["type"] == "traceback"]
        return found[-1] if found else ""

    # -- numbers by step --------------------------------------------------------------------------------------------

    @property
    def metrics(self) -> list[Metric]:
        """Every reported step: loss, learning_rate, grad_norm, epoch, elapsed_s, tokens, tokens_per_s, peak_memory_gb, eta_s.

        Preference methods add rewards_chosen, rewards_rejected and rewards_margin, dpo also rewards_accuracy (0 to 1).
        """
        return read_metrics(self.folder.events)[0]

    @property
    def eval_metrics(self) -> list[Metric]:
        """Every evaluation: step, eval_loss, seconds, and what the method adds (all names begin with ``eval_``)."""
        return read_metrics(self.folder.events)[1]

    def losses(self) -> list[float]:
        """Return the training loss of every reported step."""
        return [m["loss"] for m in self.metrics if m.get("loss") is not None]

    def series(self, metric: str = "loss") -> tuple[list[int], list[float]]:
        """Return (steps, values) of a metric of the steps, or of the evaluations (``eval_loss``).

        Raises
        ------
        RunError
            The run has no such metric.
        """
        return metrics.series(self, metric)

    def to_frame(self) -> pd.DataFrame:
        """Return steps and evaluations as one data frame, indexed by step."""
        return metrics.to_frame(self)

    def figure(
        self,
        metric: str | None = None,
        *,
        smooth: float | None = None,
        log: bool = False,
        window: int | None = None,
        clip: float | None = None,
    ) -> go.Figure:
        """Return a plotly figure: one metric, or loss and what else the method is watched by, with evaluations.

        ``smooth`` and ``log`` are for the first chart, ``window`` and ``clip`` for all; see :meth:`plot`.
        """
        return curves.figure(self, metric, smooth=curves.smoothing(smooth, metric), log=log, window=window, clip=clip)

    def plot(
        self,
        metric: str = "loss",
        *,
        smooth: float | None = None,
        width: int = 60,
        height: int = 10,
        window: int | None = None,
        log: bool = False,
        clip: float | None = None,
    ) -> str:
        """Return a metric as a text chart.

        Parameters
        ----------
        smooth
            Weight of the exponential moving average drawn over the points, 0 (none) to below 1; None is 0.6 for the
            loss and 0 for anything else.
        width, height
            In characters.
        window
            Only the last so many points.
        log
            Logarithmic scale; points at or below 0 are left out.
        clip
            Share of the points, 0 to 1, that the scale has to show; those above are drawn at its edge.
        """
        return curves.text_chart(
            *self.series(metric),
            title=f"{metric} of {self.id}",
            width=width,
            height=height,
            smooth=curves.smoothing(smooth, metric),
            window=window,
            log=log,
            clip=clip,
        )

    # -- results ----------------------------------------------------------------------------------------------------

    def result(self) -> Checkpoint | None:
        """Return the checkpoint it ended with, or None where it has none."""
        try:
            return result_of(self.folder)
        except CheckpointError:
            return None

    @property
    def checkpoint(self) -> Path | None:
        """Folder of the result."""
        result = self.result()
        return result.path if result else None

    def checkpoints(self) -> list[Checkpoint]:
        """Return the checkpoints that are there, by step."""
        return checkpoints.list_checkpoints(self.folder.checkpoints)

    def checkpoint_at(self, step: int | None = None) -> Checkpoint:
        """Return the checkpoint of a step, None for the newest.

        Raises
        ------
        CheckpointError
            There is none of that step; the message lists those there are.
        """
        return checkpoint_at(self.folder, step)

    def samples(self) -> list[dict[str, Any]]:
        """Return what the fixed prompts were answered at each evaluation: step and items of prompt and completion."""
        return samples_of(self.folder, self.state)

    def to_dict(self) -> dict[str, Any]:
        """Return a summary as JSON-compatible values."""
        return displays.summary(self)

    def __repr__(self) -> str:
        return displays.one_line(self)

    def _repr_html_(self) -> str:
        return displays.run_html(self)

    # -- following --------------------------------------------------------------------------------------------------

    def subscribe(self, callback: Callable[[RunState], None]) -> Callable[[], None]:
        """Call back with the state, at most four times a second and once after the end; returns the unsubscriber.

        All callbacks come from one thread of this process.
        """
        from shadownb.engine.runs.watching import subscribe

        return subscribe(self, callback)

    def wait(self, timeout: float | None = None, *, raise_on_failure: bool = False) -> Run:
        """Wait for the end and return the run; until then a line in the cell or the terminal shows how far it is.

        Ctrl-C (in a notebook: interrupting the cell) ends the waiting and is raised on, so that no later cell works with a
        half-trained model. In a notebook the run goes on; in a script, which would end without it, it is stopped and saved.

        Raises
        ------
        KeyboardInterrupt
            The waiting was interrupted.
        TimeoutError
            It was still going on after ``timeout`` seconds.
        ShadowError
            It failed, and ``raise_on_failure`` is set.
        """
        from shadownb.engine.runs.waiting import wait

        stop = notebook_shell() is None
        return wait(self, timeout, raise_on_failure=raise_on_failure, stop_if_interrupted=stop)

    # -- commands ---------------------------------------------------------------------------------------------------

    def stop(self, save: bool = True) -> Run:
        """Ask for a stop within a step; ``save=False`` is :meth:`discard`. Returns at once."""
        return self._send("stop" if save else "discard", save=save)

    def discard(self) -> Run:
        """Ask for a stop that keeps nothing of the attempt: the model goes back to where it was."""
        return self._send("discard", save=False)

    def pause(self) -> Run:
        """Ask for a pause at the next step: a checkpoint is written, memory is kept, the model is free for chat."""
        return self._send("pause")

    def resume(self, model: LoadedModel | None = None, *, executor: str | None = None, callbacks: Any = None) -> Run:
        """Go on: from a pause, or from the newest valid checkpoint of a run that stopped, failed or was interrupted.

        Parameters
        ----------
        model
            A loaded model of the same base to train in; None takes the one at hand or loads it.
        executor
            ``thread``, ``process`` or one that was registered; None keeps the run's.
        callbacks
            As of ``train``; a record cannot hold those that the run had.

        Raises
        ------
        RunError
            The run is going on, or has done all its steps; or it is paused and would have to move for what was asked.
        """
        from shadownb.engine.runs.resuming import check_stays, resume

        if self.state.status == "paused":
            check_stays(self, model, executor, callbacks)
            return self._send("resume")
        resume(self, model or self._model, executor, callbacks)
        return self

    def _send(self, kind: commands.CommandKind, **fields: Any) -> Run:
        status = self.status
        if status not in ACTIVE:
            raise RunError(
                f"Run {self.id} is {status}, there is nothing to {kind}.",
                fix="run.resume() goes on from its newest checkpoint."
                if status in ("stopped", "interrupted", "failed")
                else "",
            )
        executors.known_by(self.executor).send(self.path, kind, **fields)
        return self
