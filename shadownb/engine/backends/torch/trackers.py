"""Trackers (``report_to``) and transformers' ``TrainerCallback``s, called at the loop's moments without transformers' Trainer.

They get what they are used to: training arguments, a state, a control. What reaches into a ``Trainer`` object is not there.
"""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shadownb.engine.ports.training import Asked, Listener
from shadownb.errors import ConfigError, MissingDependencyError, RunError, did_you_mean

if TYPE_CHECKING:
    from shadownb.engine.backends.torch.training import TorchTraining
    from shadownb.engine.ports.training import TrainingServices

_NUMBERS = ("loss", "grad_norm", "learning_rate", "epoch")
_UNHEARD = (
    "on_epoch_begin", "on_epoch_end", "on_step_begin", "on_substep_end", "on_pre_optimizer_step", "on_optimizer_step",
)  # fmt: skip


def check_trackers(names: tuple[str, ...]) -> None:
    """Raise ConfigError for a tracker that transformers does not know, MissingDependencyError if it is not installed."""
    if not names:
        return
    from transformers.integrations import integration_utils

    known = list(integration_utils.INTEGRATION_TO_CALLBACK)
    for name in names:
        if name not in known:
            raise ConfigError(
                f"report_to={name!r} is not a tracker.{did_you_mean(name, known)}",
                fix=f"Use one of {', '.join(known)}, or leave it out.",
            )
        installed = getattr(integration_utils, f"is_{name}_available", None)
        if installed is not None and not installed():
            raise MissingDependencyError(f"report_to={name!r}: {name} is not installed.", fix=f"pip install {name}")


def check_callbacks(callbacks: Sequence[Any]) -> None:
    """Raise ConfigError for what is no ``TrainerCallback`` of transformers."""
    if not callbacks:
        return
    from transformers import TrainerCallback

    for place, callback in enumerate(callbacks):
        if not isinstance(callback, TrainerCallback):
            raise ConfigError(
                f"callbacks[{place}]={callback!r} is not a TrainerCallback.",
                why="It is a class: what is called is an object." if isinstance(callback, type) else "",
                fix="Give objects of classes that derive from transformers.TrainerCallback.",
            )


class Callbacks(Listener):
    """Calls transformers' callbacks at the loop's moments.

    One that fails after training has begun is left out from there, with a warning that names it: days of training must not
    end because a tracker's server does not answer. At the beginning it ends the run, as nothing is lost.
    """

    def __init__(
        self, callbacks: Sequence[Any], arguments: Any, given: dict[str, Any], services: TrainingServices
    ) -> None:
        from transformers import TrainerControl, TrainerState

        super().__init__()
        self._callbacks = list(callbacks)
        self._arguments = arguments
        self._given = given
        self._services = services
        self._state: Any = TrainerState(is_local_process_zero=True, is_world_process_zero=True)
        self._control: Any = TrainerControl()
        self._state.max_steps = arguments.max_steps

    def begin(self, step: int) -> None:
        """Tell all that training begins, or goes on at a step."""
        self._state.global_step = step
        self._call("on_train_begin")
        self._control.should_training_stop, self.asked = False, Asked()  # as with the Trainer

    def stepped(self, step: int, epoch: float) -> None:
        """Tell of a step; what was asked for at the one before is done."""
        self._state.global_step, self._state.epoch = step, epoch
        control = self._control
        control.should_log = control.should_evaluate = control.should_save = False
        self._call("on_step_end")

    def reported(self, metrics: dict[str, Any]) -> None:
        """Hand on what a step reported."""
        self._log({name: metrics[name] for name in _NUMBERS})

    def evaluated(self, metrics: dict[str, Any]) -> None:
        """Hand on an evaluation; which one was the best is said afterwards, as by the Trainer."""
        self._log(dict(metrics))
        self._call("on_evaluate", metrics=dict(metrics))
        best, loss = self._state.best_metric, metrics["eval_loss"]
        if best is None or loss < best:
            self._state.best_metric, self._state.best_global_step = loss, self._state.global_step

    def saved(self) -> None:
        """Tell that a checkpoint was written."""
        self._call("on_save")

    def end(self) -> None:
        """Tell that training is over, however it ended."""
        self._call("on_train_end")

    def _log(self, logs: dict[str, Any]) -> None:
        self._state.log_history.append({**logs, "step": self._state.global_step})
        self._call("on_log", logs=logs)

    def _call(self, moment: str, **more: Any) -> None:
        for callback in list(self._callbacks):
            had, name = self._control.should_training_stop, type(callback).__name__
            try:
                told = getattr(callback, moment)(self._arguments, self._state, self._control, **self._given, **more)
            except Exception as error:
                self._callbacks.remove(callback)
                if moment == "on_train_begin":
                    raise self._never_began(name, error) from error
                self._leave_out(name, moment, error)
                continue
            self._control = told if told is not None else self._control
            if self._control.should_training_stop and not had:
                self.asked.stop = name
        control = self._control
        self.asked.report, self.asked.evaluate, self.asked.save = (
            control.should_log,
            control.should_evaluate,
            control.should_save,
        )

    def _never_began(self, name: str, error: Exception) -> RunError:
        return RunError(
            f"{name}.on_train_begin failed: {_told(error)}",
            why="Nothing had been trained yet.",
            fix="Correct it, or leave it out of callbacks (or report_to).",
        )

    def _leave_out(self, name: str, moment: str, error: Exception) -> None:
        self._services.warn(
            f"{name}.{moment} failed at step {self._state.global_step}, and {name} is not called any more: {_told(error)}",
            why="The training itself is not touched by it, so it goes on.",
            fix="Correct it for the next run; control.should_training_stop is how a callback ends one.",
            code="callback-failed",
        )


