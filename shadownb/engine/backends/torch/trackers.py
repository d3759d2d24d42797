"""Trackers (``report_to``) and transformers' ``TrainerCallback``s, called at the loop's moments without transformers' Trainer.

They get what they are used to: training arguments, a state, a control. What reaches into a ``Trainer`` object is not there.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shadownb.errors import ConfigError, MissingDependencyError, did_you_mean

if TYPE_CHECKING:
    from shadownb.engine.backends.torch.training import TorchTraining

_NUMBERS = ("loss", "grad_norm", "learning_rate", "epoch")


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


class Callbacks:
    """Calls transformers' callbacks at the loop's moments."""

    def __init__(self, callbacks: list[Any], arguments: Any, given: dict[str, Any], step: int) -> None:
        from transformers import TrainerControl, TrainerState

        self._callbacks = callbacks
        self._arguments = arguments
        self._given = given
        self._state: Any = TrainerState(is_local_process_zero=True, is_world_process_zero=True)
        self._control: Any = TrainerControl()
        self._state.max_steps, self._state.global_step = arguments.max_steps, step

    def call(self, moment: str, **more: Any) -> None:
        """Tell all of them of a moment, by the name that ``TrainerCallback`` gives it."""
        for callback in self._callbacks:
            getattr(callback, moment)(self._arguments, self._state, self._control, **self._given, **more)

    def report(self, metrics: dict[str, Any]) -> None:
        """Hand on what a step reported."""
        self._state.global_step, self._state.epoch = metrics["step"], metrics["epoch"]
        self.call("on_step_end")
        self.call("on_log", logs={name: metrics[name] for name in _NUMBERS})


@contextlib.contextmanager
def reporting(
    training: TorchTraining, folder: Path, total_steps: int, step: int
) -> Iterator[Callable[[dict[str, Any]], None] | None]:
    """Have the trackers of ``report_to`` ready inside the block; yields what to tell a step's numbers, None without any."""
    names = list(training.config.report_to)
    if not names:
        yield None
        return
    from transformers.integrations.integration_utils import get_reporting_integration_callbacks

    made = [kind() for kind in get_reporting_integration_callbacks(names)]
    given = {"model": training.module, "processing_class": training.tokenizer}
    callbacks = Callbacks(made, _arguments(training, folder, total_steps), given, step)
    callbacks.call("on_train_begin")
    try:
        yield callbacks.report
    finally:
        callbacks.call("on_train_end")


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
        use_cpu=training.device.type == "cpu",
    )
