"""The biases that the base has, and nothing else (BitFit)."""

from __future__ import annotations

import contextlib
import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import PreTrainedModel

from shadownb.engine.backends.torch.surfaces.base import Start, Surface, other_kind
from shadownb.errors import MethodError, ModelError

if TYPE_CHECKING:
    from shadownb.engine.config import TrainConfig
    from shadownb.engine.methods import MethodSpec

FILE, CONFIG = "bitfit.safetensors", "bitfit_config.json"


class BiasSurface(Surface):
    """The base's bias vectors are trained in place; their first values are kept, so that the base can still answer."""

    kind = "bias"
    noun = "trained biases"

    def __init__(self, module: Any, base_name: str) -> None:
        super().__init__(module)
        self.base_name = base_name
        self._first = {name: parameter.detach().clone() for name, parameter in self.owned().items()}

    @classmethod
    def refuse(cls, base: nn.Module, config: TrainConfig, spec: MethodSpec) -> None:
        if not _biases(base):
            kind = getattr(getattr(base, "config", None), "model_type", "this model")
            raise MethodError(
                f"method={config.method!r} trains bias vectors, and {kind} has none.",
                why="Models of the Llama family are built without biases.",
                fix="The smallest thing that works here is method='lora' with lora_r=1 and target_modules='attention', "
                "or method='prompt'.",
            )

    @classmethod
    def count(cls, base: nn.Module, config: TrainConfig, spec: MethodSpec) -> int:
        return sum(parameter.numel() for parameter in _biases(base).values())

    @classmethod
    def attach(cls, base: Any, config: TrainConfig, spec: MethodSpec, start: Start) -> Surface:
        return cls(base, start.base_name)

    @classmethod
    def reads(cls, folder: Path) -> bool:
        return (folder / CONFIG).is_file()

    @classmethod
    def attach_saved(cls, base: Any, folder: Path) -> Surface:
        content = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        surface = cls(base, content.get("base_model", ""))
        surface.load_into(folder)
        return surface

    def owned(self) -> dict[str, nn.Parameter]:
        return _biases(self.module)

    def check(self, config: TrainConfig, spec: MethodSpec) -> None:
        if spec.surface != self.kind:
            raise other_kind(config.method, "trained biases")

    def base_parameters(self) -> dict[str, torch.Tensor]:
        return {**super().base_parameters(), **self._first}

    @contextlib.contextmanager
    def switched_off(self) -> Iterator[None]:
        owned = self.owned()
        trained = {name: parameter.detach().clone() for name, parameter in owned.items()}
        _put(owned, self._first)
        try:
            yield
        finally:
            _put(owned, trained)

    def save(self, folder: Path) -> None:
        save_file({name: p.detach().cpu().contiguous() for name, p in self.owned().items()}, folder / FILE)
        content = {"type": "bitfit", "base_model": self.base_name}
        (folder / CONFIG).write_text(json.dumps(content), encoding="utf-8")

    def load_into(self, folder: Path) -> None:
        if not (folder / FILE).is_file():
            raise ModelError(f"{folder} holds no trained biases.", fix="Give a checkpoint of a bitfit run.")
        tensors, owned = load_file(folder / FILE), self.owned()
        if {n: t.shape for n, t in tensors.items()} != {n: p.shape for n, p in owned.items()}:
            raise ModelError(f"The biases in {folder} do not fit this model.")
        _put(owned, tensors)

    def remove(self) -> Any:
        _put(self.owned(), self._first)
        return self.module

    def merged(self) -> PreTrainedModel:
        whole: PreTrainedModel = copy.deepcopy(self.module)
        return whole


def _biases(module: nn.Module) -> dict[str, nn.Parameter]:
    return {name: p for name, p in sorted(module.named_parameters()) if name.rsplit(".", 1)[-1] == "bias"}


def _put(parameters: dict[str, nn.Parameter], values: dict[str, Any]) -> None:
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(values[name])
