"""Tensors of safetensors files as numpy arrays in 32 bits, one at a time: numpy has no bf16, so its bytes are widened here."""

from __future__ import annotations

import json
import math
import mmap
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from shadownb.errors import ExportError

Array = npt.NDArray[np.float32]
_WIDTHS: dict[str, np.dtype[Any]] = {
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "F64": np.dtype("<f8"),
    "BF16": np.dtype("<u2"),
}


_BYTES = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}


class Tensors:
    """The tensors of some safetensors files by name, mapped from the disk; a context manager."""

    def __init__(self, files: list[Path]) -> None:
        self._where: dict[str, tuple[mmap.mmap, int, dict[str, Any]]] = {}
        self._maps: list[mmap.mmap] = []
        for path in files:
            with open(path, "rb") as file:
                mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            self._maps.append(mapped)
            size = int.from_bytes(mapped[:8], "little")
            header = json.loads(mapped[8 : 8 + size])
            for name, facts in header.items():
                if name != "__metadata__":
                    self._where[name] = mapped, 8 + size, facts

    @classmethod
    def of_folder(cls, folder: Path) -> Self:
        """Return the tensors of a model's folder.

        Raises
        ------
        ExportError
            It has no safetensors files.
        """
        files = sorted(folder.glob("*.safetensors"))
        if not files:
            raise ExportError(f"{folder} has no safetensors files.", fix="Save the model again: model.save(folder).")
        return cls(files)

    def __iter__(self) -> Iterator[str]:
        return iter(self._where)

    def __contains__(self, name: str) -> bool:
        return name in self._where

    def shape(self, name: str) -> tuple[int, ...]:
        """Return a tensor's shape without reading it."""
        return tuple(self._where[name][2]["shape"])

    def size(self, name: str) -> int:
        """Return how many numbers a tensor has."""
        return math.prod(self.shape(name))

    def format(self, name: str) -> str:
        """Return the number format that a tensor is stored in, as safetensors calls it."""
        return str(self._where[name][2]["dtype"])

    def read(self, name: str) -> Array:
        """Return a tensor in 32 bits, a copy.

        Raises
        ------
        ExportError
            Its numbers are no floating-point ones: a quantised model's.
        """
        mapped, start, facts = self._where[name]
        kind = _WIDTHS.get(facts["dtype"])
        if kind is None:
            raise ExportError(
                f"The tensor {name} is stored as {facts['dtype']}, from which no weights can be read.",
                why="The model is quantised already.",
                fix="Export from the model in 16 or 32 bits that it was made of.",
            )
        begin, end = (start + offset for offset in facts["data_offsets"])
        raw = np.frombuffer(mapped[begin:end], kind)
        bf16 = facts["dtype"] == "BF16"
        wide: Array = (raw.astype(np.uint32) << 16).view(np.float32) if bf16 else raw.astype(np.float32)
        return wide.reshape(self.shape(name))

    def stored(self, name: str) -> npt.NDArray[np.uint8]:
        """Return the bytes of a tensor as they are in the file."""
        mapped, start, facts = self._where[name]
        begin, end = (start + offset for offset in facts["data_offsets"])
        return np.frombuffer(mapped[begin:end], np.uint8)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for mapped in self._maps:
            mapped.close()


def write_tensors(
    path: Path, facts: Mapping[str, tuple[str, tuple[int, ...]]], read: Callable[[str], npt.NDArray[Any]]
) -> None:
    """Write a safetensors file, one tensor at a time: its Python package takes no bf16 without a framework.

    Parameters
    ----------
    facts
        Of each tensor its format, as safetensors calls it, and its shape.
    read
        Gives the numbers of a tensor, whose bytes are written as they are.
    """
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    place = 0
    for name, (kind, shape) in facts.items():
        end = place + math.prod(shape) * _BYTES[kind]
        header[name] = {"dtype": kind, "shape": list(shape), "data_offsets": [place, end]}
        place = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in facts:
            file.write(np.ascontiguousarray(read(name)).tobytes())
