"""LoRA and what varies it: DoRA, rank-stabilised scale, LoftQ's start, trained embeddings; PiSSA is in :mod:`pissa`."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from peft import LoraConfig, PeftConfig, PeftModel
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from shadownb.engine.backends.torch import randomness
from shadownb.engine.backends.torch.adapters import experts, linear, refusals, rounded_once, targets
from shadownb.engine.backends.torch.adapters.base import Adapter, Start
from shadownb.engine.backends.torch.adapters.layered import ADAPTER_FILE, LayerAdapter, saved_peft_type
from shadownb.engine.backends.torch.adapters.sizes import Kept, block_count, frozen_block, layer_inputs
from shadownb.engine.backends.torch.adapters.starts import (
    lora_layers,
    make_up_for_quantisation,
)
from shadownb.errors import MethodError

if TYPE_CHECKING:
    from shadownb.engine.config import TrainConfig
    from shadownb.engine.methods import MethodSpec

BEGAN = "init_lora_weights"  # how the adapter began, in the metadata of its file where that was no plain start


class LoraAdapter(LayerAdapter):
    """LoRA adapters on linear layers."""

    kind = "lora"
    began = "default"
    noun = "a LoRA adapter"

    @classmethod
    def refuse(cls, base: nn.Module, config: TrainConfig, spec: MethodSpec) -> None:
        super().refuse(base, config, spec)
        refusals.refuse_dropout(base, config, spec)
        quantized = bool(getattr(base, "is_loaded_in_4bit", False))
        if config.init_lora_weights == "loftq" and not quantized:
            raise MethodError(
                "init_lora_weights='loftq' makes up for what a 4-bit base lost, and this base is not in 4 bits.",
                fix='Load it with shadownb.load(..., quantize="4bit") and use method="qlora", or leave the option out.',
            )
        if config.init_lora_weights != "default":
            why = f"with init_lora_weights={config.init_lora_weights!r} "
            linear.refuse_rank(_matrices(base, config, spec), config, min, why)

    @classmethod
    def count(cls, base: nn.Module, config: TrainConfig, spec: MethodSpec) -> int:
        total = super().count(base, config, spec)
        if dict(spec.options).get("use_dora"):
            layers = targets.resolve(base, config, spec).layers.values()
            total += sum(linear.shape(layer)[1] for layer in layers)
        if config.train_embeddings:
            total += sum({id(p): p.numel() for m in _ends(base) for p in m.parameters()}.values())
        return total

    @classmethod
    def kept(cls, base: nn.Module, config: TrainConfig, spec: MethodSpec) -> Kept:
        plain = frozen_block(base) + layer_inputs(base) + 7 * config.lora_r
        if not dict(spec.options).get("use_dora"):
            return Kept(plain, _changed_copies(targets.resolve(base, config, spec).experts, base))
        # Both summands of each layer's output, and their sum before it is added: with rows eight times as long the peak was
        # 7.67 GB where two were counted as 6.2. peft computes the pair in 32 bits, so a number in 16 takes more bytes than others'.
        layers = targets.resolve(base, config, spec).layers.values()
        outputs = sum(after for _, after in map(linear.shape, layers)) // block_count(base)
        return Kept(plain + 3 * outputs, narrow_bytes=3.0)

    @classmethod
    def peft_config(cls, base: nn.Module, config: TrainConfig, spec: MethodSpec) -> LoraConfig:
        found = targets.resolve(base, config, spec)
        ends = [_leaf(base, module) for module in _ends(base)] if config.train_embeddings else None
        return LoraConfig(
            r=config.lora_r,
            lora_alpha=config.lora_alpha,
            lora_dropout=config.lora_dropout,
            target_modules=found.module_names(base),
            target_parameters=found.parameter_names(base) or None,
            use_rslora=config.use_rslora,
            modules_to_save=ends,
            ensure_weight_tying=bool(ends) and _tied(base),
            task_type="CAUSAL_LM",
            **dict(spec.options),
        )

    @classmethod
    def attach(cls, base: Any, config: TrainConfig, spec: MethodSpec, start: Start) -> Adapter:
        adapter = super().attach(base, config, spec, start)
        _initialise(adapter.module, config.seed)
        if config.init_lora_weights == "loftq":
            with randomness.seeded_draws(config.seed, "loftq"):
                make_up_for_quantisation(adapter.module, start.source, start.check)
        assert isinstance(adapter, LoraAdapter)
        adapter.began = config.init_lora_weights
        return adapter

    @classmethod
    def put_on(cls, base: Any, made: PeftConfig) -> PeftModel:
        assert isinstance(made, LoraConfig)
        kinds = {isinstance(layer, Conv1D) for layer in linear.linear_layers(base).values()}
        if len(kinds) == 1:  # else peft sets it layer by layer, and says so of each
            made.fan_in_fan_out = kinds.pop()
        return super().put_on(base, made)

    @classmethod
    def reads(cls, folder: Path) -> bool:
        return saved_peft_type(folder) == "LORA" and metadata(folder).get(BEGAN) != "pissa"

    @classmethod
    def attach_saved(cls, base: Any, folder: Path) -> Adapter:
        adapter = super().attach_saved(base, folder)
        assert isinstance(adapter, LoraAdapter)
        adapter.began = metadata(folder).get(BEGAN, "default")
        return adapter

    def save(self, folder: Path) -> None:
        super().save(folder)
        if self.began != "default":
            file = folder / ADAPTER_FILE
            save_file(load_file(file), file, metadata={"format": "pt", BEGAN: self.began})

    def unfreeze(self, config: TrainConfig) -> None:
        super().unfreeze(config)
        if "lora_dropout" in config.model_fields_set:
            p = self.have.lora_dropout = config.lora_dropout
            for _, layer in lora_layers(self.module):
                layer.lora_dropout["default"] = nn.Dropout(p) if p > 0 else nn.Identity()

    def shape(self) -> dict[str, Any]:
        return _shape(self.have, self.began)

    @classmethod
    def saved_config(cls, folder: Path) -> PeftConfig:
        saved = super().saved_config(folder)
        if metadata(folder).get(BEGAN) == "pissa":  # saved as one plain adapter of twice the rank
            assert isinstance(saved, LoraConfig)
            saved.lora_alpha = round(saved.lora_alpha / alpha_factor(saved))  # 28 * sqrt(2) / sqrt(2) is not 28
            saved.r = saved.r // 2
        return saved

    @classmethod
    def saved_shape(cls, folder: Path) -> dict[str, Any]:
        return _shape(cls.saved_config(folder), metadata(folder).get(BEGAN, "default"))

    def effective_config(self, config: TrainConfig) -> TrainConfig:
        return super().effective_config(config).replace(lora_dropout=self.have.lora_dropout)


def _initialise(module: PeftModel, seed: int) -> None:
    for name, layer in lora_layers(module):
        for adapter in layer.lora_A:
            # fp32 adapters also on a 16-bit base, as peft does: updates smaller than bf16's step would be lost.
            layer.lora_A[adapter].to(torch.float32)
            layer.lora_B[adapter].to(torch.float32)
            draw = randomness.generator(seed, "lora", name)
            randomness.initialise_lora(layer.lora_A[adapter].weight, layer.lora_B[adapter].weight, draw)
    rounded_once.begin_lengths(module)


def _changed_copies(tensors: Mapping[str, torch.Tensor], base: nn.Module) -> int:
    """Return how many weights peft makes changed copies of, of expert tensors whose scheme is not known."""
    owners = {experts.bare(name): module for name, module in base.named_modules()}
    return sum(x.numel() for name, x in tensors.items() if not experts.is_fused(owners[name.rsplit(".", 1)[0]]))


def _matrices(base: nn.Module, config: TrainConfig, spec: MethodSpec) -> dict[str, tuple[int, int]]:
    """Return (in, out) of every matrix that gets a pair: those of linear layers, and of an expert."""
    found = targets.resolve(base, config, spec)
    layers = {name: linear.shape(layer) for name, layer in found.layers.items()}
    return layers | {name: (int(x.shape[1]), int(x.shape[2])) for name, x in found.experts.items()}


def _shape(have: Any, began: str) -> dict[str, Any]:
    return {
        "lora_r": have.r,
        "lora_alpha": have.lora_alpha,
        "use_rslora": have.use_rslora,
        "init_lora_weights": began,
        "train_embeddings": bool(have.modules_to_save),
    }


def metadata(folder: Path) -> dict[str, str]:
    """Return what the file of a saved adapter says beside its tensors."""
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


def alpha_factor(have: LoraConfig) -> float:
    """Return what lora_alpha is multiplied by to give an adapter of twice the rank the same scale."""
    return math.sqrt(2) if have.use_rslora else 2
