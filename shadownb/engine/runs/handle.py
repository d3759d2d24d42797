"""Run: the handle of a training run, the same for one that is going on here and one from last week.

All that it tells is read from the run's folder (:mod:`.view`, :mod:`.metrics`, :mod:`.results`); commands are only enqueued. So
a handle can be made in any kernel, at any time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
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
from shadownb.engine.runs.marks import Marks, change_marks, read_marks
from shadownb.engine.runs.origin import in_words
from shadownb.engine.runs.results import checkpoint_at, completions_of, result_of, samples_of
from shadownb.engine.runs.state import ACTIVE, RunState
from shadownb.engine.runs.view import Metric, RunView, read_metrics
from shadownb.errors import CheckpointError, RunError, ShadowError, error_from_dict

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

    from shadownb.engine.data.trained_on import TrainedOn
    from shadownb.engine.loaded.model import LoadedModel


class Run:
    """A training run: its state, curves and checkpoints, and the commands that stop, pause and resume it.

    Attributes
    ----------
    id
        Its id; ``shadownb.runs.load(id)`` returns the run in any kernel.
    path
        Its folder.

    Examples
    --------
    >>> run
    Run('...', succeeded, step 40 of 40, from the base, loss 0.0...)
    >>> run.status, run.is_active, run.step, run.total_steps, run.progress
    ('succeeded', False, 40, 40, 1.0)
    >>> run.loss < 0.1, run.eval_loss < 0.1, run.losses()[0] > 1
    (True, True, True)
    >>> run.metrics[-1].step, [row.step for row in run.eval_metrics], run.state.phase["name"]
    (40, [20, 40], 'succeeded')
    >>> run.config.max_steps, run.trained_parameters, run.started_from, run.parent, run.resumed
    (40, 32768, 'the base', None, False)
    >>> run.started_at < run.ended_at, run.duration_s > 0, run.eta_s
    (True, True, 0.0)
    >>> run.tokens, run.steps_per_s > 0, run.peak_memory_gb > 0, run.estimated_memory_gb > 0
    (21960, True, True, True)
    >>> [checkpoint.step for checkpoint in run.checkpoints()], run.result().step, run.checkpoint.name
    ([20, 40], 40, 'step-000040')
    >>> print(run.error, repr(run.traceback()))
    None ''
    >>> run.executor, run.shares_memory, run.base_model.endswith("tiny")
    ('thread', True, True)
    >>> print(run.trained_on.system.value)
    None
    >>> print(run.reach)
    adapters on 14 layers of 7 kinds (q_proj, ...); frozen: embeddings (train_embeddings trains them), norms
    >>> run.samples()[-1]["items"][0]
    {'prompt': 'Where is my parcel?', 'completion': 'shipping'}
    >>> list(run.to_frame().columns)[:3], run.to_dict()["method"]
    (['loss', 'learning_rate', 'grad_norm'], 'lora')
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

    def mark(
        self,
        *,
        tags: Sequence[str] | str | None = None,
        note: str | None = None,
        pinned: bool | None = None,
        archived: bool | None = None,
    ) -> Run:
        """Note something about the run, for tables and searches; what is not given stays as it is.

        Parameters
        ----------
        tags
            All its tags; ``[]`` takes them away.
        note
            Free text; ``""`` takes it away.
        pinned, archived
            Whether tables show it above others; whether they leave it out unless asked for.

        Raises
        ------
        ConfigError
            A tag is empty or longer than 60 characters.

        Examples
        --------
        >>> run.mark(tags=["baseline"], note="before the new rows").marks.note
        'before the new rows'
        >>> run.mark(tags=[], note="").marks == snb.runs.Marks()
        True
        """
        change_marks(self.folder, tags=tags, note=note, pinned=pinned, archived=archived)
        return self

    def to_dict(self) -> dict[str, Any]:
        """Return a summary as JSON-compatible values."""
        return displays.summary(self)

    def __repr__(self) -> str:
        return displays.one_line(self)

    def _repr_html_(self) -> str:
        return displays.run_html(self)

    # -- following --------------------------------------------------------------------------------------------------

    def subscribe(self, callback: Callable[[RunState], None]) -> Callable[[], None]:
        """Call ``callback(state)`` on changes, at most four times a second and once after the end.

        Returns a function that ends the subscription. All callbacks are called from one thread of this process.

        Examples
        --------
        >>> seen = []
        >>> going = model.train(rows, start="base", max_steps=2, background=True)
        >>> unsubscribe = going.subscribe(lambda state: seen.append(state.step))
        >>> going.wait(timeout=60).status
        'succeeded'
        >>> unsubscribe()
        """
        from shadownb.engine.runs.watching import subscribe

        return subscribe(self, callback)

    def wait(self, timeout: float | None = None, *, raise_on_failure: bool = False) -> Run:
        """Wait for the end and return the run; meanwhile a line in the cell or terminal shows the progress.

        Ctrl-C (in a notebook: interrupting the cell) ends the waiting with a KeyboardInterrupt, so that no later cell works
        with a half-trained model. In a notebook the run continues; in a script, which would end, it is stopped and saved.

        Parameters
        ----------
        timeout
            Seconds; None waits as long as it takes.
        raise_on_failure
            Raise the error of a run that failed, instead of returning the run.

        Raises
        ------
        KeyboardInterrupt
            The waiting was interrupted.
        TimeoutError
            It was still active after ``timeout`` seconds.
        ShadowError
            The run failed, and ``raise_on_failure`` is set.

        Examples
        --------
        >>> going = model.train(rows, start="base", max_steps=2, background=True)
        >>> going.wait(timeout=60, raise_on_failure=True).status
        'succeeded'
        """
        from shadownb.engine.runs.waiting import wait

        stop = notebook_shell() is None
        return wait(self, timeout, raise_on_failure=raise_on_failure, stop_if_interrupted=stop)

    # -- commands ---------------------------------------------------------------------------------------------------

    def stop(self, save: bool = True) -> Run:
        """Ask the run to stop within a step and keep what it has learned; ``save=False`` is :meth:`discard`. Returns at once.

        Examples
        --------
        >>> going = model.train(rows, start="base", max_steps=2000, save_steps=2000, background=True)
        >>> going.stop().wait(timeout=60).status
        'stopped'
        """
        return self._send("stop" if save else "discard", save=save)

    def discard(self) -> Run:
        """Ask the run to stop and throw away what it has learned since it was started or resumed. Returns at once.

        Examples
        --------
        >>> going = model.train(rows, start="base", max_steps=2000, save_steps=2000, background=True)
        >>> going.discard().wait(timeout=60).status
        'discarded'
        """
        return self._send("discard", save=False)

    def pause(self) -> Run:
        """Ask the run to pause at the next step: it writes a checkpoint and keeps its memory. Returns at once.

        Examples
        --------
        >>> going = model.train(rows, start="base", max_steps=2000, save_steps=2000, background=True)
        >>> going.pause().is_active  # it keeps its memory, until resume() has it go on or stop() ends it
        True
        >>> going.stop().wait(timeout=60).status
        'stopped'
        """
        return self._send("pause")

    def resume(
        self,
        model: LoadedModel | None = None,
        *,
        executor: str | None = None,
        callbacks: Any = None,
        reward_fns: Sequence[Any] | None = None,
        teacher: Any = None,
        environment: Any = None,
    ) -> Run:
        """Continue after a pause, or from the newest valid checkpoint of a run that was stopped, failed or was interrupted.

        Parameters
        ----------
        model
            A loaded model of the same base to train; None uses the one that the run knows, or loads it.
        executor
            ``thread``, ``process`` or a registered one; None keeps the run's.
        callbacks
            As for ``train``; those that the run had cannot be stored, so give them again.
        reward_fns
            The functions that score answers, in the order that the run was started with: needed where they were objects of a
            process that has ended. Functions in modules, and in cells that this kernel has run, are found by their names.
        teacher, environment
            The model that teaches, and the class of the environment; needed in the same cases.

        Raises
        ------
        RunError
            The run is active already or has done all its steps; or it is paused, and another model or executor was given.

        Examples
        --------
        >>> going = model.train(rows, start="base", max_steps=2000, save_steps=2000, background=True)
        >>> going.stop().wait(timeout=60).status
        'stopped'
        >>> again = going.resume()
        >>> again.id == going.id, again.is_active
        (True, True)
        >>> again.discard().wait(timeout=60).status
        'discarded'
        """
        from shadownb.engine.runs.resuming import check_stays, resume

        if self.state.status == "paused":
            check_stays(self, model, executor, callbacks or reward_fns or teacher or environment)
            return self._send("resume")
        given = {"reward_fns": reward_fns}
        given |= {
            name: None if one is None else [one] for name, one in (("teacher", teacher), ("environment", environment))
        }
        resume(self, model or self._model, executor, callbacks, given)
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
