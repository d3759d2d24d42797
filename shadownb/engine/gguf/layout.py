"""What the tensors of a model are called in GGUF, and which of their rows stand in another order there."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass

import gguf
import numpy as np

from shadownb.engine.gguf.tensors import Array
from shadownb.errors import ExportError

# llama.cpp turns pairs of neighbours in these, where transformers turns the first half with the second.
NEIGHBOURS = ("llama", "granite")
_QUERY = re.compile(r"\.(q|k)_proj$")


@dataclass(frozen=True)
class Layout:
    """Names and order of one model's tensors.

    Attributes
    ----------
    architecture
        As GGUF calls it, for example ``llama``.
    blocks, heads, kv_heads
        How many layers and attention heads it has.
    """

    architecture: str
    blocks: int
    heads: int
    kv_heads: int

    @classmethod
    def of_file(cls, said: Callable[[str], str | None]) -> Layout:
        """Return the layout of an open GGUF file."""
        name = said("general.architecture") or ""
        heads = int(said(f"{name}.attention.head_count") or 0)
        return cls(
            name,
            int(said(f"{name}.block_count") or 0),
            heads,
            int(said(f"{name}.attention.head_count_kv") or heads),
        )

    def name(self, module: str) -> str:
        """Return GGUF's name of a module, without ``.weight``.

        Raises
        ------
        ExportError
            GGUF has no place for it.
        """
        known = _names(self.architecture, self.blocks)
        found = None if known is None else known.get_name(module)
        if found is None:
            raise ExportError(
                f"GGUF has no place for {module} in a model of the architecture {self.architecture!r}.",
                fix="Use format='merged', which every engine of transformers' models reads.",
            )
        return found

    def ordered(self, module: str, rows: Array) -> Array:
        """Return the rows of a module's weight or bias in the order that llama.cpp has them in, shape as given."""
        found = _QUERY.search(module)
        if found is None or self.architecture not in NEIGHBOURS:
            return rows
        heads = self.heads if found[1] == "q" else self.kv_heads
        halves = rows.reshape(heads, 2, rows.shape[0] // heads // 2, *rows.shape[1:])
        return np.ascontiguousarray(halves.swapaxes(1, 2).reshape(rows.shape))


@functools.lru_cache(maxsize=8)
def _names(architecture: str, blocks: int) -> gguf.TensorNameMap | None:
    """Return the names of an architecture; making them takes about as long as looking all of a model's up."""
    known = next((key for key, value in gguf.MODEL_ARCH_NAMES.items() if value == architecture), None)
    return None if known is None else gguf.get_tensor_name_map(known, blocks)
