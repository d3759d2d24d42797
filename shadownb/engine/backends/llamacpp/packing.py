"""Numbers in the formats of GGUF, by ggml's own functions."""

from __future__ import annotations

import ctypes as c
from typing import Any

import numpy as np
import numpy.typing as npt

from shadownb.engine.backends.llamacpp.bindings import library


def packed(rows: npt.NDArray[Any], kind: int, importance: npt.NDArray[Any] | None = None) -> npt.NDArray[np.uint8]:
    """Return them packed; see :class:`shadownb.engine.ports.model_files.ComputesGguf`."""
    lib, width = library(), rows.shape[-1]
    rows, count = np.ascontiguousarray(rows, np.float32), rows.size // width
    size = int(lib.ggml_row_size(int(kind), width))
    target = np.zeros((count, size), np.uint8)
    weights = None if importance is None else np.ascontiguousarray(importance, np.float32)
    written = lib.ggml_quantize_chunk(
        int(kind),
        rows.ctypes.data_as(c.POINTER(c.c_float)),
        target.ctypes.data_as(c.c_void_p),
        0,
        count,
        width,
        None if weights is None else weights.ctypes.data_as(c.c_void_p),
    )
    assert written == target.nbytes, "ggml writes as many bytes as it says a row takes"
    return target.reshape(*rows.shape[:-1], size)
