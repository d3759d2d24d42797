"""What a run does for whoever trains it: journal, commands, the weights' gate, checkpoints, samples.

Everything goes through the journal: phases, warnings, checkpoints, samples. The order of an attempt is in
:mod:`shadownb.engine.runs.attempt`, the loop in :mod:`.loop`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from shadownb.engine.config import TrainConfig
from shadownb.engine.disk import write_atomically
from shadownb.engine.inference import Completion, Sampling
from shadownb.engine.inference.gate import WaitCancelled
from shadownb.engine.loaded import sidecar
from shadownb.engine.runs import checkpoints, executors
from shadownb.engine.runs.checkpoints import Checkpoint
from shadownb.engine.runs.control import RunControl
from shadownb.engine.runs.folder import RunFolder
from shadownb.engine.runs.journal import Journal
from shadownb.engine.runs.loop_state import save_state
from shadownb.engine.runs.results import ASKED
from shadownb.engine.runs.schedules import Rate, schedule
from shadownb.engine.runs.starting import order_of_rows, others_start_from
from shadownb.engine.runs.view import RunView
from shadownb.errors import DiskFullError

if TYPE_CHECKING:
    from shadownb.engine.loaded.model import LoadedModel
    from shadownb.engine.runs.guest_loop import GuestLoop
    from shadownb.engine.runs.loop import Loop

_PHASE_SECONDS = 0.25  # least time between two progress events of a phase


class SamplePrompt(NamedTuple):
    """What is answered at evaluation points: the question as it is shown, its tokens, and the row's own answer, if it has one."""

    shown: str
    ids: list[int]
    expected: str | None = None


