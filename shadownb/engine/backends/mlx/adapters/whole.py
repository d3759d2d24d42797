"""A whole model written as transformers and mlx-lm both read it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx import nn
from mlx.utils import tree_unflatten

from shadownb.engine.backends.mlx.adapters.base import Base
from shadownb.engine.backends.mlx.loading import parameters
from shadownb.errors import ExportError

_DTYPES = {mx.float32: "float32", mx.bfloat16: "bfloat16", mx.float16: "float16"}


def unknown_names(base: Base) -> list[str]:
    """Return the weights that mlx-lm has under other names or in other shapes than the files, so that only it could read them."""
    return [name for name, array in parameters(base.module).items() if not base.kept_as(name, array)]


def save_whole(base: Base, module: Any, folder: Path) -> None:
    """Write a model without adapters: its weights, out of their bits where the base holds them in such, and its config.

    A merged adapter would be rounded away in 4 bits, so the result has 16 or 32.

    Raises
    ------
    ExportError
        mlx-lm has its weights in a form that no other program reads.
    """
    dense = _out_of_bits(module)
    arrays = parameters(dense)
    kept = base.files.shapes
    packed = base.files.bits is not None  # then the files have other shapes for what is dense here
    unknown = [n for n, a in arrays.items() if n not in kept or not (packed or kept[n] == tuple(a.shape))]
    if unknown:
        raise ExportError(
            f"fmt='merged': mlx-lm keeps {unknown[0]} in another form than the files of this model.",
            why="transformers would not find it.",
            fix="Save with fmt='adapter', load that with backend='torch', and merge there.",
        )
    mx.eval(arrays)
    mx.save_safetensors(str(folder / "model.safetensors"), arrays, metadata={"format": "pt"})
    config = {
        k: v for k, v in base.files.config.items() if k not in ("quantization", "quantization_config", "torch_dtype")
    }
    formats = [_DTYPES[a.dtype] for a in arrays.values() if a.ndim > 1 and a.dtype in _DTYPES]
    config["dtype"] = formats[0] if formats else "float32"
    (folder / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
    ends = base.files.folder / "generation_config.json"
    if ends.is_file():
        shutil.copyfile(ends, folder / ends.name)
    elif config.get("eos_token_id") is not None:
        content = {"eos_token_id": config["eos_token_id"]}
        (folder / ends.name).write_text(json.dumps(content, indent=2), encoding="utf-8")


def _out_of_bits(module: Any) -> Any:
    """Return the model with plain layers in the place of quantised ones; itself where it has none."""
    plain: list[tuple[str, nn.Module]] = []
    for name, layer in module.named_modules():
        if not isinstance(layer, nn.QuantizedLinear | nn.QuantizedEmbedding):
            continue
        weight = mx.dequantize(
            layer.weight, layer.scales, layer.get("biases"), layer.group_size, layer.bits, mode=layer.mode
        )
        made: nn.Module
        if isinstance(layer, nn.QuantizedLinear):
            made = nn.Linear(weight.shape[1], weight.shape[0], bias="bias" in layer)
            if "bias" in layer:
                made.bias = layer.bias
        else:
            made = nn.Embedding(*weight.shape)
        made.weight = weight
        plain.append((name, made))
    if plain:
        module.update_modules(tree_unflatten(plain))
    return module
