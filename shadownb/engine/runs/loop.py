"""The training loop: source, compute, update, log, evaluate, sample, save, pause. It knows no framework.

The weights are held from the first pass of a step to its update; evaluations, samples and whoever chats take them in between.
What goes on counting over a resume is in ``progress``; everything else follows from the step. Reports are events of the
run's journal; ``listener`` is told the same, for trackers and callbacks. :mod:`.loop_state` is what a checkpoint keeps of it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shadownb.engine.ports.training import Listener
from shadownb.engine.runs.clock import RunClock
from shadownb.engine.runs.divergence import DivergenceWatch, tell_diverged
from shadownb.engine.runs.evaluation import evaluate
from shadownb.engine.runs.progress_state import Progress
from shadownb.engine.runs.reports import step_metrics

if TYPE_CHECKING:
    from shadownb.engine.objectives import Objective
    from shadownb.engine.ports.training import ExampleSource, TrainingSession
    from shadownb.engine.rendering.examples import Example
    from shadownb.engine.runs.schedules import Rate
    from shadownb.engine.runs.services import RunServices

_TOLD_WAIT_SECONDS = 0.05


@dataclass
class Loop:
    """One attempt of a run, from where ``progress`` stands to the last step, or to a stop.

    Attributes
    ----------
    rate
        The learning rate of the n-th update that happened, counted from 0.
    saved_step
        The step that the newest checkpoint is of.
    """

    session: TrainingSession
    source: ExampleSource
    objective: Objective
    held_out: Sequence[Example]
    services: RunServices
    rate: Rate
    clock: RunClock
    listener: Listener = field(default_factory=Listener)
    progress: Progress = field(default_factory=Progress)
    saved_step: int | None = None

    def __post_init__(self) -> None:
        self.config = self.services.config
        self.divergence = DivergenceWatch(self.config.rows_per_step)
        self._record_told = False

    @property
    def step(self) -> int:
        """Optimizer steps done."""
        return self.progress.step

    @property
    def last(self) -> bool:
        """Whether all steps are done."""
        return self.step >= self.services.total_steps

    @property
    def stopped_early(self) -> bool:
        """Whether a callback or the objective asked for it, or evaluations have brought nothing better for too long."""
        patience, without = self.config.early_stopping_patience, self.progress.evals_without_improvement
        return bool(self.listener.asked.stop or self.objective.ended) or (patience is not None and without >= patience)

    @property
    def over(self) -> bool:
        """Whether nothing is left to train, or a stop was asked for."""
        return self.last or self.stopped_early or self.services.control.stop is not None

    def run(self) -> None:
        """Train. A stop between the passes of a step raises StopRequested, with the weights as the step before left them."""
        if self.step:  # a stop may have come between this step and its evaluation
            missing = self.progress.evaluated_step != self.step
            self._evaluate_and_sample()
            if missing and self._is_new_best:
                self.services.try_save(self)
        while not self.over:
            self._step()

    def check_finite(self) -> None:
        """Raise NonFiniteLossError where a trained weight is NaN or infinite."""
        self.session.check_finite()

    # -- a step -----------------------------------------------------------------------------------------------------

    def _step(self) -> None:
        progress, services, step = self.progress, self.services, self.progress.step
        began = time.perf_counter()
        examples = self.source.next(step)
        making = time.perf_counter() - began  # most of a step where the model answers, nothing for rows
        rate = self.rate(step - progress.skipped_steps)
        waited = services.take_weights()
        try:
            if waited > _TOLD_WAIT_SECONDS:
                services.journal.append("yielded", seconds=round(waited, 3), step=step)
            started = time.perf_counter()
            loss = self.compute(examples, step)
            norm = self.session.update(rate)
            services.stepped(step + 1)  # while nobody else can look at them
        finally:
            services.gate.release()
        seconds = time.perf_counter() - started
        if norm is None and not progress.skipped_steps:
            services.tell_skipped(step + 1)
        tokens = progress.count(examples, loss, skipped=norm is None)
        self.clock.step_took(making + seconds)
        progress.elapsed_s = self.clock.elapsed()
        self._after(loss, norm, rate, tokens / seconds)

    def compute(self, examples: Sequence[Example], step: int) -> float:
        """Compute a step's loss and gradients; where that fails or is stopped, whoever goes on computes the step again."""
        noted = {name: list(pair) for name, pair in self.objective.since_log.items()}
        try:
            self.objective.begin(self.session.ops, examples, self.session.score, held_out=False)
            return self.session.compute(examples, self.objective, step=step, total=self.objective.count(examples))
        except BaseException:
            self.objective.since_log = noted
            raise

    def _after(self, loss: float, norm: float | None, rate: float, speed: float) -> None:
        services, step = self.services, self.step
        if not self._record_told:
            services.journal.append("record", values={"actual_setup": self.session.actual_setup()})
            self._record_told = True
        diverged = self.objective.judged_by_loss and self.divergence.look(step, loss)
        self.listener.stepped(step, self.source.epoch(step))
        asked = self.listener.asked
        if step % self.config.logging_steps == 0 or self.last or diverged or asked.report:
            self.report(norm, rate, speed)
        if diverged:
            tell_diverged(self.divergence, services, step, loss, rate)
        services.control.poll()
        if services.control.stop is None:
            self._evaluate_and_sample(asked=asked.evaluate)
        if services.control.stop is not None or self.stopped_early:
            return
        if not self.last and (step % services.save_steps == 0 or self._is_new_best or asked.save):
            services.try_save(self)
        if services.control.pause_requested:
            self._pause()

    def report(self, norm: float | None, rate: float, speed: float) -> None:
        """Append the step's numbers to the journal; the loss is the mean since the last report."""
        metrics = step_metrics(self, norm, rate, speed)
        self.services.journal.append("step", **metrics)
        self.listener.reported(metrics)

    # -- at evaluation points ---------------------------------------------------------------------------------------

    def _evaluate_and_sample(self, *, asked: bool = False) -> None:
        """Do what the step, or a callback, asks for and no earlier attempt has done at it."""
        progress, services, step = self.progress, self.services, self.step
        due = step % services.eval_steps == 0 or self.last
        judge = (due or asked) and bool(self.held_out) and progress.evaluated_step != step
        sample = due and services.samples and progress.sampled_step != step
        if not judge and not sample:
            return
        started = time.perf_counter()
        if judge:
            self.evaluate()
        if sample:
            services.sample(step)
            progress.sampled_step = step
        self.clock.evaluation_s = time.perf_counter() - started
        services.phase("training", step, services.total_steps, "steps")

    def evaluate(self) -> None:
        """Judge the weights by the evaluation rows: is this the best step, and has patience run out."""
        progress, started = self.progress, time.perf_counter()
        loss, extra = evaluate(self.session, self.objective, self.held_out, self.services, self.source)
        progress.judge(loss, self.config.early_stopping_threshold)
        seconds = round(time.perf_counter() - started, 3)
        self.services.journal.append("eval", step=self.step, eval_loss=loss, seconds=seconds, **extra)
        self.listener.evaluated({"eval_loss": loss, **extra, "epoch": self.source.epoch(self.step)})

    @property
    def _is_new_best(self) -> bool:
        return self.config.load_best_model_at_end and self.progress.best_step == self.step

    def _pause(self) -> None:
        services = self.services
        with self.clock.not_counted():
            if self.saved_step != self.step:
                services.try_save(self)
            services.journal.append("paused", step=self.step)
            services.control.park()
        services.begin_attempt(self.step, reason="resumed after pause")
        services.phase("training", self.step, services.total_steps, "steps")
