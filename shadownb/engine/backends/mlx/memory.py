"""Memory of a run on MLX: its peak, and whether an error means that it ran out."""

from __future__ import annotations

import mlx.core as mx
import psutil

from shadownb.errors import ShadowError

_SIGNS = ("unable to allocate", "attempting to allocate", "out of memory", "insufficient memory")


class PeakMemory:
    """The most memory seen at the looks taken: the process's resident set; on a GPU what MLX had allocated."""

    def __init__(self, *, on_gpu: bool) -> None:
        self._process, self._on_gpu, self._peak = psutil.Process(), on_gpu, 0
        if on_gpu:
            mx.reset_peak_memory()

    def look(self) -> None:
        """Take a look."""
        self._peak = max(self._peak, mx.get_peak_memory() if self._on_gpu else self._process.memory_info().rss)

    @property
    def peak_gb(self) -> float:
        """Peak in units of 1e9 bytes."""
        return self._peak / 1e9


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error means that memory ran out."""
    if isinstance(error, MemoryError):
        return True
    told = str(error).lower()
    return (
        isinstance(error, RuntimeError) and not isinstance(error, ShadowError) and any(sign in told for sign in _SIGNS)
    )
