"""An adapter added into the base's own weights, in the base's number format.

Of a 16-bit base most of an adapter is smaller than half a step between two numbers: rounded to the nearest, 41 to 77 % of
the entries that the adapter changes stay what they were. So an entry is rounded up or down by a chance that makes it right
on average, drawn from a fixed seed: the merged model was 8 to 500 times closer to the adapter (KL of its answers), and two
saves write the same bytes. In 32 bits nothing is drawn.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from peft import PeftModel
from peft.tuners.tuners_utils import BaseTunerLayer
from transformers import PreTrainedModel

from shadownb.engine.backends.torch import randomness

_DROPPED_BITS = {torch.bfloat16: 16, torch.float16: 13}  # of a 32-bit number's fraction


def merged_copy(module: PeftModel) -> PreTrainedModel:
    """Return a copy of the base that carries the adapter in its weights; the module stays as it is."""
    whole = copy.deepcopy(module)
    for name, layer in whole.named_modules():
        if isinstance(layer, BaseTunerLayer):
            _merge(layer, name)
    merged: PreTrainedModel = whole.base_model.unload()  # type: ignore[operator, union-attr]
    return merged


def _merge(layer: Any, name: str) -> None:
    base = layer.get_base_layer()
    narrow = {key: p.dtype for key, p in base.named_parameters(recurse=False) if p.dtype in _DROPPED_BITS}
    for key in narrow:
        getattr(base, key).data = getattr(base, key).data.float()
    layer.merge()
    for key, dtype in narrow.items():
        parameter = getattr(base, key)
        parameter.data = rounded_by_chance(parameter.data, dtype, "merge", name, key)


def rounded_by_chance(values: torch.Tensor, dtype: torch.dtype, *seed: str) -> torch.Tensor:
    """Return 32-bit values in 16 bits, each rounded up with the probability that it is on average what it was.

    What 16 bits can hold stays as it is. ``seed`` names what is drawn.
    """
    bits = _DROPPED_BITS[dtype]
    draw = randomness.generator(*seed, device=values.device)
    whole = values.contiguous().view(torch.int32)
    chance = torch.randint(0, 1 << bits, whole.shape, generator=draw, dtype=torch.int32, device=values.device)
    return ((whole + chance) & -(1 << bits)).view(torch.float32).to(dtype)
