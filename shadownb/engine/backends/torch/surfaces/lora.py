"""LoRA and what varies it: DoRA, rank-stabilised scale, PiSSA and LoftQ starts, trained embeddings.

PiSSA starts the adapter from the base's principal directions, A0 and B0, and takes them off the base. peft does that in
the base's weights, so that switching the adapter off no longer gives the base. Here the base stays as it is and a second,
frozen adapter takes them off: ``W x + s B A x - s B0 A0 x``. What is saved is one plain adapter of twice the rank, which
loads anywhere.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from peft import LoraConfig, PeftConfig, PeftModel
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import PreTrainedModel

from shadownb.engine.backends.torch import randomness
from shadownb.engine.backends.torch.surfaces import linear, lora_operation, rounded_once
from shadownb.engine.backends.torch.surfaces.base import Start, Surface
from shadownb.engine.backends.torch.surfaces.layered import ADAPTER_FILE, LayerSurface, saved_peft_type
from shadownb.engine.backends.torch.surfaces.sizes import Kept, block_count, frozen_block, layer_inputs
from shadownb.engine.backends.torch.surfaces.starts import closest, lora_layers, make_up_for_quantisation, weight_of
from shadownb.errors import MethodError

if TYPE_CHECKING:
    from shadownb.engine.config import TrainConfig
    from shadownb.engine.methods import MethodSpec

_TAKEN_OFF = "start"  # name of the frozen adapter that takes PiSSA's directions off the base
_BEGAN = "init_lora_weights"  # how the adapter began, in the metadata of its file where that was no plain start


class LoraSurface(LayerSurface):
    """LoRA adapters on linear layers."""

    kind = "lora"
    began = "default"
    noun = "a LoRA adapter"

    @classmethod
    def refuse(cls, base: nn.Module, config: TrainConfig, spec: MethodSpec) -> None:
        super().refuse(base, config, spec)
        quantized = bool(getattr(base, "is_loaded_in_4bit", False))
        if config.init_lora_weights == "loftq" and not quantized:
            raise MethodError(
                "init_lora_weights='loftq' makes up for what a 4-bit base lost, and this base is not in 4 bits.",
                fix='Load it with shadownb.load(..., quantize="4bit") and use method="qlora", or leave the option out.',
            )
        if config.init_lora_weights != "default":
            linear.refuse_rank(base, config, min, f"with init_lora_weights={config.init_lora_weights!r} ")

    @classmethod
    def count(cls, base: nn.Module, config: TrainConfig, spec: MethodSpec) -> int:
        total = super().count(base, config, spec)
        if dict(spec.options).get("use_dora"):
            targets = linear.targeted(base, config.resolved_target_modules())
            total += sum(linear.shape(layer)[1] for layer in targets.values())
        if config.train_embeddings:
            total += sum({id(p): p.numel() for m in _ends(base) for p in m.parameters()}.values())
        return total

    @classmethod
    def kept(cls, base: nn.Module, config: TrainConfig, spec: MethodSpec) -> Kept:
        plain = frozen_block(base) + layer_inputs(base) + 7 * config.lora_r
        if not dict(spec.options).get("use_dora"):
            return Kept(plain)
        # For the column lengths a dense matrix a layer, and both summands of each layer's output.
        targets = linear.targeted(base, config.resolved_target_modules()).values()
        outputs = sum(after for _, after in map(linear.shape, targets)) // block_count(base)
        return Kept(plain + 2 * outputs, cls.adapted_weights(base, config))

    @classmethod
    def peft_config(cls, base: nn.Module, config: TrainConfig, spec: MethodSpec) -> LoraConfig:
        targets = config.resolved_target_modules()
        ends = [_leaf(base, module) for module in _ends(base)] if config.train_embeddings else None
        return LoraConfig(
            r=config.lora_r,
            lora_alpha=config.lora_alpha,
            lora_dropout=config.lora_dropout,
            target_modules=targets if isinstance(targets, str) else list(targets),
            use_rslora=config.use_rslora,
            modules_to_save=ends,
            ensure_weight_tying=bool(ends) and _tied(base),
            task_type="CAUSAL_LM",
            **dict(spec.options),
        )

    @classmethod
    def attach(cls, base: Any, config: TrainConfig, spec: MethodSpec, start: Start) -> Surface:
        surface = super().attach(base, config, spec, start)
        _initialise(surface.module, config.seed)
        if config.init_lora_weights == "pissa":
            surface = PissaSurface(_with_taken_off(surface.module))
            with randomness.seeded_draws(config.seed, "pissa"):
                surface.start_from_principal(start.check)
        elif config.init_lora_weights == "loftq":
            with randomness.seeded_draws(config.seed, "loftq"):
                make_up_for_quantisation(surface.module, start.source, start.check)
        assert isinstance(surface, LoraSurface)
        surface.began = config.init_lora_weights
        return surface

    @classmethod
    def reads(cls, folder: Path) -> bool:
        return saved_peft_type(folder) == "LORA" and _metadata(folder).get(_BEGAN) != "pissa"

    @classmethod
    def attach_saved(cls, base: Any, folder: Path) -> Surface:
        surface = super().attach_saved(base, folder)
        assert isinstance(surface, LoraSurface)
        surface.began = _metadata(folder).get(_BEGAN, "default")
        return surface

    def save(self, folder: Path) -> None:
        super().save(folder)
        if self.began != "default":
            file = folder / ADAPTER_FILE
            save_file(load_file(file), file, metadata={"format": "pt", _BEGAN: self.began})

    def unfreeze(self, config: TrainConfig) -> None:
        super().unfreeze(config)
        if "lora_dropout" in config.model_fields_set:
            p = self.have.lora_dropout = config.lora_dropout
            for _, layer in lora_layers(self.module):
                layer.lora_dropout["default"] = nn.Dropout(p) if p > 0 else nn.Identity()

    def in_one_operation(self) -> contextlib.AbstractContextManager[int]:
        return lora_operation.in_one_operation(lora_operation.suited(self.module))

    def shape(self) -> dict[str, Any]:
        return _shape(self.have, self.began)

    @classmethod
    def saved_shape(cls, folder: Path) -> dict[str, Any]:
        began = _metadata(folder).get(_BEGAN, "default")
        return _shape((PissaSurface if began == "pissa" else LoraSurface).saved_config(folder), began)

    def effective_config(self, config: TrainConfig) -> TrainConfig:
        return super().effective_config(config).replace(lora_dropout=self.have.lora_dropout)


class PissaSurface(LoraSurface):
    """LoRA that started from the base's principal directions, with the frozen adapter that takes them off."""

    def owned(self) -> dict[str, nn.Parameter]:
        return {name: p for name, p in super().owned().items() if f".{_TAKEN_OFF}." not in name}

    def base_parameters(self) -> dict[str, torch.Tensor]:
        return {name: p for name, p in super().base_parameters().items() if f".{_TAKEN_OFF}." not in name}

    @classmethod
    def reads(cls, folder: Path) -> bool:
        return saved_peft_type(folder) == "LORA" and _metadata(folder).get(_BEGAN) == "pissa"

    @classmethod
    def saved_config(cls, folder: Path) -> PeftConfig:
        saved = super().saved_config(folder)
        assert isinstance(saved, LoraConfig)
        saved.lora_alpha = round(saved.lora_alpha / _alpha_factor(saved))  # 28 * sqrt(2) / sqrt(2) is not 28
        saved.r = saved.r // 2
        return saved

    @classmethod
    def put_on(cls, base: Any, made: PeftConfig) -> PeftModel:
        return _with_taken_off(super().put_on(base, made))

    def start_from_principal(self, check: Callable[[], None]) -> None:
        """Put the base's principal directions into the adapter, and their negative into the frozen second one."""
        with torch.no_grad():
            for _, layer in lora_layers(self.module):
                check()
                a, b = closest(weight_of(layer), self.have.r, layer.scaling["default"])
                for adapter, sign in (("default", 1.0), (_TAKEN_OFF, -1.0)):
                    layer.lora_A[adapter].weight.copy_(a)
                    layer.lora_B[adapter].weight.copy_(sign * b)

    def save(self, folder: Path) -> None:
        super().save(folder)
        tensors = load_file(folder / ADAPTER_FILE)
        for name, layer in lora_layers(self.module):
            for side, pair in (("lora_A", layer.lora_A), ("lora_B", layer.lora_B)):
                taken = pair[_TAKEN_OFF].weight.detach().cpu()
                key = f"{name}.{side}.weight"
                # peft computes with +B of both adapters, so the one that takes off has its B negated already.
                tensors[key] = torch.cat((tensors[key], taken), dim=0 if side == "lora_A" else 1).contiguous()
        save_file(tensors, folder / ADAPTER_FILE, metadata={"format": "pt", _BEGAN: self.began})
        saved = LoraConfig.from_pretrained(str(folder))
        saved.r, saved.lora_alpha = 2 * self.have.r, self.have.lora_alpha * _alpha_factor(self.have)
        saved.save_pretrained(str(folder))

    def _fill(self, tensors: dict[str, Any], folder: Path) -> None:
        rank = self.have.r
        with torch.no_grad():
            for name, layer in lora_layers(self.module):
                a, b = f"{name}.lora_A.weight", f"{name}.lora_B.weight"
                if tensors.get(a) is not None and tensors[a].shape[0] == 2 * rank:
                    layer.lora_A[_TAKEN_OFF].weight.copy_(tensors[a][rank:])
                    layer.lora_B[_TAKEN_OFF].weight.copy_(tensors[b][:, rank:])
                    tensors[a], tensors[b] = tensors[a][:rank].contiguous(), tensors[b][:, :rank].contiguous()
        super()._fill(tensors, folder)