class RunServices:
    """One attempt. ``resume`` is the checkpoint to go on from, or None; ``callbacks`` are objects of this process."""

    def __init__(
        self,
        folder: RunFolder,
        model: LoadedModel,
        journal: Journal,
        control: RunControl,
        *,
        resume: Checkpoint | None,
        callbacks: Sequence[Any] = (),
    ) -> None:
        self.callbacks = callbacks
        self.folder = folder
        self.model = model
        self.journal = journal
        self.control = control
        self.resume = resume
        self.config: TrainConfig = folder.config
        self.trained_on = folder.trained_on
        self.gate = model.gate
        self.total_steps = 0
        self.eval_steps = 0
        self.save_steps = 0
        self.sample_prompts: list[SamplePrompt] = []
        self.left: int | None = None  # step of the run whose weights the model has after a failure; None: of the start
        self._attempt = 0
        self._phase_name = ""
        self._phase_told = 0.0

    @property
    def own_checkpoint(self) -> bool:
        """Whether what is resumed from is this run's, and not another's (``resume_from_checkpoint``)."""
        return self.resume is not None and self.resume.path.parent.resolve() == self.folder.checkpoints.resolve()

    @property
    def samples(self) -> bool:
        """Whether there are prompts to answer at evaluation points."""
        return bool(self.sample_prompts)

    @property
    def max_length(self) -> int:
        """Most tokens of a sequence."""
        return self.model.lengths.longest_row(self.config.max_length, self.config)

    def plan_steps(self, items: int, iterations: int = 1) -> None:
        """Say how many steps there are, for so many rows or packs, and between which it is evaluated and saved.

        ``iterations`` is how many steps each row takes part in before the next ones come.
        """
        rows = self.config.rows_per_step
        items = items if iterations == 1 else -(-items // rows) * rows * iterations
        self.total_steps = self.config.resolved_total_steps(items)
        self.eval_steps = self.config.resolved_eval_steps(self.total_steps)
        self.save_steps = self.config.resolved_save_steps(self.total_steps)

    def rate(self) -> Rate:
        """Return the learning rate as a function of the update's number."""
        config, steps = self.config, self.total_steps
        warmup, decay = config.resolved_warmup(steps), config.resolved_decay(steps)
        return schedule(config.lr_scheduler_type, config.resolved_learning_rate(), steps, warmup, decay=decay)

    # -- the weights ------------------------------------------------------------------------------------------------

    def take_weights(self) -> float:
        """Take the gate for a step and return the seconds waited; a stop is obeyed also while an answer has the weights."""
        try:
            return self.gate.enter_training(cancelled=self.control.stopped)
        except WaitCancelled:
            self.control.check()
            raise

    @contextlib.contextmanager
    def weights(self) -> Iterator[None]:
        """Have the weights inside the block, as :meth:`take_weights` does."""
        self.take_weights()
        try:
            yield
        finally:
            self.gate.exit_training()

    # -- what the loop calls -------------------------------------------------------------------------------------

    def phase(self, name: str, done: int = 0, total: int | None = None, unit: str = "") -> None:
        """Tell what is going on; repeated progress of one phase is told at most four times a second."""
        now = time.monotonic()
        if name == self._phase_name and now - self._phase_told < _PHASE_SECONDS and done != total:
            return
        self._phase_name, self._phase_told = name, now
        self.journal.append("phase", name=name, done=done, total=total, unit=unit)

    def warn(self, what: str, *, why: str = "", fix: str = "", code: str = "warning") -> None:
        """Record something the user should see that does not stop the run."""
        self.journal.append("warning", code=code, what=what, why=why, fix=fix)

    def begin_attempt(self, from_step: int, *, reason: str, checkpoint: str | None = None) -> None:
        """Record that training goes on from a step."""
        self._attempt = (self._attempt or self._earlier_attempts()) + 1
        self.journal.append("attempt", n=self._attempt, from_step=from_step, reason=reason, checkpoint=checkpoint)

    def check(self) -> None:
        """Raise StopRequested if a stop was asked for."""
        self.control.check()

    def stepped(self, step: int) -> None:
        """Note which step the weights are of, while nobody else can look at them."""
        self.model.stepped = (self.folder.id, step)

    def tell_skipped(self, step: int) -> None:
        """Warn of the first step that changed nothing."""
        self.warn(
            f"Step {step} changed nothing: its gradients did not fit into float16.",
            why="They are computed scaled up, and the scale is halved until they fit; in the first steps that is usual.",
            fix="Nothing needs to be done; skipped_steps in the run's events counts such steps.",
            code="step-skipped",
        )

    def _earlier_attempts(self) -> int:
        self.journal.flush()
        return RunView(self.folder.events).refresh().attempt

    def try_save(self, loop: Loop | GuestLoop) -> None:
        """Write a checkpoint; a full disk becomes a warning, because training itself can go on."""
        try:
            self.save(loop)
        except DiskFullError as error:
            self.warn(error.what, why=error.why, fix=error.fix, code=error.code)

    def save(self, loop: Loop | GuestLoop, *, final: bool = False) -> Checkpoint:
        """Write a checkpoint of the step just done."""
        step, session = loop.step, loop.session
        loop.check_finite()
        checkpoints.ensure_space(self.folder.checkpoints, session.checkpoint_bytes(), step)

        def fill(target: Path) -> None:
            session.save_weights(target)
            self.model.save_tokenizer(target)
            sidecar.write(target, trained_on=self.trained_on, trained={"run": self.folder.id, "step": step})
            training = target / checkpoints.TRAINING
            training.mkdir()
            save_state(loop, training)
            if not self.journal.flush():  # before the rename: a checkpoint never knows more than the journal
                raise DiskFullError(
                    f"The checkpoint of step {step} was not written, because the run's journal cannot be.",
                    why=f"{self.journal.write_error or 'The disk is slow'}. Its events wait in memory.",
                    fix="Free disk space; the next checkpoint is written then.",
                )

        facts = {
            "run": self.folder.id,
            "final": final,
            "method": self.config.method,
            "order": order_of_rows(self.folder),
            "base": {"name": self.model.name, "hash": self.model.base_hash},
            "eval_loss": loop.progress.best_eval_loss if loop.progress.best_step == step else None,
            "trained_sha256": session.digest(),
        }
        checkpoint = checkpoints.write(self.folder.checkpoints, step, fill, facts)
        best = loop.progress.best_step
        removed = self._prune(loop, self.config.save_total_limit, ending=final)
        self.journal.append(
            "checkpoint",
            step=step,
            path=checkpoint.path.name,
            final=final,
            best=best == step,
            eval_loss=facts["eval_loss"],
            sha256=facts["trained_sha256"],
            removed=[path.name for path in removed],
        )
        loop.saved_step = step
        loop.listener.saved()
        return checkpoint

    def _prune(self, loop: Loop | GuestLoop, keep_last: int, *, ending: bool) -> list[Path]:
        """Delete old checkpoints, but not the best, what a discard would go back to, or what other runs started from."""
        began = None if ending or self.resume is None else self.resume.step
        # The step just done, too: after going back past damaged checkpoints those are of later steps.
        steps = (loop.step, loop.progress.best_step, began, self._last_good(loop))
        kept = {step for step in steps if step is not None}
        return checkpoints.prune(self.folder.checkpoints, keep_last, kept, lambda: others_start_from(self.folder))

    def _last_good(self, loop: Loop | GuestLoop) -> int | None:
        """Return the step of the newest checkpoint from before the loss began to climb, where it has."""
        good = loop.divergence.good_step
        steps = [c.step for c in checkpoints.list_checkpoints(self.folder.checkpoints) if c.step <= good]
        return max(steps, default=None)

    def save_last(self, loop: Loop | GuestLoop) -> Checkpoint:
        """Write the checkpoint an attempt ends with, where the disk is full in the place of all older than the newest.

        Raises
        ------
        DiskFullError
            It fits not even then. :attr:`left` is the step, because the model keeps its weights.
        """
        try:
            return self.save(loop, final=True)
        except DiskFullError as error:
            gone = self._prune(loop, 1, ending=True)
            if not gone:
                raise self._unsaved(loop, error) from error
        self.journal.append("checkpoints_removed", removed=[path.name for path in gone])
        try:
            return self.save(loop, final=True)
        except DiskFullError as error:
            raise self._unsaved(loop, error) from error

    def _unsaved(self, loop: Loop | GuestLoop, error: DiskFullError) -> DiskFullError:
        step = self.left = loop.step
        if not executors.known_by(RunView(self.folder.events).refresh().executor).shares_memory:
            return DiskFullError(
                error.what,
                why=f"Only the worker's memory had the weights of step {step}; earlier checkpoints are untouched.",
                fix="Free disk space; run.resume() trains on from the newest checkpoint, to the same weights.",
            )
        whole = "" if loop.session.separate else ", fmt='merged'"
        return DiskFullError(
            error.what,
            why=f"The model in memory keeps the weights of step {step}, so nothing is lost while it stays loaded.",
            fix=f"Save it to another disk with model.save(path{whole}), or free disk space and run.resume().",
        )

    def answer(self, prompts: Sequence[Sequence[int]], sampling: Sampling) -> list[Completion]:
        """Have the weights of the moment answer prompts; a stop is raised, so that nobody trains answers that it broke off."""
        completions = self.model.generator.generate(prompts, sampling, should_stop=self.control.stopped)
        self.control.check()
        return completions

    def sample_before(self) -> None:
        """Answer the fixed prompts with the weights of the start, to show beside what they answer later, and what rows expect."""
        if not self.sample_prompts or self.resume is not None:
            return
        said = self._say()
        asked = [
            {"prompt": each.shown, "expected": each.expected, "before": text}
            for each, text in zip(self.sample_prompts, said, strict=True)
        ]
        self._write_samples(ASKED, {"items": asked}, "before the first step")

    def sample(self, step: int) -> None:
        """Answer the fixed prompts with the weights as they are; the texts go to ``samples/``, the event has their hash."""
        if not self.sample_prompts:
            return
        said = self._say()
        items = [
            {"prompt": each.shown, "completion": text} for each, text in zip(self.sample_prompts, said, strict=True)
        ]
        name = f"step-{step:06d}.json"
        digest = self._write_samples(name, {"step": step, "items": items}, f"of step {step}")
        if digest is not None:
            self.journal.append("sample", step=step, path=name, count=len(items), sha256=digest)

    def _say(self) -> list[str]:
        self.phase("sampling", 0, len(self.sample_prompts), "prompts")
        sampling = Sampling(max_new_tokens=self.config.sample_max_new_tokens, temperature=0.0)
        completions = self.answer([each.ids for each in self.sample_prompts], sampling)
        return [
            self.said(completion.text, each.ids)
            for each, completion in zip(self.sample_prompts, completions, strict=True)
        ]

    def _write_samples(self, name: str, values: dict[str, Any], which: str) -> str | None:
        """Write a file of samples and return its hash; None, with a warning, where the disk does not take it."""
        content = json.dumps(values, ensure_ascii=False)
        try:
            write_atomically(self.folder.samples / name, content)
        except (OSError, DiskFullError) as error:
            reason = getattr(error, "strerror", None) or "the disk is full"
            self.warn(f"The samples {which} could not be written: {reason}.", fix="Free disk space.")
            return None
        return hashlib.sha256(content.encode()).hexdigest()

    def said(self, text: str, prompt: list[int]) -> str:
        """Return what stands after the reasoning; all of it where the limit came before its end."""
        reply = self.model.renderer.read_reply(text, [], prompt=prompt, calls=False)
        return text if reply.reasoning_open else reply.content
