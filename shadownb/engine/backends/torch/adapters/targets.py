"""What target_modules means on a loaded model: linear layers and expert tensors, and what is left out, with the reason."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from peft import LoraConfig
from torch import nn
from transformers.pytorch_utils import Conv1D

from shadownb.engine.backends.torch.adapters import experts, linear
from shadownb.engine.config import TARGET_PRESETS, TrainConfig

if TYPE_CHECKING:
    from shadownb.engine.methods import MethodSpec

# How the parts of a block are called where their layers have other names than a preset's.
_PARTS = {"attention": ("attn", "attention"), "mlp": ("mlp", "feed_forward", "ffn", "moe", "fc1", "fc2")}

ROUTER = "so that tokens keep their experts"
STATE_SPACE = "kernels of state-space layers read the weights past an adapter"
RENAMED = "peft takes the name for an expert's"
NOT_ASKED = "not in target_modules"


@dataclass(frozen=True)
class Targets:
    """What gets an adapter.

    Attributes
    ----------
    layers
        Linear layers by name.
    experts
        Expert tensors by name, shapes (experts, ., .).
    as_parameters
        Names of those linear layers that peft has to be given as parameters.
    left
        What target_modules means as well, by name, and why it gets none.
    """

    layers: dict[str, nn.Module]
    experts: dict[str, torch.Tensor]
    as_parameters: frozenset[str]
    left: dict[str, str]

    @property
    def names(self) -> set[str]:
        """The names of all that gets an adapter."""
        return {*self.layers, *self.experts}

    def module_names(self, base: nn.Module) -> list[str]:
        """Return what peft is given as ``target_modules``: ends of names that mean these layers and nothing else."""
        wanted = set(self.layers) - self.as_parameters
        return _ends(wanted, (experts.bare(name) for name, _ in base.named_modules()))

    def parameter_names(self, base: nn.Module) -> list[str]:
        """Return what peft is given as ``target_parameters``."""
        wanted = {*self.experts, *(f"{name}.weight" for name in self.as_parameters)}
        return _ends(wanted, (experts.bare(name) for name, _ in base.named_parameters()), shortest=2)


def resolve(base: nn.Module, config: TrainConfig, spec: MethodSpec) -> Targets:
    """Return what target_modules means on this base, adapted or not. Names that mean nothing are not looked at here."""
    layers, tensors = meant(base, config)
    past, taken = _past_adapters(base), _renamed(base, spec)
    routers = (
        set() if isinstance(config.target_modules, tuple) else experts.routers(base)
    )  # by name it may be asked for
    left = {name: ROUTER if name in routers else STATE_SPACE for name in layers if name in routers | past}
    no_experts = _without_experts(spec)
    if no_experts:
        left |= dict.fromkeys(tensors, no_experts)
    renamed = {name for name in layers if name in taken and name not in left}
    quantized = getattr(base, "is_loaded_in_4bit", False) or getattr(base, "is_loaded_in_8bit", False)
    if renamed and (no_experts or quantized):
        left |= dict.fromkeys(renamed, RENAMED)
    left = {name: left[name] for name in (*layers, *tensors) if name in left}
    return Targets(
        {name: layer for name, layer in layers.items() if name not in left},
        {name: tensor for name, tensor in tensors.items() if name not in left},
        frozenset(renamed - set(left)),
        left,
    )


def meant(base: nn.Module, config: TrainConfig) -> tuple[dict[str, nn.Module], dict[str, torch.Tensor]]:
    """Return the linear layers and the expert tensors that target_modules means, whether they can have an adapter or not."""
    layers, tensors = linear.linear_layers(base), experts.expert_tensors(base)
    if isinstance(config.target_modules, tuple):
        return _ending(layers, config.target_modules), _ending(tensors, config.target_modules)
    names = TARGET_PRESETS[config.target_modules]
    if isinstance(names, str):
        return layers, tensors
    kept = tensors if config.target_modules == "mlp" else {}
    if all(_ending(layers, (name,)) for name in names):
        return _ending(layers, names), kept
    words = _PARTS[config.target_modules]
    parts = {name: [part for part in name.split(".") if any(word in part for word in words)] for name in layers}
    return {name: layer for name, layer in layers.items() if parts[name]}, kept


def meaning(base: nn.Module, name: str) -> set[str]:
    """Return the linear layers and expert tensors that one name means."""
    return {*_ending({**linear.linear_layers(base), **experts.expert_tensors(base)}, (name,))}


def there(base: nn.Module) -> set[str]:
    """Return the names of the layers and expert tensors that carry an adapter."""
    return linear.adapted(base) | experts.adapted(base)


def given_name(base: nn.Module, config: TrainConfig, spec: MethodSpec) -> str | tuple[str, ...]:
    """Return target_modules for what carries an adapter: as it was given, a preset, or names."""
    have = there(base)
    for name in (config.target_modules, *TARGET_PRESETS):
        if resolve(base, config.replace(target_modules=name), spec).names == have:
            return name
    every = {*linear.linear_layers(base), *experts.expert_tensors(base)}
    return tuple(_ends(have & every, every) + sorted(have - every))


def _ending(named: dict[str, Any], ends: Iterable[str]) -> dict[str, Any]:
    """Return what has one of the names, whole or as its end, as peft compares them."""
    ends = tuple(ends)
    return {name: x for name, x in named.items() if any(name == end or name.endswith(f".{end}") for end in ends)}


def _ends(wanted: set[str], every: Iterable[str], shortest: int = 1) -> list[str]:
    """Return the shortest ends of names that all of ``wanted`` have and no other."""
    taken = {end for name in set(every) - wanted for end in _ends_of(name)}
    return sorted({next((end for end in _ends_of(name)[shortest - 1 :] if end not in taken), name) for name in wanted})


def _ends_of(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[-length:]) for length in range(1, len(parts) + 1)]


def _past_adapters(base: nn.Module) -> set[str]:
    """Return the layers of selective state spaces whose weights a fused kernel is given, so that an adapter has no part in it.

    Mamba's kernels are called with the weights of all but the first projection (``mamba_inner_fn``,
    ``mamba_split_conv1d_scan_combined``); peft refuses some of them, for some models.
    """
    mixers = [experts.bare(name) for name, m in base.named_modules() if hasattr(m, "A_log") and hasattr(m, "D")]
    names = (name for name in linear.linear_layers(base) for mixer in mixers if name.startswith(f"{mixer}."))
    return {name for name in names if not name.endswith(".in_proj")}


def _without_experts(spec: MethodSpec) -> str:
    """Return why a method has no adapter for expert tensors, an empty string where it has."""
    if spec.adapter in ("lora", "reward") and spec.tuner == "LORA" and not dict(spec.options).get("use_dora"):
        return ""
    return f"{spec.title} has no form for experts; lora has"


def _renamed(base: nn.Module, spec: MethodSpec) -> set[str]:
    """Return the linear layers whose name peft takes for that of an expert in an older layout of this architecture.

    It then looks for a fused tensor instead, so dense layers beside experts would silently get no adapter.
    """
    if spec.tuner != "LORA" or not experts.expert_tensors(base):
        return set()
    from peft.utils.transformers_weight_conversion import convert_peft_config_for_transformers

    def is_taken(leaf: str) -> bool:
        probe = LoraConfig(target_modules=[leaf])
        try:
            convert_peft_config_for_transformers(probe, model=base, conversions=None)
        except ValueError:  # it knows the name, and misses the others of the fused tensor
            return True
        return leaf not in (probe.target_modules or ())

    names = linear.linear_layers(base)
    taken = {leaf for leaf in {name.rsplit(".", 1)[-1] for name in names} if is_taken(leaf)}
    return {name for name in names if name.rsplit(".", 1)[-1] in taken}


def conv1d(targets: Targets) -> list[str]:
    """Return the layers with transposed weights, as GPT-2 has them."""
    return [name for name, layer in targets.layers.items() if isinstance(linear.unwrapped(layer), Conv1D)]
