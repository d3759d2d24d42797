"""Numbers in 32 bits in the formats of GGUF, by ggml's own functions where llama.cpp is here, else by those of the gguf package.

Both write the same bytes, where the package has the format at all: it has no K-quants.
"""

from __future__ import annotations

from typing import Any

import gguf
import numpy as np
import numpy.typing as npt

from shadownb.engine.gguf.computing import computing
from shadownb.engine.gguf.tensors import Array
from shadownb.errors import ExportError, MissingDependencyError

_PLAIN = (gguf.GGMLQuantizationType.F32, gguf.GGMLQuantizationType.F16, gguf.GGMLQuantizationType.BF16)


def quantised(rows: Array, kind: gguf.GGMLQuantizationType, importance: Array | None = None) -> npt.NDArray[Any]:
    """Return a tensor in a format: of 16 and 32 bits as numbers, else as bytes, shape (rows, bytes of a row).

    Parameters
    ----------
    rows
        Shape (..., numbers of a row).
    importance
        How much an error counts in each column, shape (numbers of a row,); None counts all alike.

    Raises
    ------
    MissingDependencyError
        The format needs llama.cpp, and it is not here.
    ExportError
        A number is NaN or infinite, or the importance does not fit.
    """
    if not np.isfinite(rows).all():
        raise ExportError(
            "A weight is NaN or infinite, and no format of GGUF can hold that.",
            fix="Look for the step that broke it: run.metrics; then export an earlier checkpoint.",
        )
    if kind in _PLAIN:
        return gguf.quants.quantize(rows, kind)
    ggml = computing()
    if ggml is None:
        try:
            return gguf.quants.quantize(rows, kind)
        except NotImplementedError:
            raise MissingDependencyError(
                f"quant: {kind.name} is written by llama.cpp, which is not installed.",
                why="f16, bf16, q8_0, q5_0, q5_1, q4_0 and q4_1 need nothing.",
                fix="pip install 'shadownb[gguf]'",
            ) from None
    if importance is not None and importance.shape != rows.shape[-1:]:
        raise ExportError(f"The importance of {rows.shape[-1]} columns has the shape {importance.shape}.")
    found: npt.NDArray[Any] = ggml.packed(rows, int(kind), importance)
    return found
