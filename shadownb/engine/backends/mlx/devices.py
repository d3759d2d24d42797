"""What MLX knows of this machine."""

from __future__ import annotations

import functools
import time
from typing import Any

import mlx.core as mx
import psutil

from shadownb.engine.ports.backend_facts import Device

GPU = "mps"  # what device= calls the Apple GPU, whatever computes on it


def accelerators() -> list[Device]:
    """Return the Apple GPU, which shares the machine's memory, where there is one."""
    if not mx.metal.is_available():
        return []
    memory = psutil.virtual_memory()
    return [Device(GPU, "Apple GPU", memory.total / 1e9, memory.available / 1e9, True, "found by MLX")]


def use(device: str) -> None:
    """Have the thread that computes do so on a device."""
    mx.set_default_device(mx.cpu if device == "cpu" else mx.gpu)


def describe() -> dict[str, Any]:
    """Return what MLX computes on."""
    return {"mlx_device": str(mx.default_device()), "threads": psutil.cpu_count(logical=False) or 1}


@functools.cache
def matmul_flops(dtype: str) -> float:
    """Return this machine's matrix product rate in FLOP/s (measured once)."""
    a, b = mx.ones((256, 576), getattr(mx, dtype)), mx.ones((576, 1536), getattr(mx, dtype))
    mx.eval(a @ b)
    best = float("inf")
    for _ in range(3):
        started = time.perf_counter()
        mx.eval(a @ b)
        best = min(best, time.perf_counter() - started)
    return 2 * 256 * 576 * 1536 / best
