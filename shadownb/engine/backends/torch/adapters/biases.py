"""The biases that the base has, and nothing else (BitFit)."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from transformers import PreTrainedModel

from shadownb.engine.backends.torch.adapters.base import Adapter, Start
from shadownb.engine.backends.torch.adapters.reach import Reach
from shadownb.engine.backends.torch.adapters.stored import StoredAdapter
from shadownb.engine.backends.torch.adapters.tensors import restore, snapshot
from shadownb.errors import MethodError

if TYPE_CHECKING:
    from shadownb.engine.config import TrainConfig
    from shadownb.engine.methods import MethodSpec


class BiasAdapter(StoredAdapter):
    """The base's bias vectors are trained in place; their first values are kept, so that the base can still answer."""

    kind = "bias"
    noun = "trained biases"
    stem = "bitfit"

    def __init__(self, module: Any, base_name: str) -> None:
        super().__init__(module, base_name)
        self._first = snapshot(self.owned())

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
    def reach(cls, base: nn.Module, config: TrainConfig, spec: MethodSpec) -> Reach:
        return Reach(f"{len(_biases(base)):,} bias vectors", (("everything else", ""),))

    @classmethod
    def count(cls, base: nn.Module, config: TrainConfig, spec: MethodSpec) -> int:
        return sum(parameter.numel() for parameter in _biases(base).values())

    @classmethod
    def attach(cls, base: Any, config: TrainConfig, spec: MethodSpec, start: Start) -> Adapter:
        return cls(base, start.base_name)

    @classmethod
    def changes(cls, base: nn.Module) -> set[str]:
        return set(_biases(base))

    def owned(self) -> dict[str, nn.Parameter]:
        return _biases(self.module)

    def base_parameters(self) -> dict[str, torch.Tensor]:
        return {**super().base_parameters(), **self._first}

    @contextlib.contextmanager
    def switched_off(self) -> Iterator[None]:
        owned = self.owned()
        trained = snapshot(owned)
        restore(owned, self._first)
        try:
            yield
        finally:
            restore(owned, trained)

    def remove(self) -> Any:
        restore(self.owned(), self._first)
        return self.module

    def merged(self) -> PreTrainedModel:
        whole: PreTrainedModel = copy.deepcopy(self.module)
        return whole


def _biases(module: nn.Module) -> dict[str, nn.Parameter]:
    return {name: p for name, p in sorted(module.named_parameters()) if name.rsplit(".", 1)[-1] == "bias"}
