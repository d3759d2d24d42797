"""A model's files from 32 into 16 bits, each number rounded up or down by a chance that makes it right on average.

Most of what a short training changes is smaller than half a step between two numbers of 16 bits: rounded to the nearest,
41 to 77 % of the changed entries of a bf16 base stay what they were (``benchmarks/export.py rounding``).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from shadownb.engine.gguf.tensors import Array, Tensors, write_tensors
from shadownb.engine.seeds import derived_seed
from shadownb.errors import ConfigError

Rounding = Literal["seeded", "nearest"]
_DROPPED_BITS = {"bfloat16": 16, "float16": 13}  # of a 32-bit number's fraction
_NAMES = {"bfloat16": "BF16", "float16": "F16", "float32": "F32"}
FORMATS = {name: key for key, name in _NAMES.items()}  # as safetensors calls them


def check(dtype: str, rounding: str) -> None:
    """Raise ConfigError for a format or a rounding that is not known."""
    if dtype not in ("auto", *_NAMES):
        raise ConfigError(f"dtype={dtype!r} is not a number format.", fix=f"Use auto, {', '.join(_NAMES)}.")
    if rounding not in ("seeded", "nearest"):
        raise ConfigError(f"rounding={rounding!r} is not known.", fix="Use 'seeded' or 'nearest'.")


def narrow_files(folder: Path, dtype: str, rounding: Rounding = "seeded", seed: int = 0) -> None:
    """Write a folder's safetensors files anew with 16 bits for 32, and say so in its config; one seed gives the same bytes."""
    for file in sorted(folder.glob("*.safetensors")):
        with Tensors([file]) as tensors:
            aside = file.with_suffix(".narrow")

            def read(name: str, tensors: Tensors = tensors) -> npt.NDArray[Any]:
                if tensors.format(name) != "F32":  # what a quantiser has packed stays so
                    return tensors.stored(name)
                return rounded(tensors.read(name), dtype, rounding, derived_seed("merge", name, seed))

            write_tensors(
                aside, {name: (_kind(tensors.format(name), dtype), tensors.shape(name)) for name in tensors}, read
            )
        aside.replace(file)
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        said = json.loads(index.read_text(encoding="utf-8"))
        said.get("metadata", {})["total_size"] = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
        index.write_text(json.dumps(said, indent=2), encoding="utf-8")
    config = folder / "config.json"
    said = json.loads(config.read_text(encoding="utf-8"))
    said[next((key for key in ("dtype", "torch_dtype") if key in said), "dtype")] = dtype
    config.write_text(json.dumps(said, indent=2), encoding="utf-8")


def _kind(format: str, dtype: str) -> str:
    return _NAMES[dtype] if format == "F32" else format


def rounded(values: Array, dtype: str, rounding: Rounding, seed: int) -> npt.NDArray[Any]:
    """Return numbers in 16 bits: float16, or the upper halves of bfloat16 as uint16. What 16 bits can hold stays as it is."""
    whole = np.ascontiguousarray(values, np.float32).view(np.uint32)
    bits = _DROPPED_BITS[dtype]
    if rounding == "seeded":
        draw = np.random.Generator(np.random.PCG64(seed))
        chance = draw.integers(0, 1 << bits, size=whole.shape, dtype=np.uint32)
    elif dtype == "float16":
        return values.astype(np.float16)
    else:  # half a step, to even
        chance = np.uint32(0x7FFF) + ((whole >> np.uint32(16)) & np.uint32(1))
    moved = (whole + chance) & np.uint32((0xFFFFFFFF << bits) & 0xFFFFFFFF)
    if dtype == "float16":
        return moved.view(np.float32).astype(np.float16)
    found: npt.NDArray[Any] = (moved >> np.uint32(16)).astype(np.uint16)
    return found
