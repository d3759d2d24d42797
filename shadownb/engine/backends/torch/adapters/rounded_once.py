"""Adapters in 16 bits: what an adapter adds is summed inside its base's product, so that both are rounded once.

peft adds it to the base's output after that was rounded. What is smaller than half a step of the rounding is then lost,
always in the same places: of SmolLM2-135M the losses of steps 2 to 4 were 1.800 1.526 1.136 instead of 1.561 1.204 0.839
in 32 bits, though the gradients of step 1 agreed. Summed inside they are 1.565 1.207 0.847.

A matrix product can start from what its output holds: ``added + x W`` is summed in 32 bits and then rounded, by oneDNN on
a CPU and by cuBLAS on a GPU, whatever ``added`` is. So nothing of the base is copied or laid out anew. ``added`` itself is
computed in 32 bits, where the adapter has its weights, and rounding it to 16 is relative to it.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from peft.tuners.lora.dora import DoraLinearLayer
from peft.tuners.lora.layer import Linear as LoraLinear
from peft.tuners.lora.layer import ParamWrapper
from peft.tuners.miss.layer import MissLinear
from peft.tuners.shira.layer import Linear as ShiraLinear
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import pad
from transformers.pytorch_utils import Conv1D

from shadownb.engine.backends.torch import quantized
from shadownb.engine.backends.torch.adapters.products import Narrow, Onto, matrix_of

_NARROW = (torch.bfloat16, torch.float16)


def install(module: nn.Module) -> int:
    """Compute the adapted layers of a module so, where their base has 16 bits; returns how many those are.

    Layers with the adapter switched off or merged, and kinds that are not known here, stay peft's.
    """
    layers = [layer for layer in module.modules() if isinstance(layer, BaseTunerLayer) and _known(layer)]
    for layer in layers:
        layer.forward = functools.partial(_forward, layer)  # type: ignore[attr-defined]
    return len(layers)


def installed(module: nn.Module) -> int:
    """Return how many layers of a module are computed so."""
    return sum(isinstance(x, BaseTunerLayer) and "forward" in vars(x) and _known(x) for x in module.modules())


def in_8_bits(module: nn.Module) -> bool:
    """Return whether adapted layers of a module have a base in 8 bits that computes in 16: its product is bitsandbytes' own."""
    bases = (layer.get_base_layer() for layer in module.modules() if isinstance(layer, BaseTunerLayer))
    narrow = getattr(module, "dtype", None) in _NARROW
    return narrow and any(type(base).__name__ == "Linear8bitLt" for base in bases)


def _known(layer: Any) -> bool:
    kinds = (LoraLinear, MissLinear, ShiraLinear)
    if isinstance(layer, ParamWrapper):  # in 32 bits, too: peft would make a changed copy of the weights
        return type(layer.get_base_layer()) is nn.Linear
    if (
        not isinstance(layer, kinds) and type(layer).__name__ != "Linear4bit"
    ):  # peft's class, there with bitsandbytes only
        return False
    if isinstance(layer, MissLinear) and layer.miss_fn == "bat":
        return False
    base = layer.get_base_layer()
    if quantized.is_4bit(base):
        return quantized.dense_dtype(base) in _NARROW
    return type(base) in (nn.Linear, Conv1D) and base.weight.dtype in _NARROW


