"""Fused experts: the weights of all experts of a block as one tensor of shape (experts, ., .), without a linear layer.

peft adapts such a tensor by its name (``target_parameters``): each expert gets a pair of the rank, and all of them lie in
two matrices, A (rank x experts, in) expert by expert and B (out, rank x experts) rank by rank. The wrappers of several
tensors of one module stand inside each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from peft.tuners.lora.layer import ParamWrapper
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn
from torch.nn.modules.conv import _ConvNd
from transformers.pytorch_utils import Conv1D

_ROUTERS = ("router", "gate", "wg")  # what the layer that chooses experts is called


def expert_tensors(base: nn.Module) -> dict[str, torch.Tensor]:
    """Return the tensors that hold all experts of a block, by their names without adapters."""
    found = {}
    for name, module in base.named_modules():
        if isinstance(module, _ConvNd | BaseTunerLayer):
            continue
        for key, tensor in module.named_parameters(recurse=False):
            if tensor.ndim == 3 and min(tensor.shape) > 1 and tensor.is_floating_point():
                found[f"{bare(name)}.{key}"] = tensor.detach()
    return found


def share(base: nn.Module) -> float:
    """Return which share of the weights are experts'."""
    return sum(x.numel() for x in expert_tensors(base).values()) / max(1, sum(p.numel() for p in base.parameters()))


def bare(name: str) -> str:
    """Return the name that a module or parameter of the base has without adapters."""
    return ".".join(part for part in name.split(".") if part not in ("base_layer", "original_module"))


def is_expert_wrapper(module: nn.Module) -> bool:
    """Return whether a module adapts an expert tensor."""
    return isinstance(module, ParamWrapper) and not isinstance(module.get_base_layer(), nn.Linear)


def adapted(base: nn.Module) -> set[str]:
    """Return the names of the expert tensors that carry an adapter."""
    return {f"{bare(name)}.{m.parameter_name}" for name, m in base.named_modules() if is_expert_wrapper(m)}  # type: ignore[union-attr]


def chain(wrapper: nn.Module) -> dict[str, ParamWrapper]:
    """Return a wrapper and those inside it, by the parameter that each adapts."""
    found: dict[str, ParamWrapper] = {}
    while isinstance(wrapper, ParamWrapper):
        found[wrapper.parameter_name] = wrapper
        wrapper = wrapper.base_layer
    return found


def routers(base: nn.Module) -> set[str]:
    """Return the names of the modules that choose which expert reads a token."""
    blocks = {name.rsplit(".", 2)[0]: len(tensor) for name, tensor in expert_tensors(base).items()}
    return set(_routers(base, blocks)) if blocks else set()


def _routers(base: nn.Module, blocks: dict[str, int]) -> Iterator[str]:
    """``blocks`` has the number of experts of each module that they stand in."""
    for name, module in base.named_modules():
        inside = next((block for block in blocks if name.startswith(f"{block}.")), None)
        if inside is None or not _is_named(name.removeprefix(f"{inside}."), _ROUTERS):
            continue
        weight = getattr(module, "weight", None)
        rows = module.nf if isinstance(module, Conv1D) else getattr(module, "out_features", None)
        rows = rows or (weight.shape[0] if isinstance(weight, torch.Tensor) and weight.ndim == 2 else None)
        if rows == blocks[inside]:
            yield bare(name)


def _is_named(name: str, words: tuple[str, ...]) -> bool:
    return any(part in words or "router" in part for part in name.split("."))


def adapter_size(tensor: torch.Tensor, rank: int) -> int:
    """Return how many weights an adapter of a rank has on an expert tensor."""
    count, one, other = tensor.shape
    return count * rank * (one + other)


# -- the pairs of one wrapper ---------------------------------------------------------------------------------------


def oriented(wrapper: ParamWrapper) -> torch.Tensor:
    """Return the adapted tensor with shape (experts, out, in); a view."""
    weight: torch.Tensor = wrapper.get_param().detach()
    if weight.ndim == 2:
        return weight[None]
    return weight if wrapper._did_swap_in_out_features else weight.transpose(1, 2)


def pairs(wrapper: ParamWrapper, adapter: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Return A (experts, rank, in) and B (experts, out, rank) of an adapter; views that gradients go through."""
    return split_a(wrapper.lora_A[adapter].weight, wrapper.num_experts), split_b(
        wrapper.lora_B[adapter].weight, wrapper.num_experts
    )


def split_a(weight: torch.Tensor, experts: int) -> torch.Tensor:
    """Return A as it is stored as (experts, rank, in)."""
    return weight.reshape(experts, -1, weight.shape[-1])


def split_b(weight: torch.Tensor, experts: int) -> torch.Tensor:
    """Return B as it is stored as (experts, out, rank)."""
    return weight.reshape(weight.shape[0], -1, experts).permute(2, 0, 1)


def stored_a(pair: torch.Tensor) -> torch.Tensor:
    """Return A (experts, rank, in) as it is stored."""
    return pair.flatten(0, 1)


def stored_b(pair: torch.Tensor) -> torch.Tensor:
    """Return B (experts, out, rank) as it is stored."""
    return pair.permute(1, 2, 0).flatten(1)


def fused_module(wrapper: nn.Module) -> Any:
    """Return the module under a wrapper where transformers computes it by its common scheme; None for others."""
    base = wrapper.get_base_layer() if isinstance(wrapper, ParamWrapper) else None
    return base if base is not None and is_fused(base) else None


def is_fused(module: Any) -> bool:
    """Return whether a module holds experts that transformers computes by its common scheme."""
    known = ("has_gate", "has_bias", "is_transposed", "num_experts", "_apply_gate", "down_proj")
    return all(hasattr(module, name) for name in known)
