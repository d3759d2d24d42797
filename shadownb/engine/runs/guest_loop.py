"""The run's side of a guest's loop: it says where it is, and journal, gate, samples, checkpoints and pauses follow.

Implements :class:`~shadownb.engine.ports.guest.GuestRun`. Everything goes through the run's own services, so that a run of a guest
is looked at, stopped, resumed and loaded like any other.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shadownb.engine.ports.training import Listener
from shadownb.engine.rendering.variables import with_defaults
from shadownb.engine.runs.clock import RunClock
from shadownb.engine.runs.divergence import DivergenceWatch
from shadownb.engine.runs.progress_state import Progress

if TYPE_CHECKING:
    from shadownb.engine.config import TrainConfig
    from shadownb.engine.inference.gate import WeightsGate
    from shadownb.engine.ports.guest import GuestTraining
    from shadownb.engine.ports.training import TrainingSession
    from shadownb.engine.runs.services import RunServices

_TOLD_WAIT_SECONDS = 0.05


class GuestLoop:
    """One attempt of a run that a guest trains.

    Attributes
    ----------
    training
        What the guest opened; set before the first step.
    saved_step
        The step that the newest checkpoint is of.
    """

    training: GuestTraining

    def __init__(self, session: TrainingSession, services: RunServices, *, judged: bool) -> None:
        self.session, self.services = session, services
        self.config: TrainConfig = services.config
        self.clock = RunClock(services.gate)
        self.progress = Progress()
        self.divergence = DivergenceWatch(self.config.rows_per_step)  # looks at nothing: a guest's loss may be anything
        self.listener = Listener()  # callbacks are called by the guest
        self.saved_step: int | None = None
        self._judged = judged
        self._rate = services.rate()
        self._began = 0.0
        self._record_told = False

    # -- where it stands --------------------------------------------------------------------------------------------

    @property
    def step(self) -> int:
        """Optimizer steps done."""
        return self.progress.step

    @property
    def gate(self) -> WeightsGate:
        """Guards the weights."""
        return self.services.gate

    @property
    def total_steps(self) -> int:
        """Optimizer steps of the run."""
        return self.services.total_steps

    @property
    def max_length(self) -> int:
        """Most tokens of a row."""
        return self.services.max_length

    @property
    def chat_template(self) -> str:
        """The jinja template by which the model is asked, with what it is told by default."""
        renderer = self.services.model.renderer
        return with_defaults(renderer.chat_template, renderer.variables)

    @property
    def eval_steps(self) -> int:
        """Steps between evaluations."""
        return self.services.eval_steps

    @property
    def save_steps(self) -> int:
        """Steps between checkpoints."""
        return self.services.save_steps

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return self.services.folder.path

    @property
    def callbacks(self) -> Sequence[Any]:
        """The user's callbacks."""
        return self.services.callbacks

    @property
    def stopped_early(self) -> bool:
        """Whether as many evaluations as the patience allows brought nothing better."""
        patience, without = self.config.early_stopping_patience, self.progress.evals_without_improvement
        return patience is not None and without >= patience

    @property
    def over(self) -> bool:
        """Whether no step is to follow."""
        self.services.control.poll()
        return self.stopped_early or self.services.control.stop is not None

    # -- what the guest calls ---------------------------------------------------------------------------------------

    def rate(self, update: int) -> float:
        """Return the learning rate of an update, counted from 0."""
        return self._rate(update)

    def check(self) -> None:
        """Raise StopRequested if a stop was asked for."""
        self.services.check()

    def weights(self) -> contextlib.AbstractContextManager[None]:
        """Have the weights inside the block."""
        return self.services.weights()

    def phase(self, name: str, done: int = 0, total: int | None = None, unit: str = "") -> None:
        """Tell what is going on."""
        self.services.phase(name, done, total, unit)

    def warn(self, what: str, *, why: str = "", fix: str = "", code: str = "warning") -> None:
        """Tell the user something that does not stop the run."""
        self.services.warn(what, why=why, fix=fix, code=code)

    def begin_step(self) -> None:
        """Do what is due between steps, and take the weights."""
        self.between_steps()
        waited = self.services.take_weights()
        if waited > _TOLD_WAIT_SECONDS:
            self.services.journal.append("yielded", seconds=round(waited, 3), step=self.step)
        self._began = time.perf_counter()

    def end_step(self, step: int) -> None:
        """Note that so many steps are done, and give the weights back."""
        self.progress.step = step
        self.services.stepped(step)
        self.services.gate.exit_training()
        self.clock.step_took(time.perf_counter() - self._began)
        self.progress.elapsed_s = self.clock.elapsed()

    def between_steps(self) -> None:
        """Answer the sample prompts where it is their turn, and wait while the run is paused."""
        services, progress = self.services, self.progress
        services.check()
        due = self.step and (self.step % self.eval_steps == 0 or self.step == self.total_steps)
        if due and services.samples and progress.sampled_step != self.step:
            services.sample(self.step)
            progress.sampled_step = self.step
            services.phase("training", self.step, self.total_steps, "steps")
        if services.control.pause_requested:
            self._pause()

    def report(self, metrics: dict[str, float], epoch: float) -> None:
        """Put the numbers of the steps since the last report into the journal."""
        if not self._record_told:
            self.services.journal.append("record", values={"actual_setup": self.training.setup()})
            self._record_told = True
        remaining = self.total_steps - self.step
        eta = self.clock.seconds_to_go(remaining, remaining // self.eval_steps if self._judged else 0)
        self.services.journal.append(
            "step",
            step=self.step,
            total_steps=self.total_steps,
            epoch=round(epoch, 4),
            elapsed_s=round(self.progress.elapsed_s, 3),
            peak_memory_gb=round(self.training.peak_memory_gb, 4),
            eta_s=None if eta is None else round(eta, 1),
            **metrics,
        )

    def evaluated(self, metrics: dict[str, float]) -> bool:
        """Take the numbers of the evaluation rows; returns whether this step is now the best."""
        loss, progress = metrics["eval_loss"], self.progress
        progress.judge(loss, self.config.early_stopping_threshold)
        self.services.journal.append("eval", step=self.step, **metrics)
        return progress.best_step == self.step

    def save(self) -> None:
        """Write a checkpoint of the step just done."""
        if self.saved_step != self.step:
            self.services.try_save(self)

    # -- what the services call -------------------------------------------------------------------------------------

    def check_finite(self) -> None:
        """Raise NonFiniteLossError where a trained weight is NaN or infinite."""
        self.training.check_finite()

    def save_state(self, folder: Path) -> None:
        """Write what a checkpoint keeps beside the weights."""
        self.training.save(folder)
        self.progress.save(folder)

    def load_state(self, folder: Path) -> None:
        """Go on from what :meth:`save_state` wrote; the guest reads its part when it begins."""
        self.progress = Progress.load(folder)
        self.clock.before = self.progress.elapsed_s
        self.saved_step = self.step

    def _pause(self) -> None:
        services = self.services
        with self.clock.not_counted():
            self.save()
            services.journal.append("paused", step=self.step)
            services.control.park()
        services.begin_attempt(self.step, reason="resumed after pause")
        services.phase("training", self.step, self.total_steps, "steps")