def _forward(layer: Any, inputs: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
    base = layer.get_base_layer()
    names = [name for name in layer.active_adapters if name in getattr(layer, layer.adapter_layer_names[0])]
    if args or kwargs or not names or not _is_plain(layer, base, names):
        output: torch.Tensor = type(layer).forward(layer, inputs, *args, **kwargs)
        return output
    is_4bit = quantized.is_4bit(base)
    dtype = quantized.dense_dtype(base) if is_4bit else base.weight.dtype
    with torch.autocast(inputs.device.type, enabled=False):  # the number formats are all said here
        rows = inputs.reshape(-1, inputs.shape[-1]).to(dtype)
        if isinstance(layer, MissLinear):
            added, factor = _sum([_miss(layer, name, rows) for name in names]), None
        elif isinstance(layer, ShiraLinear):
            added, factor = _sum([_sparse(layer, name, rows) for name in names]), None
        else:
            added, factor = _lora(layer, names, rows, base)
        output = Onto.apply(rows, added.to(dtype), base, base.bias, factor)  # type: ignore[no-untyped-call, union-attr]
    shaped = output.view(*inputs.shape[:-1], -1)
    return shaped.to(inputs.dtype) if is_4bit else shaped  # as the base itself does


def _is_plain(layer: Any, base: Any, names: list[str]) -> bool:
    if (
        layer.disable_adapters
        or layer.merged
        or base._forward_hooks
        or base._forward_pre_hooks
        or hasattr(base, "_hf_hook")
    ):
        return False
    if not hasattr(layer, "lora_A"):
        return True
    variants = [layer.lora_variant[name] for name in names if name in layer.lora_variant]
    with_dora = [name for name in names if name in layer.lora_magnitude_vector]
    return (
        len(variants) == len(with_dora)
        and (not with_dora or len(names) == 1)
        and all(layer.lora_A[name].bias is None and layer.lora_B[name].bias is None for name in names)
    )


def _sum(parts: list[torch.Tensor]) -> torch.Tensor:
    return functools.reduce(torch.add, parts)


def _lora(layer: Any, names: list[str], rows: torch.Tensor, base: Any) -> tuple[torch.Tensor, torch.Tensor | None]:
    parts = []
    for name in names:
        dropped = layer.lora_dropout[name](rows)
        down, up = layer.lora_A[name].weight.float(), layer.lora_B[name].weight.float()
        parts.append(Narrow.apply(dropped, down, up, float(layer.scaling[name])))  # type: ignore[no-untyped-call]
    added = _sum(parts)
    if names[0] not in layer.lora_magnitude_vector:
        return added, None
    factor = _dora_factor(layer, names[0], matrix_of(base).t())
    if dropped is rows:
        return factor * added + (factor - 1) * (rows.detach() @ matrix_of(base)).float(), factor
    # peft's DoRA scales the base's output on what dropout left, so that has a gradient of its own.
    nothing = torch.zeros(added.shape, dtype=rows.dtype, device=rows.device)
    left = Onto.apply(dropped, nothing, base, None, None)  # type: ignore[no-untyped-call]
    return factor * added + (factor - 1) * left.float(), None


def begin_lengths(module: nn.Module) -> None:
    """Let the learned lengths of a new DoRA adapter begin as those that the columns have.

    peft computes them in the base's 16 bits, so that an adapter that is not trained yet would move the base by up to 0.4 %.
    """
    for layer in module.modules():
        if isinstance(layer, BaseTunerLayer) and _known(layer) and hasattr(layer, "lora_magnitude_vector"):
            for name, learned in layer.lora_magnitude_vector.items():
                learned.weight.data = _lengths(layer, name, matrix_of(layer.get_base_layer()).t())


def _dora_factor(layer: Any, name: str, weight: torch.Tensor) -> torch.Tensor:
    """Return the learned length of each column over the one it has, shape (out,); the latter has no gradient, as in peft."""
    learned: DoraLinearLayer = layer.lora_magnitude_vector[name]
    factor: torch.Tensor = learned.weight.float() / _lengths(layer, name, weight)
    return factor


@torch.no_grad()
def _lengths(layer: Any, name: str, weight: torch.Tensor) -> torch.Tensor:
    """Return the lengths of the columns of ``W + s B A``, from products of the rank's width, without that matrix itself."""
    scaling = float(layer.scaling[name])
    down, up = layer.lora_A[name].weight.float(), layer.lora_B[name].weight.float()
    wide = weight.float()
    cross = ((wide @ down.t()) * up).sum(1)
    own = ((up @ (down @ down.t())) * up).sum(1)
    lengths: torch.Tensor = (wide.square().sum(1) + 2 * scaling * cross + scaling**2 * own).clamp_min(0).sqrt()
    return lengths


def _miss(layer: MissLinear, name: str, rows: torch.Tensor) -> torch.Tensor:
    block = layer.miss_block[name].float()
    if layer.miss_fn == "mini":
        block = block.repeat(1, layer.base_layer.out_features // layer.miss_mini_r[name])
    rank = block.shape[0]
    dropped = layer.miss_dropout[name](pad(rows, (0, -rows.shape[-1] % rank)))
    summed = dropped.unflatten(-1, (-1, rank)).float().sum(-2)
    added: torch.Tensor = summed @ block
    return added


def _sparse(layer: ShiraLinear, name: str, rows: torch.Tensor) -> torch.Tensor:
    added: torch.Tensor = _Sparse.apply(rows, layer.get_delta_weight(name))  # type: ignore[no-untyped-call]
    return added


class _Sparse(torch.autograd.Function):
    """``S x`` for a sparse matrix of shape (out, in), in 32 bits."""

    @staticmethod
    def forward(ctx: Any, rows: torch.Tensor, changes: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(rows, changes)
        product: torch.Tensor = torch.sparse.mm(changes.float(), rows.float().t())
        return product.t()

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        rows, changes = ctx.saved_tensors
        for_rows = (
            torch.sparse.mm(changes.float().t(), gradient.t()).t().to(rows.dtype) if ctx.needs_input_grad[0] else None
        )
        places = changes._indices()
        every = gradient.to(rows.dtype).t() @ rows  # dense, in the format that is fast here; rounded relative to itself
        found = every[places[0], places[1]].to(changes.dtype)
        return for_rows, torch.sparse_coo_tensor(places, found, changes.shape)
