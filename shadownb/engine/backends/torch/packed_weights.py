"""AWQ and GPTQ files read back as plain weights: on a CPU nothing that pip installs computes them packed.

Four or eight bits of several numbers stand in each 32-bit integer. What an engine for them multiplies with is exactly what
comes out here: (number - zero) * scale. So such a file can be asked, compared and measured on any machine, at the speed of
its dense form.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn

from shadownb.errors import ModelError

_ORDER = (0, 4, 1, 5, 2, 6, 3, 7)  # where AWQ puts eight neighbours into one integer


def method_of(folder: Path) -> dict[str, Any] | None:
    """Return what a folder's config says of AWQ or GPTQ; None where its weights are plain or packed otherwise."""
    try:
        said = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("quantization_config") or {}
    except (OSError, ValueError):
        return None
    method = said.get("quant_method")
    return dict(said) if method in ("awq", "gptq") else None


def dense_tensors(folder: Path, said: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Return the tensors of a folder by the names of the plain model, packed ones unpacked into 32 bits.

    Raises
    ------
    ModelError
        Something is packed in a way that is not known.
    """
    tensors: dict[str, torch.Tensor] = {}
    for file in sorted(folder.glob("*.safetensors")):
        tensors.update(load_file(file))
    found = {
        name: tensor for name, tensor in tensors.items() if not name.endswith(("qweight", "qzeros", "scales", "g_idx"))
    }
    for name in tensors:
        if name.endswith(".qweight"):
            layer = name.removesuffix(".qweight")
            parts = {key: tensors.get(f"{layer}.{key}") for key in ("qweight", "qzeros", "scales", "g_idx")}
            try:
                found[f"{layer}.weight"] = _unpacked(parts, said)
            except (RuntimeError, KeyError, TypeError) as error:
                raise ModelError(
                    f"{layer} in {folder} is packed in a way that is not known ({error}).",
                    fix="Load it with the engine that it was made for, or export it again.",
                ) from error
    return found


def _unpacked(parts: dict[str, torch.Tensor | None], said: dict[str, Any]) -> torch.Tensor:
    """Return a layer's weight, shape (outputs, inputs)."""
    bits = int(said.get("bits") or said.get("w_bit") or 4)
    packed, zeros, scales = parts["qweight"], parts["qzeros"], parts["scales"]
    assert packed is not None and zeros is not None and scales is not None, "callers found the first"
    awq = said["quant_method"] == "awq"
    numbers = _columns(packed, bits, ordered=awq) if awq else _columns(packed.T, bits).T  # (inputs, outputs)
    offsets = _columns(zeros, bits, ordered=awq)  # (groups, outputs)
    if not awq and said.get("checkpoint_format", "gptq") == "gptq":
        offsets = (offsets + 1) & ((1 << bits) - 1)  # this form stores zero points less one
    groups = parts["g_idx"]
    if groups is None:
        size = numbers.shape[0] // scales.shape[0]
        groups = torch.arange(numbers.shape[0]) // size
    index = groups.long()
    return ((numbers - offsets[index]).float() * scales.float()[index]).T.contiguous()


def _columns(packed: torch.Tensor, bits: int, *, ordered: bool = False) -> torch.Tensor:
    """Return the numbers of integers that each hold several neighbours of a row, shape (rows, numbers)."""
    count = 32 // bits
    places = _ORDER if ordered else range(count)
    shifts = torch.tensor([bits * place for place in places])
    numbers = (packed.long()[..., None] >> shifts) & ((1 << bits) - 1)
    return numbers.reshape(packed.shape[0], -1)


def put_on(module: nn.Module, tensors: dict[str, torch.Tensor]) -> None:
    """Give a plain module the weights; every one of its own must be there, but tied ones.

    Raises
    ------
    ModelError
        One is missing, or nothing of the model has its name.
    """
    state = {
        name: tensor.to(module.state_dict()[name].dtype)
        for name, tensor in tensors.items()
        if name in module.state_dict()
    }
    result = module.load_state_dict(state, strict=False)
    tied = set(getattr(module, "_tied_weights_keys", None) or ())
    missing = [name for name in result.missing_keys if name not in tied]
    odd = [name for name in tensors if name not in module.state_dict()]
    if missing or odd:
        raise ModelError(f"The packed weights do not fit the model: {(missing or odd)[0]}.")
