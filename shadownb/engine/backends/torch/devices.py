"""What torch knows of this machine: accelerators, their memory and number formats, and how fast matrices are multiplied."""

from __future__ import annotations

import functools
import time

import psutil
import torch

from shadownb.engine.backends.torch import memory
from shadownb.engine.ports.backend_facts import Device
from shadownb.engine.ports.decisions import Decision

_SLOW_PRODUCT = 0.3  # seconds


def accelerators() -> list[Device]:
    """Return the devices besides the CPU that torch can train on here."""
    memory = psutil.virtual_memory()
    found = []
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        free, total = torch.cuda.mem_get_info(index)
        found.append(Device("cuda", torch.cuda.get_device_name(index), total / 1e9, free / 1e9, True, "found by torch"))
    if torch.backends.mps.is_available():
        found.append(Device("mps", "Apple GPU", memory.total / 1e9, memory.available / 1e9, True, "found by torch"))
    if hasattr(torch, "xpu") and torch.xpu.is_available():
        found.append(Device("xpu", torch.xpu.get_device_name(0), 0.0, 0.0, True, "found by torch"))
    return found


def default_dtype(device: str) -> Decision | None:
    """Return the number format to train in on an accelerator; None for a CPU."""
    if device.startswith("cuda"):
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return "bfloat16", "the GPU computes bf16 natively"
        return "float16", "the GPU has no bf16 units"
    return None if device == "cpu" else ("float32", f"safe on {device}")


def free_memory_gb(device: str) -> float | None:
    """Return the free memory of a GPU, in units of 1e9 bytes; None elsewhere."""
    return torch.cuda.mem_get_info(device)[0] / 1e9 if device.startswith("cuda") else None


def empty_cache() -> None:
    """Give memory back that nobody uses: the GPU's, and what the allocator of this process kept."""
    memory.trim()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


@functools.cache
def matmul_flops(dtype: str) -> float:
    """Return this CPU's matrix product rate in FLOP/s (measured once, about 0.1 s).

    In bf16 an AMD EPYC with units for it reached 242 GFLOP/s on a core, and 2.7 without them, where fp32 has 70 to 100.
    """
    a = torch.ones(1024, 576, dtype=getattr(torch, dtype))
    b = torch.ones(576, 1536, dtype=a.dtype)
    best = float("inf")
    for _ in range(6):  # the first one loads
        started = time.perf_counter()
        torch.mm(a, b)
        best = min(best, time.perf_counter() - started)
        if best > _SLOW_PRODUCT:  # a format that is computed in software
            break
    return 2 * 1024 * 576 * 1536 / best
