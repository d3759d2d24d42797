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
from typing import Any

import torch
from transformers import TrainingArguments

from shadownb.engine import estimate, hardware, methods
from shadownb.engine.backends.torch import attention, randomness, surface
from shadownb.engine.backends.torch.batches import StepSampler
from shadownb.engine.backends.torch.pieces import trained_tokens
from shadownb.engine.backends.torch.trainer import EngineTrainer
from shadownb.engine.config import TrainConfig
from shadownb.engine.inference import Sampling
from shadownb.engine.models import Model
from shadownb.engine.rendering import Rendered
from shadownb.engine.runs import checkpoints
from shadownb.engine.runs.checkpoints import Checkpoint
from shadownb.engine.runs.control import RunControl, StopRequested
from shadownb.engine.runs.folder import RunFolder, load_rows, write_atomically
from shadownb.engine.runs.journal import Journal
from shadownb.errors import DataError, DiskFullError, ShadowError

_PHASE_SECONDS = 0.25  # least time between two progress events of a phase
_KEPT_SAMPLE_PROMPTS = 3


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
        module = trainer.accelerator.unwrap_model(trainer.model)
        tensors = surface.trainable(module)
        if not all(bool(torch.isfinite(tensor).all()) for tensor in tensors.values()):
            raise trainer.not_finite("weights", math.nan)
        # Weights, and two optimizer moments of the same size.
        checkpoints.ensure_space(
            self.folder.checkpoints, sum(3 * t.numel() * t.element_size() for t in tensors.values()), step
        )

        def fill(target: Path) -> None:
            surface.save(module, target)
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
            "trained_sha256": surface.digest(tensors),
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
            rows = self._render(spec["dataset"], "rows")
            eval_rows = self._render(spec["eval_dataset"], "evaluation rows") if spec.get("eval_dataset") else []
        except StopRequested:
            return Outcome("discarded" if self._discarding() else "stopped", None, "before the first step")
        if not rows:
            raise DataError(
                f"No row of {spec['dataset']['name']!r} has a token to train.",
                why=f"Each was empty or cut off at max_seq_length={self._max_length()}.",
                fix="Raise max_seq_length, or look at the rows with dataset.inspect(model).",
            )
        return self._train(rows, eval_rows)

    def _train(self, rows: list[Rendered], eval_rows: list[Rendered]) -> Outcome:
        self.phase("preparing model")
        with self.gate.training():
            bare = not hasattr(self.model.module, "peft_config")
            surface.check(self.model.module, self.config, base_changed=self.model.surface == "weights")
            module = surface.prepare(self.model.module, self.config, base_name=self.model.public_name)
            self.model.adopt_module(module)
        before = None if bare else surface.snapshot(module)
        try:
            return self._train_module(module, rows, eval_rows)
        except (StopRequested, Exception) as error:
            self.gate.release()
            self.left = self._go_back(module, before)
            if not isinstance(error, StopRequested):
                raise
            if not error.save or self._discarding():
                return Outcome("discarded", None)
            return Outcome("stopped", self.left, "before the first step")

    def _train_module(self, module: Any, rows: list[Rendered], eval_rows: list[Rendered]) -> Outcome:
        config = self.config = surface.effective_config(module, self.config)
        base = module.get_base_model() if hasattr(module, "get_base_model") else module
        packing = attention.choose_packing(base)
        sampler = StepSampler(
            [len(row.input_ids) for row in rows],
            config.rows_per_step,
            config.seed,
            packing=config.packing,
            max_length=self._max_length(),
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
        self._record(module, packing, rows)
        cache_setting = base.config.use_cache
        with contextlib.ExitStack() as stack:
            stack.enter_context(randomness.private_randomness())
            stack.callback(lambda: setattr(base.config, "use_cache", cache_setting))
            if not base.is_activation_checkpointing:
                stack.callback(base.activation_checkpointing_disable)  # or the next run would have it unasked
            stack.callback(self.gate.release)
            trainer = EngineTrainer(
                module, self._arguments(), rows, eval_rows, sampler=sampler, packing=packing, session=self
            )
            stack.callback(lambda: self._leave(trainer))
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
            surface.load_into(trainer.accelerator.unwrap_model(trainer.model), found[0].path)
        return found[0]

    def _discarding(self) -> bool:
        return self.control.stop is not None and not self.control.stop.save

    def _go_back(self, module: Any, before: dict[str, torch.Tensor] | None) -> Checkpoint | None:
        """After a failure or a discard, leave weights that a checkpoint or the start explains, never half-trained ones.

        Returns the checkpoint whose weights the model has now; None is the start.
        """
        if self._discarding():
            gone = checkpoints.remove_after(self.folder.checkpoints, self.resume.step if self.resume else 0)
            self.journal.append("checkpoints_removed", removed=[path.name for path in gone])
        with self.gate.training():
            module.zero_grad(set_to_none=True)
            newest = None if self._discarding() else checkpoints.newest_valid(self.folder.checkpoints)[0]
            if newest is not None:
                surface.load_into(module, newest.path)
            elif methods.get(self.config.method).changes_base_weights:
                self.model.reload_base_weights()
            elif before is None:  # no adapter was there at the start, so the next run is free to choose its shape
                self.model.adopt_module(surface.remove_adapter(module))
            else:
                surface.restore(module, before)
            return newest

    def _leave(self, trainer: EngineTrainer) -> None:
        trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False)
        trainer.model.zero_grad(set_to_none=True)
        trainer.model.eval()
        trainer.optimizer = trainer.lr_scheduler = None
        trainer.callback_handler.train_dataloader = None

    # -- preparation ------------------------------------------------------------------------------------------------

    def _max_length(self) -> int:
        return self.config.max_seq_length or self.model.max_seq_length

    def _render(self, reference: dict[str, Any], unit: str) -> list[Rendered]:
        source = load_rows(reference)
        rendered, empty, cut = [], 0, 0
        for index, row in enumerate(source):
            if index % 32 == 0:
                self.control.check()
                self.phase("preparing data", index, len(source), unit)
            sequences = self.model.renderer.render_all(row, loss_on=self.config.loss_on, max_length=self._max_length())
            useful = [sequence for sequence in sequences if trained_tokens(sequence)]
            cut += any(sequence.truncated_tokens for sequence in sequences)
            empty += not useful
            rendered.extend(useful)
        if empty:
            self.warn(
                f"{empty} of {len(source)} {unit} have no token to train and are left out.",
                why=f"They are empty, or cut off at max_seq_length={self._max_length()}.",
                fix="Raise max_seq_length, or look at them with dataset.inspect(model).",
                code="rows-skipped",
            )
        if cut:
            self.warn(
                f"{cut} of {len(source)} {unit} are longer than max_seq_length={self._max_length()} and are cut.",
                fix="Raise max_seq_length to keep them whole.",
                code="rows-truncated",
            )
        if self.config.sample_max_new_tokens and (unit != "rows" or not self.folder.spec.get("eval_dataset")):
            self._choose_prompts(source)
        return rendered

    def _choose_prompts(self, source: list[dict[str, Any]]) -> None:
        renderer = self.model.renderer
        for prompt in self.config.sample_prompts:
            self._sample_prompts.append((prompt, renderer.render_prompt([{"role": "user", "content": prompt}])))
        if self._sample_prompts:
            return
        for row in source:
            messages = row.get("messages") or []
            if (
                len(messages) > 1
                and messages[-1]["role"] == "assistant"
                and len(self._sample_prompts) < _KEPT_SAMPLE_PROMPTS
            ):
                ids = renderer.render_prompt(messages[:-1], tools=row.get("tools"))
                self._sample_prompts.append((str(messages[-2].get("content") or ""), ids))

    def _arguments(self) -> TrainingArguments:
        config = self.config
        device = self.model.device
        optimizer, _ = hardware.choose_optimizer(config.optim, device)
        checkpointing, _ = hardware.choose_checkpointing(config.gradient_checkpointing, device)
        arguments = TrainingArguments(
            output_dir=str(self.folder.path),
            per_device_train_batch_size=config.rows_per_step,
            gradient_accumulation_steps=1,
            max_steps=self.total_steps,
            learning_rate=config.resolved_learning_rate(),
            lr_scheduler_type=config.lr_scheduler_type,
            lr_scheduler_kwargs={"min_lr_rate": 0.1} if config.lr_scheduler_type == "cosine_with_min_lr" else {},
            warmup_steps=config.resolved_warmup(self.total_steps),
            weight_decay=config.weight_decay,
            max_grad_norm=config.max_grad_norm,
            optim=optimizer,
            seed=config.seed,
            eval_strategy="no",
            save_strategy="no",
            logging_strategy="no",
            logging_nan_inf_filter=False,
            report_to=list(config.report_to) or "none",
            run_name=self.folder.id,
            disable_tqdm=True,
            log_level="error",
            use_cpu=device.type == "cpu",
            bf16=device.type == "cuda" and self.model.dtype == torch.bfloat16,
            fp16=device.type == "cuda" and self.model.dtype == torch.float16,
            activation_checkpointing=checkpointing,
            dataloader_pin_memory=False,
            remove_unused_columns=False,
        )
        # One device a run: wrapping in DataParallel would undo the packing. More devices are the cluster executors' work.
        arguments.report_to = list(config.report_to)  # transformers adds trackers that it finds in the environment
        _ = arguments.device
        arguments._n_gpu = min(1, arguments.n_gpu)
        return arguments

    def _record(self, module: Any, packing: attention.Packing, rows: list[Rendered]) -> None:
        device = self.model.device
        parameters = surface.trainable(module)
        self.journal.append(
            "record",
            values={
                "config": self.config.to_dict(),
                "model": self.model.describe(),
                "trainable_parameters": sum(p.numel() for p in parameters.values()),
                "tokens_in_data": sum(len(row.input_ids) for row in rows),
                "trained_tokens_in_data": sum(trained_tokens(row) for row in rows),
                "estimate": estimate.as_dict(estimate.estimate_from(self.model, self.config, rows, self.total_steps)),
                "hardware": hardware.describe(),
                "versions": hardware.versions(),
                "decisions": {
                    "packing": [packing.kind, packing.reason],
                    "optimizer": list(hardware.choose_optimizer(self.config.optim, device)),
                    "gradient_checkpointing": list(
                        hardware.choose_checkpointing(self.config.gradient_checkpointing, device)
                    ),
                    "template": [self.model.renderer.template_source, self.model.renderer.template_reason],
                },
            },
        )


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
