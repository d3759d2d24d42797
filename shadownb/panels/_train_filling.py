"""A Train panel that another panel fills: with rows to train on, or with what a run began from, to branch off it."""

from __future__ import annotations

from functools import partial
from typing import Any

from shadownb.errors import ConfigError

from . import _methods
from ._finish import base_at_hand, model_at_hand
from ._presets import PRESETS
from ._train_data import DataPart
from ._train_model import ModelPart


class Filling(DataPart, ModelPart):
    """What Studio asks of the form; returns at once, as a command of the page does."""

    def take_choice(self, choice: str) -> None:
        """Choose data by its choice id, and keep it in the list."""
        self._writer.submit(partial(self._take_choice, choice))

    def branch(self, run: Any, step: int | None = None) -> None:
        """Fill the form so that it trains on from a run's result, or from a checkpoint, with the rows and options of that run."""
        self._writer.submit(partial(self._branch, run, step))

    def take_split(self, choice: str, held_out: str = "") -> None:
        """Choose rows that have a name in the notebook, those to evaluate on beside them, and a method that learns from them."""
        self._writer.submit(partial(self._take_split, choice, held_out))

    def _take_split(self, choice: str, held_out: str) -> None:
        self._do_refresh()
        self._do_choose_data(choice)
        self._do_choose_eval("data" if held_out else "auto", choice=held_out)
        data = self._names().get(choice.partition(":")[2])
        method = _methods.fitting(self.method, getattr(data, "format", None))
        if method != self.method:
            self._do_choose_method(method)

    def _do_preset(self, name: str = "") -> None:
        """Fill method and options for a task; an empty name takes its reasons away and leaves what is filled in."""
        if not name:
            self.write(preset={})
            return
        if name not in PRESETS:
            raise ConfigError(f"{name!r} is no preset.", fix=f"There are {', '.join(PRESETS)}.")
        preset = PRESETS[name]
        self._chosen.values = {option: _as_typed(value) for option, (value, _) in preset.values.items()}
        self._do_choose_method(preset.method[0])
        self.write(preset=preset.shown())

    def _take_choice(self, choice: str) -> None:
        if choice not in self._taken:
            self._taken = (*self._taken, choice)
        self._do_refresh()
        self._do_choose_data(choice)

    def _branch(self, run: Any, step: int | None) -> None:
        config = run.config
        self._take_choice(f"rows:{run.id}")
        held_out = f"heldout:{run.id}" if run.folder.spec.get("eval_dataset") else ""
        self._do_choose_eval("data" if held_out else "none", choice=held_out)
        self._do_choose_method(config.method)
        self._chosen.values = {name: _as_typed(value) for name, value in config.changed.items() if name != "method"}
        choice, _ = model_at_hand(run, self._names(), step)
        other, _ = base_at_hand(run, self._names())
        self._do_choose_model(choice or other or f"path:{run.id}")
        if not choice:
            checkpoint = run.checkpoint_at(step) if step is not None else run.result()
            self._chosen.start_choice.offer(run.id, checkpoint.step, str(checkpoint.path))
        else:
            self._chosen.start_choice.pick("trained")
        self._settle_form()


def _as_typed(value: Any) -> Any:
    """Return an option as the form holds it."""
    if isinstance(value, tuple | list):
        return "\n".join(map(str, value))
    return value if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)
