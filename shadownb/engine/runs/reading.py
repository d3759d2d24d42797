"""What is read of a run's folder: its state, numbers by step, results and marks. :class:`~.handle.Run` adds what commands it.

All of it is there in any kernel at any time, and nothing here changes a run (:mod:`.view`, :mod:`.metrics`, :mod:`.results`).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shadownb.engine.config import TrainConfig
from shadownb.engine.notifications.telling import told
from shadownb.engine.runs import checkpoints, curves, displays, executors, metrics
from shadownb.engine.runs.checkpoints import Checkpoint
from shadownb.engine.runs.folder import RunFolder
from shadownb.engine.runs.journal import Event
from shadownb.engine.runs.liveness import observed_status
from shadownb.engine.runs.marks import Marks, read_marks
from shadownb.engine.runs.origin import in_words
from shadownb.engine.runs.results import checkpoint_at, completions_of, result_of, samples_of
from shadownb.engine.runs.state import ACTIVE, RunState
from shadownb.engine.runs.view import Metric, RunView, read_metrics
from shadownb.errors import CheckpointError, ShadowError, error_from_dict

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

    from shadownb.engine.data.trained_on import TrainedOn


class RunReading:
    """What can be read of a run, from any kernel; see :class:`~shadownb.engine.runs.handle.Run`."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self.id = folder.id
        self.path = folder.path
        self._view = RunView(folder.events)
        self._config: TrainConfig | None = None

    @property
    def config(self) -> TrainConfig:
        """The :class:`TrainConfig` it was launched with."""
        if self._config is None:
            self._config = self.folder.config
        return self._config

    @property
    def base_model(self) -> str:
        """Name of the model it trains, as it was given to ``load()``."""
        return str(self.folder.spec["model"]["name"])

    @property
    def state(self) -> RunState:
        """Everything known now: progress, newest metrics, curves (thinned out), samples, checkpoints, warnings, error."""
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
        """Whether it is running, paused or waiting to start."""
        return self.status in ACTIVE

    @property
    def executor(self) -> str:
        """Name of the executor that trains it: ``thread``, ``process``, or a registered one."""
        return self._view.refresh().executor

    @property
    def shares_memory(self) -> bool:
        """Whether it trains the model object it was started on, so that this model answers with the newest weights."""
        return executors.known_by(self.executor).shares_memory

    @property
    def error(self) -> ShadowError | None:
        """The error that made it fail, or None."""
        found = self.state.error
        return error_from_dict(found) if found else None

    @property
    def step(self) -> int:
        """Optimizer steps done so far."""
        return self.state.step

    @property
    def total_steps(self) -> int | None:
        """Optimizer steps planned; None before the data is prepared."""
        return self.state.total_steps

    @property
    def progress(self) -> float:
        """The fraction that is done, 0 to 1."""
        state = self.state
        return state.step / state.total_steps if state.total_steps else 0.0

    @property
    def loss(self) -> float | None:
        """The newest training loss, in nats per token for methods with a next-token loss; None before the first step."""
        return self.state.last.get("loss")

    @property
    def eval_loss(self) -> float | None:
        """The newest evaluation loss; None before the first evaluation."""
        last = self.state.evals.last
        return last[1] if last else None

    @property
    def started_at(self) -> float | None:
        """When it first started, in seconds since 1970; None while it waits."""
        return self.state.started_at

    @property
    def ended_at(self) -> float | None:
        """When it ended, in seconds since 1970; None while it is active, and if it was interrupted before it could note the end."""
        return self.state.ended_at

    @property
    def duration_s(self) -> float:
        """Seconds of work up to the newest step, without pauses and without waiting for inference.

        Work is steps, evaluations, samples, checkpoints, and computing the reference of DPO and KTO; loading and preparing the
        data and the model are not counted.
        """
        return self.state.elapsed_s

    @property
    def eta_s(self) -> float | None:
        """Estimated seconds until the end; None as long as there is no estimate."""
        return self.state.eta_s

    @property
    def steps_per_s(self) -> float | None:
        """Optimizer steps per second of :attr:`duration_s`, evaluations and checkpoints included."""
        state = self.state
        return state.step / state.elapsed_s if state.elapsed_s else None

    @property
    def tokens(self) -> int:
        """Tokens trained on so far, without padding."""
        return int(self.state.last.get("tokens") or 0)

    @property
    def peak_memory_gb(self) -> float | None:
        """Peak memory while training, in GB (1e9 bytes)."""
        return self.state.last.get("peak_memory_gb")

    @property
    def estimated_memory_gb(self) -> float | None:
        """The estimate of :attr:`peak_memory_gb` before the first step, in GB (1e9 bytes)."""
        found = (self.state.record.get("estimate") or {}).get("expected_gb")
        return None if found is None else float(found)

    @property
    def trained_parameters(self) -> int | None:
        """Number of trained parameters; None before the model is prepared."""
        found = (self.state.record.get("actual_setup") or {}).get("trained_parameters")
        return None if found is None else int(found)

    @property
    def reach(self) -> str | None:
        """In words, what is trained and what stays frozen and why; None before the model is prepared."""
        found = self.state.record.get("reach") or {}
        return found.get("words")

    @property
    def resumed(self) -> bool:
        """Whether it was resumed from a checkpoint at some time."""
        return any(attempt.get("checkpoint") for attempt in self.state.attempts)

    @cached_property
    def trained_on(self) -> TrainedOn | None:
        """What its rows have in common: system prompt, tools, chat or plain text; None if that is no longer known."""
        return self.folder.trained_on

    @property
    def erased(self) -> dict[str, Any] | None:
        """When data that this run, or one it went on from, was trained on was deleted for a person's sake (``at``), and how many
        rows (``rows``, 0 where it was the other run's); None where none was. See ``captures.delete(where=...)``.

        Examples
        --------
        >>> run.erased is None
        True
        """
        found: dict[str, Any] | None = self.folder.spec.get("erased")
        return found

    @property
    def parent(self) -> str | None:
        """Id of the run whose result it started from, or None."""
        return self.folder.spec.get("parent")

    @property
    def started_from(self) -> str:
        """In words, what it started from: ``the base``, ``step 40 of run ...``, ``the adapter in ...``."""
        return in_words(self.folder.spec)

    @property
    def sweep(self) -> dict[str, Any] | None:
        """``name`` and ``trial`` (from 0) of the sweep that it belongs to, or None.

        Examples
        --------
        >>> print(run.sweep)
        None
        """
        found: dict[str, Any] | None = self.folder.spec.get("sweep")
        return found

    @property
    def notifications(self) -> list[dict[str, Any]]:
        """What channels were told of its end: ``channel``, ``time``, ``ok`` (None where it is not known) and ``problem``.

        Examples
        --------
        >>> run.notifications
        []
        """
        return told(self.path)

    def events(self, since: int = 0) -> Iterator[Event]:
        """Yield the events of the journal whose number (``seq``) is greater than ``since``; each is a dict with a ``type``.

        Examples
        --------
        >>> types = [event["type"] for event in run.events()]
        >>> types.count("step"), types.count("eval")
        (40, 2)
        """
        return executors.known_by(self.executor).events(self.path, since)

    def traceback(self) -> str:
        """Return the Python traceback of a failure, or an empty string."""
        found = [event["text"] for event in self.events() if event["type"] == "traceback"]
        return found[-1] if found else ""

    # -- numbers by step --------------------------------------------------------------------------------------------

    @property
    def metrics(self) -> list[Metric]:
        """Every logged step as a :class:`Metric`: loss, learning_rate, grad_norm, epoch, elapsed_s, tokens, tokens_per_s, ...

        Preference methods add rewards_chosen, rewards_rejected and rewards_margin; dpo also adds rewards_accuracy (0 to 1).
        """
        return read_metrics(self.folder.events)[0]

    @property
    def eval_metrics(self) -> list[Metric]:
        """Every evaluation as a :class:`Metric`: step, eval_loss, seconds, and what the method adds (``eval_...``)."""
        return read_metrics(self.folder.events)[1]

    def losses(self) -> list[float]:
        """Return the training loss of every logged step."""
        return [m["loss"] for m in self.metrics if m.get("loss") is not None]

    def series(self, metric: str = "loss") -> tuple[list[int], list[float]]:
        """Return (steps, values) of a metric, of the training steps or of the evaluations (``eval_loss``).

        Raises
        ------
        RunError
            The run has no such metric.

        Examples
        --------
        >>> steps, losses = run.series("loss")
        >>> steps[-1], losses[-1] < losses[0]
        (40, True)
        >>> run.series("eval_loss")[0]
        [20, 40]
        """
        return metrics.series(self, metric)

    def to_frame(self) -> pd.DataFrame:
        """Return steps and evaluations as one pandas DataFrame, indexed by step."""
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
        """Return a plotly figure of one metric, or of the loss and the method's other charts, with evaluations.

        ``smooth`` and ``log`` apply to the first chart, ``window`` and ``clip`` to all; :meth:`plot` explains them.

        Examples
        --------
        >>> figure = run.figure("loss", smooth=0.6, log=True)
        >>> [trace.name for trace in figure.data]
        ['loss', 'loss, smoothed']
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
            Smoothing of the line, as the weight of an exponential moving average: 0 (none) to below 1. None is 0.6 for
            the loss and 0 for other metrics.
        width, height
            Size in characters.
        window
            How many of the newest points to draw; None draws all.
        log
            Use a logarithmic scale; points at or below 0 are left out.
        clip
            The fraction of points, 0 to 1, that the scale has to cover; higher points are drawn at its edge.

        Examples
        --------
        >>> print(run.plot("loss", width=40, height=4))
        loss of ..., • smoothed
             6... ┤••••...
        ...
                   └────────────────────────────────────────
              step  1 to 40
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
        """Return the checkpoint it ended with, or None if there is none."""
        try:
            return result_of(self.folder)
        except CheckpointError:
            return None

    @property
    def checkpoint(self) -> Path | None:
        """Folder of the checkpoint it ended with, or None."""
        result = self.result()
        return result.path if result else None

    def checkpoints(self) -> list[Checkpoint]:
        """Return the checkpoints that still exist, in order of their steps."""
        return checkpoints.list_checkpoints(self.folder.checkpoints)

    def checkpoint_at(self, step: int | None = None) -> Checkpoint:
        """Return the checkpoint of a step; of the newest step for None.

        Raises
        ------
        CheckpointError
            There is no checkpoint of that step; the message lists the steps that have one.

        Examples
        --------
        >>> run.checkpoint_at().step, run.checkpoint_at(20).step
        (40, 20)
        >>> run.checkpoint_at(7)
        Traceback (most recent call last):
            ...
        shadownb.errors.CheckpointError: Run ... has no checkpoint of step 7.
        Next: Steps with one: 20, 40.
        """
        return checkpoint_at(self.folder, step)

    def samples(self) -> list[dict[str, Any]]:
        """Return the answers to the sample prompts at each evaluation: dicts of ``step`` and ``items`` (prompt, completion)."""
        return samples_of(self.folder, self.state)

    def completions(self, step: int | None = None) -> list[dict[str, Any]]:
        """Return the scored answers that a step of reinforcement trained on, group by group; None for the newest.

        Returns
        -------
        list of dict
            ``{"row", "prompt", "completions"}``, each of these ``{"completion", "reward", "rewards", "reasons", "advantage",
            "tokens", "finish_reason"}``: rewards and reasons by scorer, and None where one gave no reward.

        Raises
        ------
        RunError
            There are none of that step, with the steps that have some.

        Examples
        --------
        >>> def shortness(prompts, completions, **columns):
        ...     return [1 / (1 + len(said)) for said in completions]
        >>> asked = [{"prompt": "Where is my parcel?"}, {"prompt": "I paid twice."}]
        >>> options = {"method": "grpo", "num_generations": 2, "max_completion_length": 4, "max_steps": 1}
        >>> scored = model.train(asked, reward_fns=[shortness], start="base", background=False, **options)
        >>> [len(group["completions"]) for group in scored.completions()]
        [2, 2]
        """
        return completions_of(self.folder, self.state, step)

    @property
    def marks(self) -> Marks:
        """What people noted about it: tags, note, pinned, archived.

        Raises
        ------
        RunError
            The file is damaged.

        Examples
        --------
        >>> run.marks
        Marks(tags=(), note='', pinned=False, archived=False)
        """
        return read_marks(self.folder)

    def to_dict(self) -> dict[str, Any]:
        """Return a summary as JSON-compatible values."""
        return displays.summary(self)

    def __repr__(self) -> str:
        return displays.one_line(self)

    def _repr_html_(self) -> str:
        return displays.run_html(self)
