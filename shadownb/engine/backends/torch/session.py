"""What the parts of an attempt share: model, journal, control, gate and folder, and what they write there.

Everything goes through the journal: phases, warnings, checkpoints, samples. The order of the phases is in :mod:`.phases`,
the loop in :mod:`.trainer`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from shadownb.engine.backends.torch import surfaces
from shadownb.engine.config import TrainConfig
from shadownb.engine.disk import write_atomically
from shadownb.engine.inference import Sampling
from shadownb.engine.inference.gate import WaitCancelled
from shadownb.engine.models import Model, beside
from shadownb.engine.models.lengths import longest_row
from shadownb.engine.runs import checkpoints, executors
from shadownb.engine.runs.checkpoints import Checkpoint
from shadownb.engine.runs.control import RunControl
from shadownb.engine.runs.folder import RunFolder
from shadownb.engine.runs.journal import Journal
from shadownb.engine.runs.starting import order_of_rows, others_start_from
from shadownb.engine.runs.view import RunView
from shadownb.errors import DiskFullError

if TYPE_CHECKING:
    from shadownb.engine.backends.torch.trainer import EngineTrainer

_PHASE_SECONDS = 0.25  # least time between two progress events of a phase


class Session:
    """One attempt. ``resume`` is the checkpoint to go on from, or None."""

    def __init__(
        self, folder: RunFolder, model: Model, journal: Journal, control: RunControl, *, resume: Checkpoint | None
    ) -> None:
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
        self.functional_dropout: list[str] = []
        self.sample_prompts: list[tuple[str, list[int]]] = []  # what to show, token ids
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
        return longest_row(self.model, self.config.max_seq_length, self.config)

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

    # -- what the trainer calls -------------------------------------------------------------------------------------

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

    def _earlier_attempts(self) -> int:
        self.journal.flush()
        return RunView(self.folder.events).refresh().attempt

    def try_save(self, trainer: EngineTrainer) -> None:
        """Write a checkpoint; a full disk becomes a warning, because training itself can go on."""
        try:
            self.save(trainer)
        except DiskFullError as error:
            self.warn(error.what, why=error.why, fix=error.fix, code=error.code)

    def save(self, trainer: EngineTrainer, *, final: bool = False) -> Checkpoint:
        """Write a checkpoint of the step just done."""
        step = trainer.state.global_step
        surface = trainer.surface
        tensors = surface.owned()
        if not all(bool(torch.isfinite(tensor).all()) for tensor in tensors.values()):
            raise trainer.not_finite("weights", math.nan)
        # Weights, two optimizer moments in 32 bits, and a copy in 32 where the weights have 16.
        checkpoints.ensure_space(
            self.folder.checkpoints,
            sum(t.numel() * (12 if t.element_size() >= 4 else t.element_size() + 12) for t in tensors.values()),
            step,
        )

        def fill(target: Path) -> None:
            surface.save(target)
            self.model.save_tokenizer(target)
            beside.write(target, trained_on=self.trained_on, trained={"run": self.folder.id, "step": step})
            training = target / checkpoints.TRAINING
            training.mkdir()
            trainer.write_training_state(training)
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
            "eval_loss": trainer.progress.best_eval_loss if trainer.progress.best_step == step else None,
            "trained_sha256": surfaces.digest(tensors),
        }
        checkpoint = checkpoints.write(self.folder.checkpoints, step, fill, facts)
        best = trainer.progress.best_step
        removed = self._prune(trainer, self.config.save_total_limit, ending=final)
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
        trainer.saved_step = step
        return checkpoint

    def _prune(self, trainer: EngineTrainer, keep_last: int, *, ending: bool) -> list[Path]:
        """Delete old checkpoints, but not the best, what a discard would go back to, or what other runs started from."""
        began = None if ending or self.resume is None else self.resume.step
        # The step just done, too: after going back past damaged checkpoints those are of later steps.
        steps = (trainer.state.global_step, trainer.progress.best_step, began, self._last_good(trainer))
        kept = {step for step in steps if step is not None}
        return checkpoints.prune(self.folder.checkpoints, keep_last, kept, lambda: others_start_from(self.folder))

    def _last_good(self, trainer: EngineTrainer) -> int | None:
        """Return the step of the newest checkpoint from before the loss began to climb, where it has."""
        good = trainer.divergence.good_step
        steps = [c.step for c in checkpoints.list_checkpoints(self.folder.checkpoints) if c.step <= good]
        return max(steps, default=None)

    def save_last(self, trainer: EngineTrainer) -> Checkpoint:
        """Write the checkpoint an attempt ends with, where the disk is full in the place of all older than the newest.

        Raises
        ------
        DiskFullError
            It fits not even then. :attr:`left` is the step, because the model keeps its weights.
        """
        try:
            return self.save(trainer, final=True)
        except DiskFullError as error:
            gone = self._prune(trainer, 1, ending=True)
            if not gone:
                raise self._unsaved(trainer, error) from error
        self.journal.append("checkpoints_removed", removed=[path.name for path in gone])
        try:
            return self.save(trainer, final=True)
        except DiskFullError as error:
            raise self._unsaved(trainer, error) from error

    def _unsaved(self, trainer: EngineTrainer, error: DiskFullError) -> DiskFullError:
        step = self.left = trainer.state.global_step
        if not executors.known_by(RunView(self.folder.events).refresh().executor).shares_memory:
            return DiskFullError(
                error.what,
                why=f"Only the worker's memory had the weights of step {step}; earlier checkpoints are untouched.",
                fix="Free disk space; run.resume() trains on from the newest checkpoint, to the same weights.",
            )
        whole = "" if trainer.surface.separate else ", fmt='merged'"
        return DiskFullError(
            error.what,
            why=f"The model in memory keeps the weights of step {step}, so nothing is lost while it stays loaded.",
            fix=f"Save it to another disk with model.save(path{whole}), or free disk space and run.resume().",
        )

    def sample(self, step: int) -> None:
        """Answer the fixed prompts with the weights as they are; the texts go to ``samples/``, the event has their hash."""
        if not self.sample_prompts:
            return
        self.phase("sampling", 0, len(self.sample_prompts), "prompts")
        completions = self.model.generator.generate(
            [ids for _, ids in self.sample_prompts],
            Sampling(max_new_tokens=self.config.sample_max_new_tokens, temperature=0.0),
            should_stop=self.control.stopped,
        )
        self.control.check()
        items = [
            {"prompt": prompt, "completion": self._said(completion.text, ids)}
            for (prompt, ids), completion in zip(self.sample_prompts, completions, strict=True)
        ]
        content = json.dumps({"step": step, "items": items}, ensure_ascii=False)
        path = self.folder.samples / f"step-{step:06d}.json"
        try:
            write_atomically(path, content)
        except (OSError, DiskFullError) as error:
            reason = getattr(error, "strerror", None) or "the disk is full"
            self.warn(f"The samples of step {step} could not be written: {reason}.", fix="Free disk space.")
            return
        digest = hashlib.sha256(content.encode()).hexdigest()
        self.journal.append("sample", step=step, path=path.name, count=len(items), sha256=digest)

    def _said(self, text: str, prompt: list[int]) -> str:
        """Return what stands after the reasoning; all of it where the limit came before its end."""
        reply = self.model.renderer.read_reply(text, [], prompt=prompt, calls=False)
        return text if reply.reasoning_open else reply.content
