"""The second part of the Train panel: which model, how it is loaded, and what the next run starts from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import _certificate, _machine
from ._base import as_card
from ._train_form import NOTHING
from ._train_shelf import ShelfPart


class ModelPart(ShelfPart):
    """Commands of the page about the model, and what the worker brings of it."""

    def _do_choose_model(self, choice: str = "") -> None:
        """Choose a model; one in memory is taken at once, another one waits for ``load_model``."""
        self._chosen.model, self._chosen.model_id = None, choice
        self._chosen.start_choice.withdraw()
        self._heavy.cancel("model")
        self._heavy.cancel("inspect")
        self.write(model_state=self._model_stage("chosen") if choice else NOTHING, inspection=NOTHING)
        _certificate.follow(self, self._heavy, None)
        self._settle_form()
        self._look_for_room()
        if choice == self._copy[0] and choice:
            copy = self._copy[1]
            self._get_model(lambda: copy, f"Reading {copy.name}")
        elif choice == "given" or choice.startswith("var:"):
            model = _machine.loaded_model(choice, self._names(), self._given_model)
            self._get_model(lambda: model, f"Reading {model.name}")

    def _do_load_options(self, quantize: str = "", device: str = "", backend: str = "") -> None:
        """Choose how the model is loaded; one that was loaded before has to be loaded again."""
        given = {"quantize": quantize, "device": device, "backend": backend}
        self._chosen.load_options = {name: value for name, value in given.items() if value}
        self._do_choose_model(self._chosen.model_id)

    def _do_load_model(self) -> None:
        """Load the chosen model."""
        if self.model_state["stage"] in ("chosen", "failed"):
            name, options = self._chosen.model_id.partition(":")[2], dict(self._chosen.load_options)
            self._get_model(lambda: _machine.load_model(name, options), f"Loading {name}")

    def _do_start_from(self, choice: str) -> None:
        """Choose what the next run starts from: "base", "trained", "first" or "checkpoint"."""
        self._chosen.start_choice.pick(choice)
        self._settle_form()

    def _do_fresh_copy(self) -> None:
        """Load the base of the chosen model a second time and choose that; the model itself stays as it is."""
        model = self._chosen.model
        if model is None:
            return
        name = self._chosen.model_id.partition(":")[2] or "model"

        def load() -> Any:
            copy = model.fresh_copy()
            self._copy = (f"copy:{name}", copy)
            return copy

        self.write(model_state=self._model_stage("loading", phase=f"Loading a fresh copy of {model.name}"))
        self._heavy.submit(
            "model",
            lambda: (model_copy := load(), _machine.describe_model(model_copy)),
            self._copy_ready,
            lambda error: self._copy_failed(model, error),
        )

    def _copy_ready(self, found: tuple[Any, dict[str, Any]]) -> None:
        self._chosen.model_id = self._copy[0]
        self._model_ready(found)
        self._do_refresh()

    def _copy_failed(self, model: Any, error: Exception) -> None:
        self._get_model(lambda: model, f"Reading {model.name}")
        self.show_error(error)

    def _get_model(self, get: Callable[[], Any], phase: str) -> None:
        def work() -> tuple[Any, dict[str, Any]]:
            model = get()
            return model, _machine.describe_model(model)

        self.write(model_state=self._model_stage("loading", phase=phase))
        self._heavy.submit(
            "model",
            work,
            self._model_ready,
            lambda error: self.write(model_state=self._model_stage("failed", error=as_card(error))),
        )

    def _model_stage(self, stage: str, **more: Any) -> dict[str, Any]:
        chosen = self._chosen
        name = chosen.model_id.partition(":")[2]
        return {"name": name, **more, "stage": stage, "choice": chosen.model_id, "load_options": chosen.load_options}

    def _model_ready(self, found: tuple[Any, dict[str, Any]]) -> None:
        self._chosen.model, description = found
        self.write(model_state=self._model_stage("ready", **description))
        _certificate.follow(self, self._heavy, self._chosen.model)
        self._settle_form()
