"""A second set of modules over the same weights: a base without anything on it, beside the one that is trained.

An adapter that is put on such a twin stands beside the trained one, whatever kind either is of: the trained modules are not
touched, so that a step, an optimizer, a checkpoint or a hash never meets the other's parameters. peft's own way (several names on
one module) would put both into one tree: it makes whichever is switched on trainable, cannot mix tuners, wraps layers that the
trained adapter leaves alone, and takes only one of those on expert tensors. The twin costs modules without tensors.
"""

from __future__ import annotations

import copy
from typing import Any, Protocol

import torch
from torch import nn

from shadownb.engine.backends.torch.adapters import Adapter


class TrainedBase(Protocol):
    """What :class:`~..weights.TorchWeights` has of its base and of what stands on it."""

    module: Any
    adapter: Adapter | None

    @property
    def replaces_base(self) -> bool: ...

    def base_module(self) -> Any: ...

    def base_parameters(self) -> dict[str, torch.Tensor]: ...


def twin_of(weights: TrainedBase, kind: type[Adapter]) -> Any:
    """Return a bare base whose tensors are those of the loaded one; the gate is held.

    ``kind`` is what will stand on it. What that changes in place, or what the trained state has changed, the twin has copies of,
    with the base's values.
    """
    base, adapter = weights.base_module(), weights.adapter
    twin = copy.deepcopy(base, _shared(base))
    if adapter is not None:
        adapter.strip(twin)
    twin.requires_grad_(False)
    changed = kind.changes(twin) | (adapter.changes(twin) if adapter is not None else set())
    first = weights.base_parameters() if changed else {}
    for name, parameter in twin.named_parameters():
        if name in changed:
            parameter.data = first[name].clone()
    return twin


def _shared(base: nn.Module) -> dict[int, Any]:
    """Return what ``deepcopy`` takes as copied already: every tensor of a module, and what bitsandbytes keeps tensors in."""
    memo: dict[int, Any] = {}
    for module in base.modules():
        for value in vars(module).values():
            if isinstance(value, torch.Tensor) or type(value).__module__.startswith("bitsandbytes"):
                memo[id(value)] = value
    for parameter in base.parameters():
        # One of its own, so that no flag and no hook of the trained one is shared; quantised ones never have any.
        plain = type(parameter) is nn.Parameter
        memo[id(parameter)] = nn.Parameter(parameter.detach(), requires_grad=False) if plain else parameter
    return memo | {id(buffer): buffer for buffer in base.buffers()}
