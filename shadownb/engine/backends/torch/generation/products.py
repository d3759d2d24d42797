"""Linear layers while an answer is computed: by oneDNN where torch would take MKL, and a LoRA pair inside its base's product.

Of one decoding step of SmolLM2-135M on one AVX-512 core, in 32 bits, the products took 118 ms by MKL and 66 by oneDNN for 32
rows, 31 and 25 for one. oneDNN's also give a row the same numbers beside any others (from two rows on), and MKL's do not.
peft computes a pair in a dozen calls; that is a tenth of a step for one row.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

import psutil
import torch
from peft.tuners.lora.layer import Linear as LoraLinear
from torch import nn

from shadownb.engine.backends.torch.generation import blocks
from shadownb.engine.backends.torch.kernels import onednn_linear

_MANY_ROWS, _MANY_TOKENS = 16, 24  # from which on laying weights out anew pays
_PLAIN_IN_16_BITS = torch.bfloat16  # oneDNN computes these in torch anyway


class Packed:
    """Copies of weights, laid out as oneDNN computes them, for as long as many rows get many tokens of them.

    Of a decoding step of 64 rows the products took 214 ms of one AVX-512 core with the weights as they lie, and 186 with these,
    which took 400 ms to lay out. The numbers are the same, bit for bit.
    """

    def __init__(self) -> None:
        self._kept: dict[int, tuple[torch.Tensor, int, torch.Tensor]] = {}

    def of(self, weight: torch.Tensor) -> torch.Tensor:
        """Return the copy of a weight, made where there is none of what is in it now."""
        kept = self._kept.get(id(weight))
        if kept is None or kept[0] is not weight or kept[1] != weight._version:
            kept = self._kept[id(weight)] = weight, weight._version, onednn_linear.packed(weight)
        return kept[2]


def packing(module: nn.Module, rows: int, tokens: int) -> Packed | None:
    """Return where copies of a module's weights are kept while ``rows`` are given ``tokens`` each; None where it does not pay."""
    weights = [layer.weight for layer in module.modules() if type(layer) is nn.Linear]
    if rows < _MANY_ROWS or tokens < _MANY_TOKENS or not weights:
        return None
    if any(weight.dtype != torch.float32 or _refused(weight) for weight in weights):
        return None
    needed = sum(weight.numel() * weight.element_size() for weight in weights)
    if needed > psutil.virtual_memory().available / 4 or not onednn_linear.packs_alike(torch.float32):
        return None
    return Packed()


@contextlib.contextmanager
def computing(module: nn.Module, packed: Packed | None = None) -> Iterator[int]:
    """Compute the linear layers and the blocks of a module so inside the ``with`` block, without gradients; yields how many.

    Whoever enters has the weights to itself. Layers that are computed in another way already stay so.
    """
    changed: list[tuple[nn.Module, Any]] = []
    try:
        for layer in module.modules():
            if type(layer) is nn.Linear:
                forward = _single(layer, packed)
            else:
                forward = _pair(layer, packed) if type(layer) is LoraLinear else blocks.lean(layer)
            if forward is not None:
                changed.append((layer, vars(layer).get("forward")))
                layer.forward = forward
        yield len(changed)
    finally:
        for layer, before in changed:
            if before is None:
                del layer.forward
            else:
                layer.forward = before


def _single(layer: nn.Linear, packed: Packed | None) -> Any:
    weight = layer.weight
    if "forward" in vars(layer) or weight.dtype == _PLAIN_IN_16_BITS or _refused(weight):
        return None
    return functools.partial(_product, weight, layer.bias, packed)


def _product(
    weight: torch.Tensor, bias: torch.Tensor | None, packed: Packed | None, inputs: torch.Tensor
) -> torch.Tensor:
    return onednn_linear.product(inputs, _for(inputs, weight, packed), bias)


def _for(inputs: torch.Tensor, weight: torch.Tensor, packed: Packed | None) -> torch.Tensor:
    """Return what stands for a weight in a product: for one row alone the numbers of a copy would be others."""
    return weight if packed is None or inputs.numel() < 2 * inputs.shape[-1] else packed.of(weight)


def _pair(layer: Any, packed: Packed | None) -> Any:
    """Return what computes a layer with plain LoRA pairs that are on; None for all others."""
    base = layer.get_base_layer()
    if layer.disable_adapters or layer.merged or type(base) is not nn.Linear or _refused(base.weight):
        return None
    if vars(base).keys() & {"forward", "_hf_hook"} or base._forward_hooks or base._forward_pre_hooks:
        return None
    names = [name for name in layer.active_adapters if name in layer.lora_A]
    pairs = []
    for name in names:
        down, up = layer.lora_A[name], layer.lora_B[name]
        if (
            name in layer.lora_variant
            or name in layer.lora_magnitude_vector
            or down.bias is not None
            or up.bias is not None
        ):
            return None
        pairs.append((down.weight, up.weight, float(layer.scaling[name])))
    return functools.partial(_with_pairs, base.weight, base.bias, pairs, packed) if pairs else None


def _with_pairs(
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    pairs: list[tuple[torch.Tensor, torch.Tensor, float]],
    packed: Packed | None,
    inputs: torch.Tensor,
) -> torch.Tensor:
    rows, added = inputs.reshape(-1, inputs.shape[-1]).to(weight.dtype), None
    for down, up, scaling in pairs:
        inner = torch.mm(rows.to(down.dtype), down.t()).mul_(scaling)
        added = torch.mm(inner, up.t()) if added is None else torch.addmm(added, inner, up.t())
    assert added is not None
    return onednn_linear.product(rows, _for(rows, weight, packed), bias, added.to(rows.dtype)).view(
        *inputs.shape[:-1], -1
    )


def _refused(weight: torch.Tensor) -> str:
    return onednn_linear.refused(weight.dtype, weight.device)
