"""One training of trl: a trainer made on our model with what is trained on it already, and given back."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import gc
import inspect
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from shadownb.engine import registry
from shadownb.engine.backends.torch.memory import PeakMemory
from shadownb.engine.backends.torch.training import TorchTraining
from shadownb.engine.backends.torch.updates import not_finite
from shadownb.engine.backends.trl import known, options
from shadownb.engine.backends.trl.lengths import Fitted, fitted
from shadownb.engine.backends.trl.rows import Row, as_table, stoppable_preparation, trains_every_turn
from shadownb.engine.backends.trl.surroundings import model_as_it_was, process_as_it_was
from shadownb.engine.backends.trl.trainer import Leading, led, load_copies, plain, save_state, stop_within_passes
from shadownb.errors import DataError, MethodError

if TYPE_CHECKING:
    from shadownb.engine.ports.guest import GuestRun
    from shadownb.engine.ports.training import TrainingSession

_AUTOCAST = {torch.bfloat16: "bf16", torch.float16: "fp16", None: "no"}


class TrlTraining:
    """A trainer of trl, ready to begin; see :class:`shadownb.engine.ports.guest.GuestTraining`."""

    def __init__(
        self,
        trainer: Any,
        found: known.Found,
        session: TorchTraining,
        run: GuestRun,
        opening: contextlib.ExitStack,
        had: frozenset[str],
    ) -> None:
        self.trainer, self.found, self.session = trainer, found, session
        self._run, self._opening, self._adapters = run, opening, had
        self.memory = PeakMemory(session.device)
        judged = trainer.args.eval_strategy != "no"
        scaled = session.autocast is torch.float16
        trainer.add_callback(Leading(run, self.memory, opening, judged=judged, scaled=scaled))

    @property
    def peak_memory_gb(self) -> float:
        """The most memory seen so far, in units of 1e9 bytes."""
        return self.memory.peak_gb

    def run(self, state: Path | None) -> None:
        """Train to the last step, or until the run is over."""
        if state is not None:
            load_copies(state, self._copies())
        if self._run.step >= self._run.total_steps:
            self._opening.close()
            return
        watch = stop_within_passes(self.session.module, self._run)
        try:
            self.trainer.train(resume_from_checkpoint=str(state) if state is not None else None)
        finally:
            watch.remove()
            self._opening.close()

    def save(self, folder: Path) -> None:
        """Write what a resume needs beside the weights."""
        save_state(self.trainer, folder, self._copies())

    def check_finite(self) -> None:
        """Raise NonFiniteLossError where a trained weight is NaN or infinite."""
        if not all(bool(torch.isfinite(tensor).all()) for tensor in self.session.adapter.owned().values()):
            step = self._run.step
            raise not_finite("weights", math.nan, after=step, rate=self._run.rate(max(0, step - 1)))

    def setup(self) -> dict[str, Any]:
        """Return what the training truly has."""
        optimizer = plain(self.trainer.optimizer)
        moved = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        return {
            "trainer": f"trl.{self.found.trainer} of trl {known.version()}",
            "optimizer": f"{type(optimizer).__module__.split('.')[0]}.{type(optimizer).__name__}",
            "gradient_checkpointing": bool(self.trainer.args.gradient_checkpointing),
            "trained_dtypes": sorted({str(parameter.dtype).removeprefix("torch.") for parameter in moved}),
            "trained_parameters": sum(parameter.numel() for parameter in moved),
            "autocast": str(self.trainer.accelerator.mixed_precision),
            "device": str(self.session.device),
        }

    def _copies(self) -> dict[str, torch.Tensor]:
        """Return what the trainer keeps of the adapter beside it: a reference, a teacher."""
        module = self.session.module
        others = [f".{name}." for name in module.peft_config if name not in self._adapters]
        return {
            name: parameter.data
            for name, parameter in module.named_parameters()
            if any(other in name for other in others)
        }


@contextlib.contextmanager
def opened(
    found: known.Found,
    session: TrainingSession,
    rows: Sequence[Row],
    eval_rows: Sequence[Row],
    run: GuestRun,
    functions: Sequence[Callable[..., Any]],
) -> Iterator[TrlTraining]:
    """Have a trainer on the model inside the block."""
    assert isinstance(session, TorchTraining)
    with contextlib.ExitStack() as stack:
        stack.enter_context(process_as_it_was(run.check))
        tokenizer = _tokenizer(session, run)
        fit, eval_fit = (_fitted(found, part, tokenizer, run) for part in (rows, eval_rows))
        opening = stack.enter_context(contextlib.ExitStack())
        opening.enter_context(run.weights())  # making the trainer changes the model
        stack.enter_context(model_as_it_was(session.module, run.gate))
        had = frozenset(session.module.peft_config)
        if len(had) > 1:
            raise MethodError(
                f"method={run.config.method!r} cannot go on from an adapter that began with pissa.",
                why="It is two adapters in one, and trl's references copy one.",
                fix="Give start='base', or save(fmt='merged') and load that.",
            )
        given = _given(found, session, tokenizer, fit.rows, eval_fit.rows, run, functions, stack)
        formats = [(parameter, parameter.dtype) for parameter in session.module.parameters()]
        kind = found.trainer_class()
        stack.enter_context(_replaced(kind, "tqdm", _silent_bars))
        with _replaced(kind, "create_reference_model", lambda _: _no_copy), stoppable_preparation(run):
            trainer = led(kind, run)(**given)
        for parameter, dtype in formats:
            if (
                parameter.dtype is not dtype
            ):  # in 16 bits, as trl makes adapters on a 4-bit base, small updates are lost
                parameter.data = parameter.data.to(dtype)
        _tell(found, rows, eval_rows, fit, eval_fit, run, trainer)
        from transformers import PrinterCallback, ProgressCallback

        for talking in (PrinterCallback, ProgressCallback):
            trainer.remove_callback(talking)
        training = TrlTraining(trainer, found, session, run, opening, had)
        stack.callback(_forget, training, Path(trainer.args.output_dir))
        yield training


def _forget(training: TrlTraining, folder: Path) -> None:
    training.trainer = None
    gc.collect()
    with contextlib.suppress(OSError):  # a tracker may have written there
        folder.rmdir()


def _tokenizer(session: TorchTraining, run: GuestRun) -> Any:
    """Return a tokenizer of the trainer's own, which gives it a padding side, a pad token, a template."""
    tokenizer: Any = copy.deepcopy(session.tokenizer)
    tokenizer.chat_template = run.chat_template
    return tokenizer