def _told(error: Exception) -> str:
    """Return what went wrong, and where."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({Path(place.filename).name}, line {place.lineno})".replace(":  (", " (")


@contextlib.contextmanager
def listening(
    training: TorchTraining, callbacks: Sequence[Any], folder: Path, total_steps: int, step: int
) -> Iterator[Listener]:
    """Have the trackers of ``report_to`` and the user's callbacks ready inside the block; yields who is told."""
    names = list(training.config.report_to)
    if not names and not callbacks:
        yield Listener()
        return
    trackers = []
    if names:
        from transformers.integrations.integration_utils import get_reporting_integration_callbacks

        trackers = [kind() for kind in get_reporting_integration_callbacks(names)]
    _tell_unheard(training, callbacks)
    given = {
        "model": training.module,
        "processing_class": training.tokenizer,
        "optimizer": training.updates.optimizer,
        "lr_scheduler": None,  # rates are a function of the step
        "train_dataloader": None,
        "eval_dataloader": None,
    }
    arguments = _arguments(training, folder, total_steps)
    listener = Callbacks([*trackers, *callbacks], arguments, given, training.services)
    listener.begin(step)
    try:
        yield listener
    finally:
        listener.end()


def _tell_unheard(training: TorchTraining, callbacks: Sequence[Any]) -> None:
    """Warn of events that a callback waits for and that the loop does not have."""
    from transformers import TrainerCallback

    for callback in callbacks:
        kind = type(callback)
        missed = [event for event in _UNHEARD if getattr(kind, event) is not getattr(TrainerCallback, event)]
        if missed:
            training.services.warn(
                f"{kind.__name__}.{', '.join(missed)} will not be called.",
                why="Callbacks are called when training begins and ends, after each step, at reports, evaluations and checkpoints.",
                fix="Use on_step_end: state.global_step and state.epoch say where the run is.",
                code="callback-unheard",
            )


def _arguments(training: TorchTraining, folder: Path, total_steps: int) -> Any:
    """Return the run's options in transformers' words, for trackers that keep them."""
    from transformers import TrainingArguments

    config = training.config
    return TrainingArguments(
        output_dir=str(folder),
        run_name=folder.name,
        per_device_train_batch_size=config.per_device_train_batch_size,
        gradient_accumulation_steps=config.gradient_accumulation_steps,
        max_steps=total_steps,
        learning_rate=config.resolved_learning_rate(),
        lr_scheduler_type=config.lr_scheduler_type,
        warmup_steps=config.resolved_warmup(total_steps),
        weight_decay=config.weight_decay,
        max_grad_norm=config.max_grad_norm,
        seed=config.seed,
        report_to=list(config.report_to),
        disable_tqdm=True,
        eval_strategy="steps",
        eval_steps=config.resolved_eval_steps(total_steps),
        save_steps=config.resolved_save_steps(total_steps),
        logging_steps=config.logging_steps,
        metric_for_best_model="eval_loss",
        greater_is_better=False,
        use_cpu=training.device.type == "cpu",
    )
