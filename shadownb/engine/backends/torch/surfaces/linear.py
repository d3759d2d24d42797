"""The linear layers that adapters go on: found, named, and matched with target_modules by peft's rule."""

from __future__ import annotations

from collections.abc import Callable

from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from shadownb.engine.config import TARGET_PRESETS, TrainConfig
from shadownb.errors import MethodError


def linear_layers(base: nn.Module) -> dict[str, nn.Module]:
    """Return the base's linear layers, adapted or not, by their names without adapters; the output head is left out."""
    head = base.get_output_embeddings() if isinstance(base, PreTrainedModel) else None
    found: dict[str, nn.Module] = {}
    adapted = ""
    for name, child in base.named_modules():
        if adapted and name.startswith(adapted):
            continue
        if isinstance(child, BaseTunerLayer):
            adapted = f"{name}."
        if isinstance(child, nn.Linear | Conv1D | BaseTunerLayer) and child is not head:
            found[name] = child
    return found


def targeted(base: nn.Module, targets: str | tuple[str, ...]) -> dict[str, nn.Module]:
    """Return the linear layers that target_modules means: by a whole name or the end of one."""
    layers = linear_layers(base)
    if isinstance(targets, str):
        return layers
    return {name: x for name, x in layers.items() if any(name == t or name.endswith(f".{t}") for t in targets)}


def adapted(base: nn.Module) -> set[str]:
    """Return the names of the layers that carry an adapter."""
    return {name for name, layer in linear_layers(base).items() if isinstance(layer, BaseTunerLayer)}


def target_name(base: nn.Module, config: TrainConfig) -> str | tuple[str, ...]:
    """Return target_modules for the layers that carry an adapter: as it was given, a preset, or their names."""
    have = adapted(base)
    given = config.target_modules, config.resolved_target_modules()
    for name, targets in (given, *TARGET_PRESETS.items()):
        if set(targeted(base, targets)) == have:
            return name
    return tuple(sorted(have))


def refuse_unknown(base: nn.Module, config: TrainConfig) -> None:
    """Raise MethodError where target_modules names a layer that is not there."""
    targets = config.resolved_target_modules()
    missing = [t for t in targets if not targeted(base, (t,))] if not isinstance(targets, str) else []
    if missing:
        names = {name.rsplit(".", 1)[-1] for name in linear_layers(base)}
        raise MethodError(
            f"target_modules={list(targets)}: this model has no linear layer named {missing[0]!r}.",
            fix=f"Choose from {', '.join(sorted(names))}, or use all, attention or mlp.",
        )


def refuse_rank(base: nn.Module, config: TrainConfig, largest: Callable[[int, int], int], why: str = "") -> None:
    """Raise MethodError where a layer is too small for the rank; ``largest`` gives the limit for (in, out)."""
    layers = targeted(base, config.resolved_target_modules())
    limits = {name: largest(*shape(layer)) for name, layer in layers.items()}
    name, limit = min(limits.items(), key=lambda item: item[1], default=("", config.lora_r))
    if config.lora_r > limit:
        raise MethodError(
            f"lora_r={config.lora_r}: method={config.method!r} {why}allows at most {limit} on {name}.",
            why=f"That layer is {shape(layers[name])[0]} wide and gives {shape(layers[name])[1]}.",
            fix=f"Use lora_r={limit} or less, or leave the layer out of target_modules.",
        )


def shape(layer: nn.Module) -> tuple[int, int]:
    """Return (in, out) of a linear layer, adapted or not."""
    inner = layer.get_base_layer() if isinstance(layer, BaseTunerLayer) else layer
    if isinstance(inner, Conv1D):
        rows, columns = inner.weight.shape
        return int(rows), int(columns)
    return int(inner.in_features), int(inner.out_features)  # type: ignore[arg-type]
