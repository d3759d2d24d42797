"""Linear layers that bitsandbytes holds in 4 bits: the matrix one stands for, and the copy of it that an answer may keep.

bitsandbytes has a packed layout for CPUs with AVX-512 and bf16 units. A layer goes over to it by itself at its first pass
in evaluation mode, and it is not used here: nothing can be trained through it (no backward is registered, so that whatever
lies below gets no gradient), it rounds the scales of the blocks to bf16 and cannot give them back, it fails where a width
is no multiple of 64, and it took 2 s for the 210 layers of a 135M model. So the base that answers has the very numbers of
the base that is trained on, and its bytes never change. Answers are made fast by a dense copy that lives as long as they do.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

import psutil
import torch
from torch import nn
from torch.nn.functional import linear

_KEPT = "_dense_meanwhile"  # where a layer has its dense copy inside the block; None until it is first needed
_MEMORY_SHARE = 0.5  # of what is free may go into such copies; the rest is for the cache of keys and values


def is_4bit(layer: nn.Module) -> bool:
    """Return whether bitsandbytes holds the layer's weight in 4 bits; peft's layer of the same name around it is none."""
    named = type(layer).__name__ in ("Linear4bit", "LinearNF4", "LinearFP4")
    return named and isinstance(layer, nn.Linear) and hasattr(layer.weight, "quant_state")


def layers_in_4bit(module: nn.Module) -> list[nn.Module]:
    """Return the layers of a module whose weights have 4 bits."""
    return [layer for layer in module.modules() if is_4bit(layer)]


def never_pack(module: nn.Module) -> None:
    """Keep the 4-bit layers of a freshly loaded module in the one layout that can be trained through."""
    for layer in layers_in_4bit(module):
        vars(layer)["support_avx512bf16_for_cpu"] = False  # what bitsandbytes asks before it packs


def dense(layer: nn.Module) -> torch.Tensor:
    """Return the matrix of a 4-bit layer, shape (out, in), in the number format it was made from."""
    kept = vars(layer).get(_KEPT)
    if kept is None:
        kept = _dequantised(layer)
        if _KEPT in vars(layer):
            vars(layer)[_KEPT] = kept
    return kept


def dense_dtype(layer: nn.Module) -> torch.dtype:
    """Return the number format of :func:`dense`."""
    found: torch.dtype = layer.weight.quant_state.dtype  # type: ignore[union-attr, assignment]
    return found


def parts(weight: torch.Tensor) -> list[torch.Tensor]:
    """Return the tensors that make up a weight: of a quantised one its numbers and the scales of their blocks."""
    state = getattr(weight, "quant_state", None)
    scales = [state.absmax, *([state.offset, state.state2.absmax] if state.nested else [])] if state is not None else []
    if getattr(weight, "SCB", None) is not None:  # of 8 bits
        scales = [weight.SCB]  # type: ignore[attr-defined]
    return [weight.data, *scales]


@contextlib.contextmanager
def dense_meanwhile(module: nn.Module) -> Iterator[int]:
    """Inside the block, unpack each 4-bit layer once instead of at every token, if memory is free; yields how many layers.

    Only passes without gradients use the copies. On two cores with AVX-512 a token of a 135M model then takes 0.4 of the
    time of its linear layers. Whoever enters has the weights to itself.
    """
    layers = [layer for layer in layers_in_4bit(module) if _KEPT not in vars(layer)]
    if not layers or not _fit(layers):
        yield 0
        return
    for layer in layers:
        vars(layer)[_KEPT] = None
        layer.forward = functools.partial(_forward, layer)  # type: ignore[method-assign]
    try:
        yield len(layers)
    finally:
        for layer in layers:
            del layer.forward
            del vars(layer)[_KEPT]


def _forward(layer: Any, inputs: torch.Tensor) -> torch.Tensor:
    if torch.is_grad_enabled():
        output: torch.Tensor = type(layer).forward(layer, inputs)
        return output
    weight = dense(layer)
    bias = None if layer.bias is None else layer.bias.to(weight.dtype)
    return linear(inputs.to(weight.dtype), weight, bias).to(inputs.dtype)


def _dequantised(layer: Any) -> torch.Tensor:
    from bitsandbytes.functional import dequantize_4bit

    matrix: torch.Tensor = dequantize_4bit(layer.weight.data, layer.weight.quant_state)
    return matrix


def _fit(layers: list[nn.Module]) -> bool:
    needed = sum(layer.weight.quant_state.shape.numel() * dense_dtype(layer).itemsize for layer in layers)  # type: ignore[union-attr, operator, misc]
    device = layers[0].weight.device
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else psutil.virtual_memory().available  # type: ignore[arg-type]
    return bool(needed <= _MEMORY_SHARE * free)
