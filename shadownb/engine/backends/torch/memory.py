"""Peak memory of a run, measured while it computes."""

from __future__ import annotations

import psutil
import torch


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
