"""Adapted experts, computed from the rows that each expert gets and not from changed copies of all their weights.

peft adds the adapter to the whole tensor of all experts in every pass: a copy of the model's largest weights in each block,
which the backward pass keeps, and which in 16 bits swallows what is smaller than half a step of a weight. The products
of a few rows with A and B give the same, and are summed inside the base's product (see :mod:`products`).

The scheme is transformers' own for fused experts (``use_experts_implementation``): rows sorted by expert, one product up,
the gate, one product down, the router's weights. Modules with another one stay peft's; the run says so in 16 bits.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from peft.tuners.lora.layer import ParamWrapper
from torch import nn

from shadownb.engine.backends.torch.adapters import experts
from shadownb.engine.backends.torch.adapters.products import Expert, Narrow, Onto


def install(module: nn.Module) -> int:
    """Compute adapted experts of a module so, where their scheme is known; returns how many tensors those are."""
    wrappers = [m for m in _outermost(module) if experts.fused_module(m) is not None]
    for wrapper in wrappers:
        wrapper.forward = functools.partial(_forward, wrapper)
    return sum(len(experts.chain(wrapper)) for wrapper in wrappers)


def others(module: nn.Module) -> int:
    """Return how many adapted expert tensors stay peft's."""
    return sum(len(experts.chain(wrapper)) for wrapper in _outermost(module) if "forward" not in vars(wrapper))


def installed(module: nn.Module) -> int:
    """Return how many adapted expert tensors of a module are computed so."""
    return sum(len(experts.chain(wrapper)) for wrapper in _outermost(module) if "forward" in vars(wrapper))


def _outermost(module: nn.Module) -> list[Any]:
    wrappers = [m for m in module.modules() if experts.is_expert_wrapper(m)]
    inner = {id(m.base_layer) for m in wrappers}
    return [m for m in wrappers if id(m) not in inner]


def _forward(wrapper: ParamWrapper, *args: Any, **kwargs: Any) -> torch.Tensor:
    """Compute ``(rows (T, hidden), experts of each row (T, k), their weights (T, k))`` to (T, hidden)."""
    base, adapted = experts.fused_module(wrapper), experts.chain(wrapper)
    if base is None or kwargs or len(args) != 3 or not _is_plain(base, adapted):
        output: torch.Tensor = ParamWrapper.forward(wrapper, *args, **kwargs)
        return output
    hidden, chosen, weights = args
    with torch.autocast(hidden.device.type, enabled=False):  # the number formats are all said here
        return _computed(base, adapted, hidden, chosen, weights)


def _is_plain(base: Any, adapted: dict[str, ParamWrapper]) -> bool:
    # A module that stays peft's may not be entered half-way, so one switch decides for all of its tensors.
    return not (
        any(wrapper.disable_adapters or wrapper.merged for wrapper in adapted.values())
        or base._forward_hooks
        or base._forward_pre_hooks
        or hasattr(base, "_hf_hook")
        or getattr(base, "_is_expert_parallel", False)
        or set(adapted) - {_first(base), "down_proj"}
    )


def _first(base: Any) -> str:
    return "gate_up_proj" if base.has_gate else "up_proj"


def _computed(
    base: Any,
    adapted: dict[str, ParamWrapper],
    hidden: torch.Tensor,
    chosen: torch.Tensor,
    weights: torch.Tensor,
) -> torch.Tensor:
    wide = chosen.shape[-1]
    sorted_experts, order = torch.sort(chosen.reshape(-1), stable=True)
    counts = torch.bincount(sorted_experts, minlength=base.num_experts)[: base.num_experts].tolist()
    up, down = _Product(base, _first(base), adapted), _Product(base, "down_proj", adapted)
    given = torch.split(hidden[order // wide].to(up.dtype), counts)
    found = []
    for index, rows in enumerate(given):
        if len(rows):
            inner = up(rows, index)
            inner = base._apply_gate(inner) if base.has_gate else base.act_fn(inner)
            found.append(down(inner.to(down.dtype), index))
    output = torch.cat(found)
    if getattr(base, "has_post_expert_norm", False):
        output = base.post_expert_norm(output)
    output = output * weights.reshape(-1)[order].unsqueeze(-1)
    unsorted = output[torch.argsort(order)]
    return unsorted.view(-1, wide, unsorted.shape[-1]).sum(dim=1).to(hidden.dtype)


class _Product:
    """Rows of one expert times one of its matrices, with what the adapter adds to it."""

    def __init__(self, base: Any, name: str, adapted: dict[str, ParamWrapper]) -> None:
        self._tensor: torch.Tensor = getattr(base, name).detach()
        self._biases: torch.Tensor | None = getattr(base, f"{name}_bias") if base.has_bias else None
        self._transposed = bool(base.is_transposed)
        self.dtype = self._tensor.dtype
        wrapper = adapted.get(name)
        names = [] if wrapper is None else [n for n in wrapper.active_adapters if n in wrapper.lora_A]
        self._pairs: list[tuple[tuple[torch.Tensor, ...], tuple[torch.Tensor, ...], float]] = []
        for adapter in names:
            assert wrapper is not None
            # Taken apart at once: a slice for each expert would each have a gradient of the whole tensor's size.
            downs, ups = (side.float().unbind(0) for side in experts.pairs(wrapper, adapter))
            self._pairs.append((downs, ups, float(wrapper.scaling[adapter])))

    def __call__(self, rows: torch.Tensor, index: int) -> torch.Tensor:
        expert = Expert(self._tensor, index, self._transposed)
        bias = None if self._biases is None else self._biases[index]
        parts = [Narrow.apply(rows, downs[index], ups[index], scaling) for downs, ups, scaling in self._pairs]  # type: ignore[no-untyped-call]
        if not parts:
            matrix = self._tensor[index] if self._transposed else self._tensor[index].t()
            return rows @ matrix if bias is None else torch.addmm(bias, rows, matrix)
        added = functools.reduce(torch.add, parts)
        if bias is not None and self.dtype == torch.float32:  # nothing is rounded away, so nothing has to be copied
            added, bias = added + bias, None
        output: torch.Tensor = Onto.apply(rows, added.to(self.dtype), expert, bias, None)  # type: ignore[no-untyped-call]
        return output
