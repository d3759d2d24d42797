"""Which modules are linear layers and nothing more, alone or with a plain LoRA pair, and what they compute with.

These can be computed by :mod:`..kernels.linears`. Whatever does more (dropout, DoRA, several adapters, a quantised base) stays
its library's, and its linear parts are found one by one.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

from peft.tuners.lora.layer import Linear, ParamWrapper
from peft.utils import AuxiliaryTrainingWrapper
from torch import nn

from shadownb.engine.backends.torch.kernels.linears import Layer

_NAME = "default"  # peft's name of the adapter that is trained

Reader = Callable[[], Layer | None]


def linears(module: nn.Module, head: nn.Module | None) -> dict[nn.Module, Reader]:
    """Return the linear layers, each with what reads its tensors: None where it does something more at the moment.

    The head is left out; of an adapted layer that is found, what is inside.
    """
    found: dict[nn.Module, Reader] = {}
    inside = "\n"
    for name, child in module.named_modules():
        if name.startswith(inside) or child is head:
            continue
        if isinstance(child, AuxiliaryTrainingWrapper | ParamWrapper):
            inside = f"{name}."
        elif type(child) is Linear and is_plain(child):
            inside = f"{name}."
            found[child] = functools.partial(_with_pair, child)
        elif type(child) is nn.Linear and not _is_changed(child) and "forward" not in vars(child):
            found[child] = functools.partial(_bare, child)
    return found


def is_plain(layer: Linear) -> bool:
    """Return whether a layer has one plain LoRA adapter, switched on: no dropout, no variant, a plain base."""
    base = layer.get_base_layer()
    if layer.active_adapters != [_NAME] or layer.disable_adapters or layer.merged or type(base) is not nn.Linear:
        return False
    down, up = layer.lora_A[_NAME], layer.lora_B[_NAME]
    return (
        _NAME not in layer.lora_variant
        and isinstance(layer.lora_dropout[_NAME], nn.Identity)
        and not layer.fan_in_fan_out
        and down.bias is None
        and up.bias is None
        and not _is_changed(base)
    )


def _is_changed(layer: nn.Module) -> bool:
    """Return whether a call of a layer does more than its ``forward``: what is hung on it would be passed by."""
    return bool(layer._forward_hooks or layer._forward_pre_hooks or hasattr(layer, "_hf_hook"))


def _bare(layer: nn.Linear) -> Layer:
    return Layer(layer.weight, layer.bias)


def _with_pair(layer: Linear) -> Layer | None:
    if layer.disable_adapters or layer.merged or layer.active_adapters != [_NAME]:
        return None
    base, pair = layer.get_base_layer(), (layer.lora_A[_NAME].weight, layer.lora_B[_NAME].weight)
    return Layer(base.weight, base.bias, *pair, float(layer.scaling[_NAME]))
