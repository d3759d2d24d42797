"""The base's own weights, all of them (full fine-tuning)."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file
from torch import nn
from transformers import PreTrainedModel

from shadownb.engine.backends.torch.adapters.base import Adapter, Start
from shadownb.engine.backends.torch.adapters.reach import Reach
from shadownb.engine.backends.torch.adapters.sizes import Kept, frozen_block, hidden_size, layer_inputs
from shadownb.engine.backends.torch.quiet import quiet_progress_bars
from shadownb.errors import ModelError

if TYPE_CHECKING:
    from shadownb.engine.config import TrainConfig
    from shadownb.engine.methods import MethodSpec


class WeightsAdapter(Adapter):
    """Every weight of the model is trained."""

    kind = "weights"
    replaces_base = True
    separate = False
    noun = "weights that were trained"

    @classmethod
    def reach(cls, base: nn.Module, config: TrainConfig, spec: MethodSpec) -> Reach:
        return Reach("all weights of the model")

    @classmethod
    def count(cls, base: nn.Module, config: TrainConfig, spec: MethodSpec) -> int:
        return sum(parameter.numel() for parameter in base.parameters())

    @classmethod
    def kept(cls, base: nn.Module, config: TrainConfig, spec: MethodSpec) -> Kept:
        return Kept(frozen_block(base) + layer_inputs(base) + 2 * hidden_size(base))

    @classmethod
    def attach(cls, base: Any, config: TrainConfig, spec: MethodSpec, start: Start) -> Adapter:
        return cls(base)

    @classmethod
    def reads(cls, folder: Path) -> bool:
        return any(folder.glob("model*.safetensors"))

    @classmethod
    def attach_saved(cls, base: Any, folder: Path) -> Adapter:
        adapter = cls(base)
        adapter.load_into(folder)
        return adapter

    def owned(self) -> dict[str, nn.Parameter]:
        return dict(sorted(self.module.named_parameters()))

    def base_parameters(self) -> dict[str, torch.Tensor]:
        return {name: parameter.detach() for name, parameter in self.owned().items()}

    def save(self, folder: Path) -> None:
        save_whole(self.module, folder)

    def load_into(self, folder: Path) -> None:
        files = sorted(folder.glob("model*.safetensors"))
        if not files:
            raise ModelError(f"{folder} holds no weights of a model.", fix="Give a checkpoint of a run of this method.")
        tensors: dict[str, Any] = {}
        for file in files:
            tensors.update(load_file(file))
        tied = set(getattr(self.module, "_tied_weights_keys", None) or ())
        result = self.module.load_state_dict(tensors, strict=False)
        missing = [key for key in result.missing_keys if key not in tied]
        if missing or result.unexpected_keys:
            first = (missing or result.unexpected_keys)[0]
            raise ModelError(f"The weights in {folder} do not fit this model: {first}.")

    def remove(self) -> Any:
        return self.module

    def merged(self) -> PreTrainedModel:
        whole: PreTrainedModel = copy.deepcopy(self.module)
        return whole


def save_whole(module: PreTrainedModel, folder: Path) -> None:
    """Write a whole model as transformers does."""
    with quiet_progress_bars():
        module.save_pretrained(str(folder), safe_serialization=True)
