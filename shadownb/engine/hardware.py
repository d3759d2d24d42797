"""What this machine has, and what follows from it. Every decision is a (value, reason) pair; the reason is shown and kept.

What a framework knows comes through the backend's port.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import platform
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import psutil

from shadownb.engine.loaded.backends import DEFAULT, backend, packages
from shadownb.engine.ports.backend_facts import Device
from shadownb.errors import ConfigError, did_you_mean

DEVICES = ("auto", "cpu", "cuda", "mps", "xpu")
DTYPES = ("auto", "float32", "bfloat16", "float16")
ASKED_FOR = "asked for"  # how the reason of a decision starts that was the user's
# The kind of CPU that decisions are made for, where it is to be another than this one: what is promised for the other kind
# of machine is tested here so. avx2 takes units away; bf16 adds none, it only chooses the format that a CPU with such units
# gets. torch and oneDNN have variables of their own for their kernels: ATEN_CPU_CAPABILITY=avx2 and ONEDNN_MAX_CPU_ISA=AVX2.
CPU_VARIABLE = "SHADOWNB_CPU"
CPU_KINDS = ("native", "avx2", "bf16")
MOST_OF_MEMORY = 0.6  # weights that take more leave too little for training
_BF16_UNITS = ("amx_bf16", "avx512_bf16")


@dataclass(frozen=True)
class Hardware:
    """What was found; ``recommended`` is the kind of the device to use and ``reason`` says why."""

    devices: tuple[Device, ...]
    recommended: str
    reason: str
    cores: int
    memory_gb: float
    free_memory_gb: float


def detect(backend_name: str = DEFAULT) -> Hardware:
    """Look for devices that a backend can train on here."""
    memory = psutil.virtual_memory()
    cores = psutil.cpu_count(logical=False) or os.cpu_count() or 1
    cpu = Device(
        "cpu", f"{_cpu_name()} ({cores} cores)", memory.total / 1e9, memory.available / 1e9, True, "works everywhere"
    )
    found = [cpu, *backend(backend_name).devices()]
    accelerator = next((d for d in found if d.kind != "cpu"), None)
    if accelerator is None:
        recommended, reason = "cpu", "no accelerator was found"
    else:
        recommended, reason = accelerator.kind, f"{accelerator.name} is faster than the CPU"
    return Hardware(
        tuple(found), recommended, reason, cores, round(memory.total / 1e9, 1), round(memory.available / 1e9, 1)
    )


def choose_device(asked: str, backend_name: str = DEFAULT) -> tuple[str, str]:
    """Return (device, reason) for ``device=``.

    Raises
    ------
    ConfigError
        The device is unknown or not on this machine.
    """
    kind = asked.split(":", maxsplit=1)[0]
    if kind not in DEVICES:
        raise ConfigError(
            f"device={asked!r} is not a device.{did_you_mean(asked, DEVICES)}",
            fix=f"Choose one of {', '.join(DEVICES)}.",
        )
    found = detect(backend_name)
    if asked == "auto":
        return found.recommended, found.reason
    there = [device.kind for device in found.devices]
    number = asked.removeprefix(kind).removeprefix(":")
    if kind not in there or (number and not (number.isdecimal() and int(number) < there.count(kind))):
        have = [
            f"{name}:{n}" if there.count(name) > 1 else name
            for name in sorted(set(there))
            for n in range(there.count(name))
        ]
        raise ConfigError(
            f"device={asked!r} is not on this machine.",
            why=f"Found: {', '.join(have)}.",
            fix="Use device='auto', or one of those.",
        )
    return asked, ASKED_FOR


def choose_dtype(asked: str, device: str, size_gb: float | None = None, backend_name: str = DEFAULT) -> tuple[str, str]:
    """Return (dtype name, reason) for training on a device.

    On a CPU without 16-bit matrix units bf16 training is five to six times slower than fp32, measured on AVX2. With them it is
    1.4 times faster (EPYC, 135M), and yet not the choice: of 624 held-out rows of the shipped task 67.0 % came out right in bf16
    and 74.3 % in fp32, the mean of three seeds each (bf16 less fp32: -7.3 points, 95 % interval -12.0 to -2.1;
    ``benchmarks/precision.py task``).

    Parameters
    ----------
    asked
        One of :data:`DTYPES`.
    device
        As :func:`choose_device` returns it.
    size_gb
        Of the weights in 16 bits, where it is known: what does not fit into memory in fp32 is taken in bf16.
    """
    if asked not in DTYPES:
        raise ConfigError(
            f"dtype={asked!r} is not a number format.{did_you_mean(asked, DTYPES)}",
            fix=f"Choose one of {', '.join(DTYPES)}.",
        )
    if asked != "auto":
        return asked, ASKED_FOR
    known = backend(backend_name).dtype(device)
    if known is not None:
        return known
    if device == "cpu":
        if emulated_cpu() == "bf16":
            return "bfloat16", f"{CPU_VARIABLE}=bf16: as on a CPU with bf16 units"
        fast = sorted(cpu_flags().intersection(_BF16_UNITS))
        if fast and size_gb is not None and 2 * size_gb > MOST_OF_MEMORY * psutil.virtual_memory().total / 1e9:
            return (
                "bfloat16",
                f"the CPU has bf16 units ({fast[0]}), and fp32 would take {2 * size_gb:.0f} GB for the weights alone",
            )
        if fast:
            return "float32", (
                f"bf16, for which the CPU has units ({fast[0]}), is faster and takes half the memory, but of the shipped task's "
                "held-out rows 67 % came out right with it and 74 % with fp32"
            )
        why = f"{CPU_VARIABLE}=avx2 hides bf16 units" if emulated_cpu() else "the CPU has no bf16 units"
        return "float32", f"{why}; bf16 training would be 5 to 6 times slower"
    return "float32", f"safe on {device}"


def emulated_cpu() -> str:
    """Return the kind of CPU that SHADOWNB_CPU asks for in place of this one; an empty string where it is this one.

    Raises
    ------
    ConfigError
        The variable has a value that is no kind of CPU.
    """
    asked = os.environ.get(CPU_VARIABLE, "") or "native"
    if asked not in CPU_KINDS:
        raise ConfigError(
            f"{CPU_VARIABLE}={asked!r} is not a kind of CPU.{did_you_mean(asked, CPU_KINDS)}",
            fix=f"Unset it, or use one of {', '.join(CPU_KINDS)}.",
        )
    return "" if asked == "native" else asked


def cpu_flags() -> frozenset[str]:
    """Return the instruction set flags the kernel reports (Linux; empty elsewhere), as far as SHADOWNB_CPU leaves them."""
    found = _native_cpu_flags()
    if emulated_cpu() == "avx2":
        return frozenset(flag for flag in found if not flag.startswith(("avx512", "amx", "avx_vnni", "avx10")))
    return found


@functools.cache
def _native_cpu_flags() -> frozenset[str]:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            line = next((line for line in file if line.startswith(("flags", "Features"))), "")
    except OSError:
        return frozenset()
    return frozenset(line.split(":", 1)[-1].split())


@functools.cache
def _cpu_name() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def has_package(name: str) -> bool:
    """Return whether a package could be imported, without importing it."""
    return importlib.util.find_spec(name) is not None


def describe(backend_name: str = DEFAULT) -> dict[str, Any]:
    """Return the facts about this machine that a run's record keeps."""
    found = detect(backend_name)
    return {
        "cpu": found.devices[0].name,
        "cores": found.cores,
        "memory_gb": found.memory_gb,
        "accelerators": [d.name for d in found.devices[1:]],
        **backend(backend_name).describe(),
        "emulated_cpu": emulated_cpu(),
        "system": f"{platform.system()} {platform.release()}",
    }


def versions() -> dict[str, str]:
    """Return the versions of what takes part in training."""
    found = {"python": platform.python_version()}
    ours = ("shadownb", "torch", "transformers", "peft", "trl", "accelerate", "bitsandbytes", "tokenizers")
    for name in dict.fromkeys((*ours, *packages())):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
