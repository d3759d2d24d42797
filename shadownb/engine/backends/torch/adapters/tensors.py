"""Named tensors of an adapter: what is trainable, copied, put back, or told apart by a hash."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn


def trainable(module: nn.Module) -> dict[str, nn.Parameter]:
    """Return the trainable parameters by name, in a fixed order."""
    return {name: p for name, p in sorted(module.named_parameters()) if p.requires_grad}


def snapshot(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return copies, to go back to with :func:`restore`."""
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


def restore(parameters: Mapping[str, nn.Parameter], values: Mapping[str, torch.Tensor]) -> None:
    """Copy values of the same names into parameters."""
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(values[name])


def for_file(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return tensors as safetensors takes them."""
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


def digest(tensors: Mapping[str, Any]) -> str:
    """Return the sha256 over names, dtypes, shapes and bytes of tensors."""
    sha = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().contiguous().cpu()
        sha.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        sha.update(memoryview(tensor.view(-1).view(torch.uint8).numpy()))
    return sha.hexdigest()
