"""How a run stands, as its folder says: its state and numbers now, its error, where it came from, its events (:mod:`.view`)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any

from shadownb.engine.config import TrainConfig
from shadownb.engine.notifications.telling import told
from shadownb.engine.runs import executors
from shadownb.engine.runs.folder import RunFolder
from shadownb.engine.runs.journal import Event
from shadownb.engine.runs.liveness import observed_status
from shadownb.engine.runs.origin import in_words
from shadownb.engine.runs.state import ACTIVE, RunState
from shadownb.engine.runs.view import RunView
from shadownb.errors import ShadowError, error_from_dict

if TYPE_CHECKING:
    from shadownb.engine.data.trained_on import TrainedOn


class RunStanding:
    """How a run stands, from any kernel; see :class:`~shadownb.engine.runs.handle.Run`."""

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
