"""The linear layers that adapters go on: found, named and measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils import AuxiliaryTrainingWrapper
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from shadownb.engine.backends.torch.adapters import experts
from shadownb.engine.config import TrainConfig
from shadownb.errors import MethodError


def linear_layers(base: nn.Module) -> dict[str, nn.Module]:
    """Return the base's linear layers, adapted or not, by their names without adapters; the output head is left out."""
    end = head(base)
    found: dict[str, nn.Module] = {}
    adapted = ""
    for name, child in base.named_modules():
        if adapted and name.startswith(adapted):
            continue
        if isinstance(child, BaseTunerLayer | AuxiliaryTrainingWrapper):
            adapted = f"{name}."
        if experts.is_expert_wrapper(child):
            continue
        if isinstance(child, nn.Linear | Conv1D | BaseTunerLayer) and child is not end:
            found[experts.bare(name)] = child
    return found


def head(base: nn.Module) -> nn.Module | None:
    """Return the module that gives the base's logits."""
    end = base.get_output_embeddings() if isinstance(base, PreTrainedModel) else None
    return end.original_module if isinstance(end, AuxiliaryTrainingWrapper) else end


def adapted(base: nn.Module) -> set[str]:
    """Return the names of the layers that carry an adapter."""
    return {name for name, layer in linear_layers(base).items() if isinstance(layer, BaseTunerLayer)}


def refuse_rank(
    layers: Mapping[str, tuple[int, int]], config: TrainConfig, largest: Callable[[int, int], int], why: str = ""
) -> None:
    """Raise MethodError where a layer of (in, out) is too small for the rank; ``largest`` gives the limit for (in, out)."""
    limits = {name: largest(*shape) for name, shape in layers.items()}
    name, limit = min(limits.items(), key=lambda item: item[1], default=("", config.lora_r))
    if config.lora_r > limit:
        raise MethodError(
            f"lora_r={config.lora_r}: method={config.method!r} {why}allows at most {limit} on {name}.",
            why=f"That layer is {layers[name][0]} wide and gives {layers[name][1]}.",
            fix=f"Use lora_r={limit} or less, or leave the layer out of target_modules.",
        )


def shape(layer: nn.Module) -> tuple[int, int]:
    """Return (in, out) of a linear layer, adapted or not."""
    inner = unwrapped(layer)
    if isinstance(inner, Conv1D):
        rows, columns = inner.weight.shape
        return int(rows), int(columns)
    return int(inner.in_features), int(inner.out_features)  # type: ignore[arg-type]


def unwrapped(layer: nn.Module) -> nn.Module:
    """Return the base's own layer."""
    return layer.get_base_layer() if isinstance(layer, BaseTunerLayer) else layer  # type: ignore[no-any-return]
