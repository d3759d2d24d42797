"""Where a LoRA adapter starts, other than at nothing: at the closest product of its rank to a given matrix.

``pissa`` takes the base's weights themselves (their principal directions), ``loftq`` what quantising lost of them. peft
has both; its LoftQ computes on cuda or xpu only, wants all weights in one file, and leaves the adapter's scale out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from peft.tuners.lora.layer import ParamWrapper
from peft.utils.integrations import dequantize_module_weight
from safetensors import safe_open
from transformers.pytorch_utils import Conv1D

from shadownb.engine.backends.torch.adapters import experts
from shadownb.engine.loaded.hashing import weight_files
from shadownb.errors import MethodError

_ITERATIONS = 4  # of the randomised SVD; peft's documentation uses 4 to 16


def lora_layers(module: PeftModel) -> Iterator[tuple[str, LoraLayer]]:
    """Yield the layers that carry LoRA, with their names in the peft model."""
    for name, layer in module.named_modules():
        if isinstance(layer, LoraLayer):
            yield name, layer


def weight_of(layer: LoraLayer) -> torch.Tensor:
    """Return the base's weight under an adapter in 32 bits, shape (out, in), of experts (experts, out, in)."""
    if isinstance(layer, ParamWrapper):
        every = experts.oriented(layer).float()
        return every if _is_of_experts(layer) else every[0]
    weight: torch.Tensor = dequantize_module_weight(layer.get_base_layer()).detach().float()
    return weight.T if getattr(layer, "fan_in_fan_out", False) else weight


def closest(matrix: torch.Tensor, rank: int, scale: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Return A (..., rank, in) and B (..., out, rank) for which ``scale * B @ A`` is closest to matrices (..., out, in)."""
    u, s, v = torch.svd_lowrank(matrix, q=rank, niter=_ITERATIONS)
    root = torch.sqrt(s / scale)
    return root[..., :, None] * v.mT, u * root[..., None, :]


# -- the pair of a layer: A (rank, in) and B (out, rank), of experts (experts, rank, in) and (experts, out, rank) --------


def pair_of(layer: Any, adapter: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the pair of an adapter, without a gradient."""
    return split(layer, layer.lora_A[adapter].weight.detach(), layer.lora_B[adapter].weight.detach())


def split(layer: Any, a: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return as a pair what is stored."""
    if not _is_of_experts(layer):
        return a, b
    return experts.split_a(a, layer.num_experts), experts.split_b(b, layer.num_experts)


def stored(layer: Any, a: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a pair as it is stored."""
    return (experts.stored_a(a), experts.stored_b(b)) if _is_of_experts(layer) else (a, b)


def fill(layer: Any, adapter: str, a: torch.Tensor, b: torch.Tensor) -> None:
    """Give an adapter a pair."""
    for side, values in zip((layer.lora_A, layer.lora_B), stored(layer, a, b), strict=True):
        side[adapter].weight.copy_(values)


def _is_of_experts(layer: Any) -> bool:
    return isinstance(layer, ParamWrapper) and layer.num_experts > 1


def make_up_for_quantisation(module: PeftModel, source: str, check: Callable[[], None]) -> None:
    """Let the adapter start from the difference between the base's weights in its files and those in memory (LoftQ).

    Raises
    ------
    MethodError
        The files do not have a layer's weight.
    """
    original = _Originals(source)
    with torch.no_grad():
        for name, layer in lora_layers(module):
            check()
            if isinstance(layer, ParamWrapper):  # of experts nothing was lost: only linear layers are quantised
                continue
            mine = weight_of(layer)
            before = original[f"{name.removeprefix('base_model.model.')}.weight"].to(mine)
            if getattr(layer.get_base_layer(), "source_cls", None) is Conv1D:  # laid out anew when it was quantised
                before = before.T
            fill(layer, "default", *closest(before - mine, layer.r["default"], layer.scaling["default"]))


class _Originals:
    """The tensors of a base's files, read one at a time."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._file: dict[str, Path] = {}
        for file in weight_files(source):
            with _opened(file) as tensors:
                self._file.update(dict.fromkeys(tensors.keys(), file))

    def __getitem__(self, name: str) -> torch.Tensor:
        if name not in self._file:
            raise MethodError(
                f"init_lora_weights='loftq': the files of {self._source} have no {name}.",
                why="LoftQ compares the 4-bit weights with those of the file.",
                fix="Leave init_lora_weights out.",
            )
        with _opened(self._file[name]) as tensors:
            found: torch.Tensor = tensors.get_tensor(name)
        return found


def _opened(file: Path) -> Any:
    return safe_open(str(file), framework="pt")
