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

import torch
from peft.tuners.lora.layer import Linear as LoraLinear
from torch import nn

from shadownb.engine.backends.torch.generation import blocks
from shadownb.engine.backends.torch.kernels import onednn_linear

_PLAIN_IN_16_BITS = torch.bfloat16  # oneDNN computes these in torch anyway


@contextlib.contextmanager
def computing(module: nn.Module) -> Iterator[int]:
    """Compute the linear layers and the blocks of a module so inside the ``with`` block, without gradients; yields how many.

    Whoever enters has the weights to itself. Layers that are computed in another way already stay so.
    """
    changed: list[tuple[nn.Module, Any]] = []
    try:
        for layer in module.modules():
            if type(layer) is nn.Linear:
                forward = _single(layer)
            else:
                forward = _pair(layer) if type(layer) is LoraLinear else blocks.lean(layer)
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


def _single(layer: nn.Linear) -> Any:
    weight = layer.weight
    if "forward" in vars(layer) or weight.dtype == _PLAIN_IN_16_BITS or _refused(weight):
        return None
    return functools.partial(_product, weight, layer.bias)


def _product(weight: torch.Tensor, bias: torch.Tensor | None, inputs: torch.Tensor) -> torch.Tensor:
    return onednn_linear.product(inputs, weight, bias)


def _pair(layer: Any) -> Any:
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
    return functools.partial(_with_pairs, base.weight, base.bias, pairs) if pairs else None


def _with_pairs(
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    pairs: list[tuple[torch.Tensor, torch.Tensor, float]],
    inputs: torch.Tensor,
) -> torch.Tensor:
    rows, added = inputs.reshape(-1, inputs.shape[-1]).to(weight.dtype), None
    for down, up, scaling in pairs:
        inner = torch.mm(rows.to(down.dtype), down.t()).mul_(scaling)
        added = torch.mm(inner, up.t()) if added is None else torch.addmm(added, inner, up.t())
    assert added is not None
    return onednn_linear.product(rows, weight, bias, added.to(rows.dtype)).view(*inputs.shape[:-1], -1)


def _refused(weight: torch.Tensor) -> str:
    return onednn_linear.refused(weight.dtype, weight.device)
