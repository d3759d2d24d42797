"""One attempt of a run on torch, from rendered rows to the final checkpoint.

The session holds what the parts share (journal, control, gate, folder) and the order of the phases; the loop itself is in
:mod:`.trainer`. It runs in whichever thread or process the executor chose and writes everything through the journal.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from shadownb.engine import methods
from shadownb.engine.backends.torch import attention, preparation, randomness, record, surfaces
from shadownb.engine.backends.torch.batches import StepSampler
from shadownb.engine.backends.torch.objectives import OBJECTIVES
from shadownb.engine.backends.torch.surfaces import Surface
from shadownb.engine.backends.torch.trainer import EngineTrainer
from shadownb.engine.config import TrainConfig
from shadownb.engine.inference import Sampling
from shadownb.engine.models import Model
from shadownb.engine.rendering.examples import Example
from shadownb.engine.runs import checkpoints
from shadownb.engine.runs.checkpoints import Checkpoint
from shadownb.engine.runs.control import RunControl, StopRequested
from shadownb.engine.runs.folder import RunFolder, write_atomically
from shadownb.engine.runs.journal import Journal
from shadownb.errors import CheckpointError, DataError, DiskFullError, ShadowError

_PHASE_SECONDS = 0.25  # least time between two progress events of a phase


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended: the status, and the checkpoint that is the result (None where nothing was kept)."""

    status: str
    result: Checkpoint | None
    note: str = ""


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
        self.gate = model.gate
        self.total_steps = 0
        self.eval_steps = 0
        self.save_steps = 0
        self.functional_dropout: list[str] = []
        self.left: Checkpoint | None = None  # whose weights the model was given back after a failure
        self._phase_name = ""
        self._phase_told = 0.0
        self._sample_prompts: list[tuple[str, list[int]]] = []

    @property
    def samples(self) -> bool:
        """Whether there are prompts to answer at evaluation points."""
        return bool(self._sample_prompts)

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
        self.attempt = getattr(self, "attempt", self.model_attempts()) + 1
        self.journal.append("attempt", n=self.attempt, from_step=from_step, reason=reason, checkpoint=checkpoint)

    def model_attempts(self) -> int:
        """Return how many attempts the journal has already."""
        from shadownb.engine.runs.view import RunView

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
        # Weights, and two optimizer moments of the same size.
        checkpoints.ensure_space(
            self.folder.checkpoints, sum(3 * t.numel() * t.element_size() for t in tensors.values()), step
        )

        def fill(target: Path) -> None:
            surface.save(target)
            self.model.save_tokenizer(target)
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
            "base": {"name": self.model.name, "hash": self.model.base_hash},
            "eval_loss": trainer.progress.best_eval_loss if trainer.progress.best_step == step else None,
            "trained_sha256": surfaces.digest(tensors),
        }
        checkpoint = checkpoints.write(self.folder.checkpoints, step, fill, facts)
        best = trainer.progress.best_step
        # A discard goes back to where the attempt began.
        kept = {step for step in (best, self.resume.step if self.resume else None) if step is not None}
        removed = checkpoints.prune(self.folder.checkpoints, self.config.save_total_limit, kept)
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

    def sample(self, step: int) -> None:
        """Answer the fixed prompts with the weights as they are; the texts go to ``samples/``, the event has their hash."""
        if not self._sample_prompts:
            return
        self.phase("sampling", 0, len(self._sample_prompts), "prompts")
        completions = self.model.generator.generate(
            [ids for _, ids in self._sample_prompts],
            Sampling(max_new_tokens=self.config.sample_max_new_tokens, temperature=0.0),
            should_stop=self.control.stopped,
        )
        self.control.check()
        items = [
            {"prompt": prompt, "completion": completion.text}
            for (prompt, _), completion in zip(self._sample_prompts, completions, strict=True)
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

    # -- the attempt ------------------------------------------------------------------------------------------------

    def run(self) -> Outcome:
        """Train to the end, a stop, or an error; returns how it ended, raises what went wrong."""
        resume_step = self.resume.step if self.resume else 0
        self.begin_attempt(
            resume_step,
            reason="resumed" if self.resume else "started",
            checkpoint=self.resume.path.name if self.resume else None,
        )
        spec = self.folder.spec
        try:
            rows = preparation.examples_of(self, spec["dataset"], "rows")
            held_out = spec.get("eval_dataset")
            eval_rows = preparation.examples_of(self, held_out, "evaluation rows") if held_out else []
            self._sample_prompts = preparation.sample_prompts(self, held_out or spec["dataset"])
        except StopRequested:
            return Outcome("discarded" if self._discarding() else "stopped", None, "before the first step")
        if not rows:
            raise DataError(
                f"No row of {spec['dataset']['name']!r} has a token to train.",
                why=f"Each was empty or cut off at max_seq_length={self.max_length}.",
                fix="Raise max_seq_length, or look at the rows with dataset.inspect(model).",
            )
        return self._train(rows, eval_rows)

    @property
    def max_length(self) -> int:
        """Most tokens of a sequence."""
        return self.config.max_seq_length or self.model.max_seq_length

    def _train(self, rows: list[Example], eval_rows: list[Example]) -> Outcome:
        self.phase("preparing model")
        with self.gate.training():
            carried = self.model.carried
            surfaces.check(self.model.module, carried, self.config)
            sequences = [row for example in rows for row in example.rows]
            start = surfaces.Start(self.model.public_name, self.model.source, sequences)
            surface = surfaces.prepare(self.model.module, carried, self.config, start)
            self.model.weights.carry(surface)
        before = None if carried is None else surfaces.snapshot(surface.owned())
        try:
            return self._train_surface(surface, rows, eval_rows)
        except (StopRequested, Exception) as error:
            self.gate.release()
            self.left = self._go_back(surface, before)
            if not isinstance(error, StopRequested):
                raise
            if not error.save or self._discarding():
                return Outcome("discarded", None)
            return Outcome("stopped", self.left, "before the first step")

    def _train_surface(self, surface: Surface, rows: list[Example], eval_rows: list[Example]) -> Outcome:
        config = self.config = surface.effective_config(self.config)
        module, base = surface.module, surface.base
        packing = attention.choose_packing(base, prefixed=surface.prefix() is not None)
        objective = OBJECTIVES[methods.get(config.method).objective](config)
        rows, eval_rows = objective.arrange(rows), objective.arrange(eval_rows)
        sampler = StepSampler(
            [sum(len(row.input_ids) for row in example.rows) for example in rows],
            config.rows_per_step,
            config.seed,
            packing=config.packing,
            max_length=self.max_length,
        )
        self.total_steps = config.resolved_total_steps(sampler.items)
        self.eval_steps = config.resolved_eval_steps(self.total_steps)
        self.save_steps = config.resolved_save_steps(self.total_steps)
        self.functional_dropout = randomness.functional_dropout(base)
        if self.functional_dropout:
            self.warn(
                f"This model draws {', '.join(self.functional_dropout)} from the process's random numbers.",
                why="Random numbers drawn in other cells change the run, so a resume is exact only in a worker process.",
                fix="Use executor='process', or set the value to 0 in the model's config.",
            )
        self.journal.append("plan", total_steps=self.total_steps, rows=len(rows), eval_rows=len(eval_rows))
        cache_setting = base.config.use_cache
        with contextlib.ExitStack() as stack:
            stack.enter_context(randomness.private_randomness())
            stack.callback(lambda: setattr(base.config, "use_cache", cache_setting))
            if not base.is_activation_checkpointing:
                stack.callback(base.activation_checkpointing_disable)  # or the next run would have it unasked
            stack.callback(self.gate.release)
            plan, expected = record.plan_of(self, surface, rows)
            trainer = EngineTrainer(
                surface,
                preparation.training_arguments(self, plan),
                rows,
                eval_rows,
                objective=objective,
                sampler=sampler,
                packing=packing,
                session=self,
            )
            stack.callback(lambda: self._leave(trainer))
            self.journal.append("record", values=record.planned(self, surface, packing, rows, plan, expected))
            stack.enter_context(randomness.owned_dropout(module, trainer.dropout))
            try:
                return self._loop(trainer)
            except StopRequested as stop:
                self.gate.release()
                if not stop.save or self._discarding() or not trainer.state.global_step or trainer.optimizer is None:
                    raise
                trainer.model.zero_grad(set_to_none=True)
                self.phase("saving")
                return Outcome("stopped", self.save(trainer, final=True))

    def _loop(self, trainer: EngineTrainer) -> Outcome:
        training = str(self.resume.path / checkpoints.TRAINING) if self.resume else None
        if training is not None and not trainer.objective.load_state(Path(training)):
            raise CheckpointError(
                f"The checkpoint {self.resume and self.resume.path.name} lacks what method={self.config.method!r} needs.",
                why="It was written by a run with another objective, so it has no log-probabilities of the reference.",
                fix="Load it with shadownb.load() and start a new run.",
            )
        trainer.prepare_objective()
        self.phase("training", self.resume.step if self.resume else 0, self.total_steps, "steps")
        trainer.start_clock()
        trainer.train(resume_from_checkpoint=training)
        stop = self.control.stop
        if stop is not None:
            raise stop
        self.phase("saving")
        final = self.save(trainer, final=True)
        result = self._best_if_asked(trainer, final)
        note = "stopped early: no improvement" if trainer.stopped_early else ""
        return Outcome("succeeded", result, note)

    def _best_if_asked(self, trainer: EngineTrainer, final: Checkpoint) -> Checkpoint:
        best = trainer.progress.best_step
        if not self.config.load_best_model_at_end or best in (None, final.step):
            return final
        found = [c for c in checkpoints.list_checkpoints(self.folder.checkpoints) if c.step == best]
        if not found:
            self.warn(f"The best step {best} has no checkpoint any more; the last one is the result.")
            return final
        with self.gate.training():
            trainer.surface.load_into(found[0].path)
        return found[0]

    def _discarding(self) -> bool:
        return self.control.stop is not None and not self.control.stop.save

    def _go_back(self, surface: Surface, before: dict[str, torch.Tensor] | None) -> Checkpoint | None:
        """After a failure or a discard, leave weights that a checkpoint or the start explains, never half-trained ones.

        Returns the checkpoint whose weights the model has now; None is the start.
        """
        if self._discarding():
            gone = checkpoints.remove_after(self.folder.checkpoints, self.resume.step if self.resume else 0)
            self.journal.append("checkpoints_removed", removed=[path.name for path in gone])
        with self.gate.training():
            surface.module.zero_grad(set_to_none=True)
            newest = None if self._discarding() else checkpoints.newest_valid(self.folder.checkpoints)[0]
            if newest is not None:
                surface.load_into(newest.path)
            elif surface.replaces_base:
                self.model.weights.reload_base()
            elif before is None:  # nothing was there at the start, so the next run is free to choose its shape
                self.model.weights.carry_nothing(surface.remove())
            else:
                surfaces.restore(surface.module, before)
            return newest

    def _leave(self, trainer: EngineTrainer) -> None:
        trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False)
        trainer.model.zero_grad(set_to_none=True)
        trainer.model.eval()
        trainer.optimizer = trainer.lr_scheduler = None
        trainer.callback_handler.train_dataloader = None


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error means that memory ran out, on the device or on the machine."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    text = str(error)
    return (
        isinstance(error, RuntimeError)
        and not isinstance(error, ShadowError)
        and ("out of memory" in text.lower() or "can't allocate memory" in text)
    )
