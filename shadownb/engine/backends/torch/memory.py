"""Memory of a run: its peak, measured while it computes, and whether an error means that it ran out."""

from __future__ import annotations

import ctypes
import functools
import gc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
import torch

from shadownb.errors import ShadowError


class PeakMemory:
    """The most memory seen at the looks taken: allocated bytes on a GPU, the process's resident set on a CPU."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._process = psutil.Process()
        self._peak = 0
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)

    def look(self) -> None:
        """Take a look (about 20 µs on a CPU)."""
        if self._device.type == "cuda":
            self._peak = torch.cuda.max_memory_allocated(self._device)
        else:
            self._peak = max(self._peak, self._process.memory_info().rss)

    @property
    def peak_gb(self) -> float:
        """Peak in units of 1e9 bytes."""
        return self._peak / 1e9


def unread_bytes(files: Sequence[Path]) -> int:
    """Return how many bytes of files that are mapped into this process are not in memory."""
    wanted = {str(file.resolve()) for file in files}  # the hub's cache has links to files of other names
    try:
        maps = psutil.Process().memory_maps()
    except (AttributeError, psutil.Error, OSError):  # not on every platform
        return 0
    return sum(each.size - each.rss for each in maps if each.path in wanted)


def trim() -> None:
    """Give freed memory back to the system, where the C library can: glibc keeps what many small blocks left (0.1 s for 0.7 GB)."""
    found = _libc()
    if found is not None:
        gc.collect()
        found.malloc_trim(0)


@functools.cache
def _libc() -> Any:
    try:
        library = ctypes.CDLL(None)
    except (OSError, TypeError):  # Windows has none
        return None
    return library if hasattr(library, "malloc_trim") else None


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error means that memory ran out, on the device or on the machine."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    text = str(error)
    return (
        isinstance(error, RuntimeError)
        and not isinstance(error, ShadowError)
        and ("out of memory" in text.lower() or "can't allocate memory" in text)
    )