def _fitted(found: known.Found, rows: Sequence[Row], tokenizer: Any, run: GuestRun) -> Fitted:
    """Return the rows that the trainer is given; raises where it is to have some and none can be used."""
    if not rows or not any(field.name == "max_length" for field in dataclasses.fields(found.config_class())):
        return Fitted(list(rows), 0)
    fit = fitted(rows, known.TRAINERS[found.name], tokenizer, run)
    if not fit.rows:
        raise _nothing_left(found, len(rows), run)
    return fit


def _nothing_left(found: known.Found, rows: int, run: GuestRun) -> DataError:
    return DataError(
        f"trl's {found.trainer} leaves out all {rows:,} rows.",
        why=f"Nothing of their answers is within max_length={run.max_length}.",
        fix="Give a larger max_length, or shorter rows.",
    )


def _given(
    found: known.Found,
    session: TorchTraining,
    tokenizer: Any,
    rows: Sequence[Row],
    eval_rows: Sequence[Row],
    run: GuestRun,
    functions: Sequence[Callable[..., Any]],
    stack: contextlib.ExitStack,
) -> dict[str, Any]:
    """Return the arguments of a trainer."""
    arguments = options.arguments(found, run, session.device, _AUTOCAST[session.autocast], judged=bool(eval_rows))
    if arguments.device.type != session.device.type or (arguments.device.index or 0) != (session.device.index or 0):
        raise MethodError(
            f"method={run.config.method!r} trains on {arguments.device}, and the model is on {session.device}.",
            fix=f"Load it with shadownb.load(..., device={str(arguments.device)!r}).",
        )
    given = {
        "model": session.module,
        "args": arguments,
        "train_dataset": as_table(rows),
        "eval_dataset": as_table(eval_rows) if eval_rows else None,
        "processing_class": tokenizer,
        "callbacks": list(run.callbacks),
    }
    here = known.TRAINERS[found.name]
    if here.judged:
        given["reward_funcs"] = list(functions)
    if here.taught:
        teacher = registry.resolve("model", "load")(
            run.config.objective_options.teacher_model, device=str(session.device)
        )
        stack.callback(teacher.unload)
        given["teacher_model"] = teacher.module
    taken = inspect.signature(found.trainer_class().__init__).parameters
    return {name: value for name, value in given.items() if name in taken or "kwargs" in taken}


@contextlib.contextmanager
def _replaced(kind: Any, name: str, by: Callable[[Any], Any]) -> Iterator[None]:
    """Have another function in the place of one that the modules of a trainer have by a name, where they have it."""
    modules = [vars(sys.modules[one.__module__]) for one in kind.__mro__ if one.__module__.startswith("trl.")]
    had = [(module, module[name]) for module in modules if name in module]
    for module, function in had:
        module[name] = by(function)
    try:
        yield
    finally:
        for module, function in reversed(had):
            module[name] = function


def _silent_bars(tqdm: Any) -> Any:
    """Return tqdm without a bar: trl makes some past every switch."""
    return lambda *given, **named: tqdm(*given, **{**named, "disable": True})


def _no_copy(model: Any) -> None:
    """Copy no whole model as reference: without one the adapter is switched off."""


def _tell_cut(found: known.Found, unit: str, total: int, cut: int, run: GuestRun) -> None:
    if cut > 0:
        run.warn(
            f"{cut:,} of {total:,} {unit} are longer than max_length={run.max_length} and are cut.",
            why=f"It is trl's {found.trainer} that cuts them.",
            fix="Give a larger max_length, or shorter rows, so that nothing is cut off.",
            code="rows-truncated",
        )


def _tell(
    found: known.Found,
    rows: Sequence[Row],
    eval_rows: Sequence[Row],
    fit: Fitted,
    eval_fit: Fitted,
    run: GuestRun,
    trainer: Any,
) -> None:
    """Say what is otherwise than somebody would expect who knows our own methods; raises where no row is left."""
    left = len(trainer.train_dataset)
    if not left:
        raise _nothing_left(found, len(rows), run)
    if left < len(rows):
        run.warn(
            f"trl's {found.trainer} leaves out {len(rows) - left:,} of {len(rows):,} rows.",
            why=f"Nothing of their answers is within max_length={run.max_length}, or it groups what is left.",
            fix="Give a larger max_length, or shorter rows.",
            code="rows-skipped",
        )
    _tell_cut(found, "rows", len(rows), fit.cut - (len(rows) - left), run)
    _tell_cut(found, "evaluation rows", len(eval_rows), eval_fit.cut - (len(eval_rows) - len(eval_fit.rows)), run)
    if trains_every_turn(rows) and not getattr(trainer.args, "assistant_only_loss", True):
        run.warn(
            f"trl's {found.trainer} trains every token of these conversations, the questions too.",
            why="They have several answers each, and trl marks answers only where it is asked to.",
            fix="assistant_only_loss=True trains the answers alone, where trl knows the model's template.",
            code="every-token",
        )