def _initialise(module: PeftModel, seed: int) -> None:
    for name, layer in lora_layers(module):
        for adapter in layer.lora_A:
            # fp32 adapters also on a 16-bit base, as peft does: updates smaller than bf16's step would be lost.
            layer.lora_A[adapter].to(torch.float32)
            layer.lora_B[adapter].to(torch.float32)
            draw = randomness.generator(seed, "lora", name)
            randomness.initialise_lora(layer.lora_A[adapter].weight, layer.lora_B[adapter].weight, draw)
    rounded_once.begin_lengths(module)


def _shape(have: Any, began: str) -> dict[str, Any]:
    return {
        "lora_r": have.r,
        "lora_alpha": have.lora_alpha,
        "use_rslora": have.use_rslora,
        "init_lora_weights": began,
        "train_embeddings": bool(have.modules_to_save),
    }


def _with_taken_off(module: PeftModel) -> PeftModel:
    """Add the second adapter. Without dropout, or it would not take off what the first one began with."""
    have = module.peft_config["default"].to_dict()
    bare = {"modules_to_save": None, "ensure_weight_tying": False, "lora_dropout": 0.0}
    with randomness.seeded_draws(0, "taken off"):
        module.add_adapter(_TAKEN_OFF, LoraConfig(**{**have, **bare}))
    module.base_model.set_adapter(["default", _TAKEN_OFF])
    return module


def _alpha_factor(have: LoraConfig) -> float:
    """Return what lora_alpha is multiplied by to give an adapter of twice the rank the same scale."""
    return math.sqrt(2) if have.use_rslora else 2


def _metadata(folder: Path) -> dict[str, str]:
    with contextlib.suppress(OSError, SafetensorError), safe_open(str(folder / ADAPTER_FILE), framework="pt") as file:
        return dict(file.metadata() or {})
    return {}


def _ends(base: nn.Module) -> list[nn.Module]:
    assert isinstance(base, PreTrainedModel)
    return [module for module in (base.get_input_embeddings(), base.get_output_embeddings()) if module is not None]


def _tied(base: nn.Module) -> bool:
    return len({id(module.weight) for module in _ends(base)}) == 1


def _leaf(base: nn.Module, wanted: nn.Module) -> str:
    name: str = next(name for name, module in base.named_modules() if module is wanted)
    return name.rsplit(".", 1)[-1]
