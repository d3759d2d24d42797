"""PiSSA: LoRA that starts from the base's principal directions, without touching the base.

It starts the adapter from them, A0 and B0, and takes them off the base. peft does that in the base's weights, so that
switching the adapter off no longer gives the base. Here the base stays as it is and a second, frozen adapter takes them
off: ``W x + s B A x - s B0 A0 x``. What is saved is one plain adapter of twice the rank, which loads anywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from peft import LoraConfig, PeftConfig, PeftModel
from safetensors.torch import load_file, save_file
from torch import nn

from shadownb.engine.backends.torch import randomness
from shadownb.engine.backends.torch.adapters.base import Adapter, Start
from shadownb.engine.backends.torch.adapters.layered import ADAPTER_FILE, saved_peft_type
from shadownb.engine.backends.torch.adapters.lora import BEGAN, LoraAdapter, alpha_factor, metadata
from shadownb.engine.backends.torch.adapters.starts import closest, fill, lora_layers, pair_of, split, stored, weight_of
from shadownb.engine.backends.torch.adapters.tensors import for_file

if TYPE_CHECKING:
    from shadownb.engine.config import TrainConfig
    from shadownb.engine.methods import MethodSpec

_TAKEN_OFF = "start"  # name of the frozen adapter that takes the directions off the base


class PissaAdapter(LoraAdapter):
    """LoRA that started from the base's principal directions, with the frozen adapter that takes them off."""

    def owned(self) -> dict[str, nn.Parameter]:
        return {name: p for name, p in super().owned().items() if f".{_TAKEN_OFF}." not in name}

    def base_parameters(self) -> dict[str, torch.Tensor]:
        return {name: p for name, p in super().base_parameters().items() if f".{_TAKEN_OFF}." not in name}

    @classmethod
    def reads(cls, folder: Path) -> bool:
        return saved_peft_type(folder) == "LORA" and metadata(folder).get(BEGAN) == "pissa"

    @classmethod
    def attach(cls, base: Any, config: TrainConfig, spec: MethodSpec, start: Start) -> Adapter:
        plain = LoraAdapter.attach(base, config, spec, start)
        adapter = cls(with_taken_off(plain.module))
        with randomness.seeded_draws(config.seed, "pissa"):
            adapter.start_from_principal(start.check)
        adapter.began = config.init_lora_weights
        return adapter

    @classmethod
    def put_on(cls, base: Any, made: PeftConfig) -> PeftModel:
        return with_taken_off(super().put_on(base, made))

    def start_from_principal(self, check: Callable[[], None]) -> None:
        """Put the base's principal directions into the adapter, and their negative into the frozen second one."""
        with torch.no_grad():
            for _, layer in lora_layers(self.module):
                check()
                a, b = closest(weight_of(layer), self.have.r, layer.scaling["default"])
                for adapter, sign in (("default", 1.0), (_TAKEN_OFF, -1.0)):
                    fill(layer, adapter, a, sign * b)

    def save(self, folder: Path) -> None:
        super().save(folder)
        tensors = load_file(folder / ADAPTER_FILE)
        for name, layer in lora_layers(self.module):
            # peft computes with +B of both adapters, so the one that takes off has its B negated already.
            ours, taken = pair_of(layer, "default"), pair_of(layer, _TAKEN_OFF)
            a, b = torch.cat((ours[0], taken[0]), dim=-2), torch.cat((ours[1], taken[1]), dim=-1)
            tensors |= for_file(dict(zip(_keys(name), stored(layer, a, b), strict=True)))
        save_file(tensors, folder / ADAPTER_FILE, metadata={"format": "pt", BEGAN: self.began})
        saved = LoraConfig.from_pretrained(str(folder))
        saved.r, saved.lora_alpha = 2 * self.have.r, self.have.lora_alpha * alpha_factor(self.have)
        saved.save_pretrained(str(folder))

    def _fill(self, tensors: dict[str, Any], folder: Path) -> None:
        rank = self.have.r
        with torch.no_grad():
            for name, layer in lora_layers(self.module):
                keys = _keys(name)
                if tensors.get(keys[0]) is None or tensors[keys[0]].shape[0] == layer.lora_A["default"].weight.shape[0]:
                    continue
                a, b = split(layer, *(tensors[key] for key in keys))
                fill(layer, _TAKEN_OFF, a[..., rank:, :], b[..., rank:])
                tensors |= for_file(dict(zip(keys, stored(layer, a[..., :rank, :], b[..., :rank]), strict=True)))
        super()._fill(tensors, folder)


def _keys(name: str) -> tuple[str, str]:
    return f"{name}.lora_A.weight", f"{name}.lora_B.weight"


def with_taken_off(module: PeftModel) -> PeftModel:
    """Add the second adapter. Without dropout, or it would not take off what the first one began with."""
    have = module.peft_config["default"].to_dict()
    bare = {"modules_to_save": None, "ensure_weight_tying": False, "lora_dropout": 0.0}
    with randomness.seeded_draws(0, "taken off"):
        module.add_adapter(_TAKEN_OFF, LoraConfig(**{**have, **bare}))
    module.base_model.set_adapter(["default", _TAKEN_OFF])
    return module
